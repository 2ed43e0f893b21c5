"""Twilio's API for messages and calls: `/2010-04-01/Accounts/{AC…}/Messages.json` and
`…/Calls.json`, to create and to list.

It knows the numbers that Twilio gives its customers for tests
(https://www.twilio.com/docs/iam/test-credentials).
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import hmac
import re
import secrets
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from adapters.doubles import stage
from adapters.doubles.stage import Answer

ACCOUNT_SID = "AC" + 32 * "d"
AUTH_TOKEN = "the-double's-token"  # noqa: S105  # of nobody

_PATH = re.compile(rf"/2010-04-01/Accounts/{ACCOUNT_SID}/(Messages|Calls)\.json")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")

_TO_NUMBERS = {
    ("Messages", "+15005550001"): (21211, "The 'To' number {to} is not a valid phone number."),
    ("Messages", "+15005550002"): (21612, "The 'To' phone number {to} is not reachable"),
    ("Messages", "+15005550003"): (21408, "Permission to send to {to} has not been enabled"),
    ("Messages", "+15005550004"): (21610, "Attempt to send to unsubscribed recipient {to}"),
    ("Messages", "+15005550009"): (21614, "'To' number is not a valid mobile number: {to}"),
    ("Calls", "+15005550001"): (21217, "Phone number does not appear to be valid: {to}"),
    ("Calls", "+15005550002"): (21214, "'To' phone number cannot be reached: {to}"),
    ("Calls", "+15005550003"): (21215, "Account not authorized to call {to}"),
    ("Calls", "+15005550004"): (21216, "Account not allowed to call {to}"),
}
_FROM_NUMBERS = {
    ("Messages", "+15005550001"): (21212, "The 'From' number is not a valid phone number"),
    ("Messages", "+15005550007"): (21606, "The 'From' phone number provided is not yours"),
    ("Messages", "+15005550008"): (21611, "The 'From' number has exceeded its queue's size"),
    ("Calls", "+15005550001"): (21212, "The 'From' number is not a valid phone number"),
}


class TwilioDouble(stage.Double):
    """Takes what Twilio takes from one account, refuses what it refuses.

    `script` says what else to do, by the number To, or by `list` for a list. What it takes, or
    would without a script that gives a status, is in `taken` and listed from then on, whatever
    became of the answer. `requests` are all that have been read: method, kind and fields; `reached`
    is set at each. `user` may be an API key of the account, `password` its secret. What becomes of
    a message, `call_back` tells who asked for it.
    """

    def __init__(self, *, user: str = ACCOUNT_SID, password: str = AUTH_TOKEN) -> None:
        super().__init__()
        self._authorization = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        self.taken: dict[str, list[dict[str, Any]]] = {"Messages": [], "Calls": []}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._callbacks: dict[str, str] = {}

    async def call_back(self, sid: str, status: str, **more: str) -> int:
        """Post what became of a message or call to its StatusCallback, signed, as Twilio does; the
        status of the answer. `more` are fields, such as ErrorCode."""
        url = self._callbacks[sid]
        kind = "Call" if sid.startswith("CA") else "Message"
        own = {f"{kind}Sid": sid, f"{kind}Status": status, "AccountSid": ACCOUNT_SID}
        fields = {**own, "ApiVersion": "2010-04-01", **more}
        headers = {"X-Twilio-Signature": signature(url, fields)}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15)) as session,
            session.post(url, data=fields, headers=headers) as answer,
        ):
            return answer.status

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        found = _PATH.fullmatch(request.path)
        if request.headers.get("Authorization") != self._authorization:
            answer = usual = refusal(20003, "Authenticate", status=401)
        elif found is None:
            answer = usual = refusal(20404, f"{request.path} was not found", status=404)
        elif request.method == "POST":
            fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
            answer, usual = self._create(found[1], self._read(request, found[1], fields))
        else:
            fields = self._read(request, found[1], dict(request.query))
            answer, usual = self.script.turn("list"), self._page(found[1], fields)
        return await stage.perform(request, answer, lambda: usual)

    def _read(self, request: web.BaseRequest, kind: str, fields: dict[str, str]) -> dict[str, str]:
        self.requests.append((request.method, kind, fields))
        self.reached.set()
        return fields

    def _create(self, kind: str, fields: Mapping[str, str]) -> tuple[Answer, Answer]:
        answer = self.script.turn(fields.get("To", ""))
        if refused := problem(kind, fields):
            answer = dataclasses.replace(refused, told=answer.told)
        record = _record(kind, fields)
        if answer.status is None:
            self.taken[kind].append(record)
            if callback := fields.get("StatusCallback"):
                self._callbacks[record["sid"]] = callback
        return answer, Answer(status=201, body=record)

    def _page(self, kind: str, query: Mapping[str, str]) -> Answer:
        size = int(query.get("PageSize", "50"))
        newest = [taken for taken in reversed(self.taken[kind]) if _matches(taken, query)]
        page = {"page": 0, "page_size": size, "next_page_uri": None}
        return Answer(status=200, body={kind.lower(): newest[:size], **page})


def signature(url: str, fields: Mapping[str, str], token: str = AUTH_TOKEN) -> str:
    """Twilio's signature of a POST (https://www.twilio.com/docs/usage/security)."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), "sha1")).decode()


def refusal(
    code: int, text: str, *, status: int = 400, headers: Mapping[str, str] | None = None
) -> Answer:
    """Twilio's answer to what it does not take."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    said = {"code": code, "message": text, "more_info": more, "status": status}
    return Answer(status=status, body=said, headers=headers or {})


def problem(kind: str, fields: Mapping[str, str]) -> Answer | None:
    """The refusal of a request to create, None if Twilio would take it."""
    rules = _message_rules(fields) if kind == "Messages" else _call_rules(fields)
    callback = fields.get("StatusCallback")
    for broken, code, text in (
        *rules,
        (callback is not None and not _is_url(callback), 21609, "Invalid StatusCallback"),
    ):
        if broken:
            return refusal(code, text)
    to = fields["To"]
    known = _FROM_NUMBERS.get((kind, fields.get("From", ""))) or _TO_NUMBERS.get((kind, to))
    return refusal(known[0], known[1].format(to=to)) if known else None


def _message_rules(fields: Mapping[str, str]) -> list[tuple[bool, int, str]]:
    to, sender, body = (fields.get(name, "") for name in ("To", "From", "Body"))
    somebody = sender or fields.get("MessagingServiceSid")
    return [
        (not to, 21604, "A 'To' phone number is required."),
        (not _E164.fullmatch(to), 21211, f"Invalid 'To' Phone Number: {to}"),
        (not somebody, 21603, "A 'From' phone number is required."),
        (bool(sender) and not _SENDER.fullmatch(sender), 21212, "Invalid From Number"),
        (not body and not fields.get("MediaUrl"), 21619, "A body or media must be specified."),
        (len(body) > 1600, 21617, "The message body exceeds the 1600 character limit."),
    ]


def _call_rules(fields: Mapping[str, str]) -> list[tuple[bool, int, str]]:
    to, sender, words = (fields.get(name, "") for name in ("To", "From", "Twiml"))
    return [
        (not to, 21201, "No 'To' number is specified"),
        (not _E164.fullmatch(to), 21211, f"Invalid 'To' Phone Number: {to}"),
        (not sender, 21213, "'From' phone number is required"),
        (not _E164.fullmatch(sender), 21210, "The source number is not verified"),
        (not words, 21205, "Url parameter is required."),
        (len(words) > 4000, 21205, "Twiml parameter is limited to 4000 characters."),
    ]


def _is_url(text: str) -> bool:
    url = yarl.URL(text)
    return url.scheme in {"http", "https"} and bool(url.host) and "_" not in (url.host or "")


def _record(kind: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What Twilio tells of a message or a call that waits to be sent."""
    now = email.utils.format_datetime(datetime.now(UTC))
    own: dict[str, Any] = {"sid": f"CA{secrets.token_hex(16)}", "start_time": None}
    if kind == "Messages":
        own = {"sid": f"SM{secrets.token_hex(16)}", "body": fields.get("Body"), "date_sent": None}
    return {
        **own,
        "account_sid": ACCOUNT_SID,
        "to": fields.get("To"),
        "from": fields.get("From"),
        "status": "queued",
        "direction": "outbound-api",
        "date_created": now,
        "date_updated": now,
    }


def _matches(taken: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """By number and by day: what has not been sent yet is of no day."""
    when = taken.get("date_sent") or taken.get("start_time")
    day = email.utils.parsedate_to_datetime(when).date().isoformat() if when else ""
    for name in ("DateSent", "StartTime"):
        if query.get(name, day)[:10] != day or query.get(f"{name}>", "")[:10] > day:
            return False
    return all(
        taken[name.lower()] == query.get(name, taken[name.lower()]) for name in ("To", "From")
    )
