"""ADM: Amazon Device Messaging (developer.amazon.com/docs/adm/send-message)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yarl

from adapters import answers, http, oauth, push
from adapters.contract import Delivery, Fault, Outcome, permanent, successful
from adapters.messages import AdmPush

BY_REASON = {  # ADM's `reason`
    "InvalidRegistrationId": push.BAD_ADDRESS,
    "Unregistered": push.GONE,
    "InvalidData": push.BAD_MESSAGE,
    "InvalidConsolidationKey": push.BAD_MESSAGE,
    "InvalidExpiration": push.BAD_MESSAGE,
    "InvalidChecksum": push.BAD_MESSAGE,
    "InvalidType": push.BAD_MESSAGE,
    "MessageTooLarge": push.BAD_MESSAGE,
    "AccessTokenExpired": push.STALE_CREDENTIALS,
    "MaxRateExceeded": push.BUSY,
}
BY_STATUS = {
    401: push.STALE_CREDENTIALS,
    403: push.BAD_CREDENTIALS,
    429: push.BUSY,
}
BY_CLASS = {
    3: push.BAD_CREDENTIALS,  # nothing redirects but a wrong base_url
    4: push.BAD_MESSAGE,
    5: replace(push.FAILING, pause=60.0),
}

_TYPE = "com.amazon.device.messaging.ADMMessage@1.0"
_ANSWER_TYPE = "com.amazon.device.messaging.ADMSendResult@1.0"
_SCOPE = "messaging:push"
_RENEW_AHEAD = 60.0
_LEAST_EXPIRY = 60
_WORD = re.compile(r"[A-Za-z]{1,60}")
_REGISTRATION = re.compile(r"[!-~]{1,4096}")


class Adm:
    """Sends for one security profile of the Amazon developer console.

    A registration id that Amazon has replaced comes back as `updated_token`. An outcome's
    `message_id` is Amazon's id of the request (Pinpoint's was never documented). `base_url` is
    where both the access token and the messages go. ValueError names the setting that is wrong.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        base_url: str = "https://api.amazon.com",
        connections: int = 50,
    ) -> None:
        if not client_id or not client_secret:
            raise ValueError("client_id and client_secret must not be empty")
        self._base = http.base_url(base_url)
        self._form = {
            "grant_type": "client_credentials",
            "scope": _SCOPE,
            "client_id": client_id,
            "client_secret": client_secret,
        }
        self._client = http.Client("ADM", connections=connections)
        self._tokens = oauth.Tokens(self._fetch_token, ahead=_RENEW_AHEAD)

    async def send(self, delivery: Delivery) -> Outcome:
        """One message to one registration id; once more if the access token had gone stale."""
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        body = _body(delivery)
        if isinstance(body, Outcome):
            return body
        try:
            registration = urllib.parse.quote(delivery.address, safe="")
        except UnicodeEncodeError:
            return permanent(400, "The address is no text", fault=Fault.RECIPIENT)
        # `encoded`, or yarl would resolve an address of dots as a path.
        url = yarl.URL(
            f"{self._base}/messaging/registrations/{registration}/messages", encoded=True
        )

        async def request(token: str) -> http.Reply | Outcome:
            headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "X-Amzn-Type-Version": _TYPE,
                "X-Amzn-Accept-Type": _ANSWER_TYPE,
            }
            return await self._client.post(url, data=body, headers=headers, deadline=deadline)

        reply = await oauth.with_token(self._tokens, request, stale=_stale, deadline=deadline)
        return reply if isinstance(reply, Outcome) else _outcome(reply, delivery)

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._client.aclose()

    async def _fetch_token(self) -> oauth.Token | Outcome:
        return await oauth.fetch(self._client, f"{self._base}/auth/O2/token", self._form)


def checksum(data: Mapping[str, str]) -> str:
    """ADM's md5: of `key:value` of every entry, sorted by key and joined by commas, in base64.

    Amazon's sample sorts by the keys' UTF-8, which is the order of Python's strings.
    """
    text = ",".join(f"{key}:{value}" for key, value in sorted(data.items()))
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _body(delivery: Delivery) -> bytes | Outcome:
    message = delivery.message
    if not isinstance(message, AdmPush):
        return permanent(400, "The message is no push for ADM", fault=Fault.MESSAGE)
    request: dict[str, Any] = {"data": dict(message.data)}
    if message.consolidation_key is not None:
        request["consolidationKey"] = message.consolidation_key
    if message.expires_after is not None:
        left = push.remaining(message.expires_after, delivery.age)
        if left is None:
            return push.expired()
        # ADM takes no less than a minute; whoever asked for less is told so by ADM.
        request["expiresAfter"] = max(left, min(message.expires_after, _LEAST_EXPIRY))
    try:
        request["md5"] = checksum(message.data) if message.md5 is None else message.md5
        return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()
    except (TypeError, ValueError):
        return permanent(400, "The message can not be written as JSON", fault=Fault.MESSAGE)


def _outcome(reply: http.Reply, delivery: Delivery) -> Outcome:
    if reply.status == 200:
        return _accepted(reply, delivery)
    reason = _reason(reply)
    verdict = BY_REASON.get(reason) or BY_STATUS.get(reply.status)
    return push.refused(
        verdict or BY_CLASS.get(reply.status // 100, push.UNKNOWN),
        delivery,
        code=reply.status,
        error=reason,
        response={"reason": reason} if reason else {},
        retry_after=answers.retry_after(reply.headers.get("Retry-After")),
    )


def _accepted(reply: http.Reply, delivery: Delivery) -> Outcome:
    current = reply.document().get("registrationID")
    outcome = successful(message_id=reply.headers.get("X-Amzn-RequestId"))
    if current == delivery.address:
        return outcome
    if not isinstance(current, str) or not _REGISTRATION.fullmatch(current):
        return push.unreadable("ADM")
    return replace(outcome, updated_token=current)


def _stale(reply: http.Reply) -> bool:
    return reply.status == 401


def _reason(reply: http.Reply) -> str:
    """A word; anything else might repeat what was sent."""
    reason = reply.document().get("reason")
    return reason if isinstance(reason, str) and _WORD.fullmatch(reason) else ""
