"""What Twilio posts of a message or a call once it has taken it
(https://www.twilio.com/docs/messaging/guides/track-outbound-message-status), with its signature
(https://www.twilio.com/docs/usage/security).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from adapters import twilio_account
from adapters.contract import DeliveryStatus, Fault, Forged, Outcome, Receipt, successful
from adapters.twilio_account import Verdict

_READ = (
    *("MessageStatus", "MessageSid", "ErrorCode"),
    *("CallStatus", "CallSid", "SipResponseCode"),
)
_ALIKE = ("SmsMessageSid", "ParentCallSid")  # Twilio's, too, and of no interest here
_CODE = re.compile("[0-9]{1,6}")
_MOST_FIELDS = 200  # Twilio sends some twenty

_NOBODYS = Verdict(DeliveryStatus.UNKNOWN_FAILURE, Fault.PROVIDER)
_TOO_LATE = Verdict(DeliveryStatus.TIMEOUT, Fault.PROVIDER)
_NOT_NOW = Verdict(DeliveryStatus.TEMPORARY_FAILURE, Fault.PROVIDER)
_OUT_OF_REACH = Verdict(DeliveryStatus.TEMPORARY_FAILURE, Fault.RECIPIENT)

# https://www.twilio.com/docs/api/errors, each with Pinpoint's word for it.
BY_CODE = {
    21610: (twilio_account.OPTED_OUT, "OPTED_OUT"),
    63014: (twilio_account.OPTED_OUT, "OPTED_OUT"),
    **dict.fromkeys((30001, 30410, 30500), (_NOT_NOW, "UNKNOWN")),
    30002: (twilio_account.ACCOUNT, "BLOCKED"),
    30003: (_OUT_OF_REACH, "UNREACHABLE"),
    30004: (twilio_account.UNREACHABLE, "BLOCKED"),
    30005: (twilio_account.DEAD_NUMBER, "INVALID"),
    30006: (twilio_account.DEAD_NUMBER, "CARRIER_UNREACHABLE"),
    30007: (twilio_account.MESSAGE, "CARRIER_BLOCKED"),
    30010: (twilio_account.MESSAGE, "MAX_PRICE_EXCEEDED"),
    **dict.fromkeys((30011, 30012), (twilio_account.MESSAGE, "INVALID_MESSAGE")),
    **dict.fromkeys((30022, 30023, 30027), (twilio_account.THROTTLED, "CARRIER_BLOCKED")),
    **dict.fromkeys((30032, 30034, 30035), (twilio_account.ACCOUNT, "BLOCKED")),
    30036: (_TOO_LATE, "TTL_EXPIRED"),
}
_DELIVERED = ("delivered", "read", "partially_delivered")
_NOT_DELIVERED = ("undelivered", "failed", "canceled")

_NO_ANSWER = ("busy", "no-answer")
_BY_SIP = {
    **dict.fromkeys(("404", "484", "604"), (twilio_account.DEAD_NUMBER, "INVALID")),
    **dict.fromkeys(("480", "486", "487", "503", "600"), (_OUT_OF_REACH, "UNREACHABLE")),
    **dict.fromkeys(("403", "603"), (twilio_account.UNREACHABLE, "BLOCKED")),
}


def of_message(fields: Mapping[str, str]) -> Receipt | None:
    """What became of a text; None while it waits at Twilio."""
    status, sid = fields.get("MessageStatus", ""), fields.get("MessageSid")
    if status == "sent":
        return _good(status, sid, "SUCCESSFUL", final=False)
    if status in _DELIVERED:
        return _good(status, sid, "DELIVERED")
    if status not in _NOT_DELIVERED:
        return None
    code = fields.get("ErrorCode", "")
    if not _CODE.fullmatch(code):
        return _bad(status, sid, _NOBODYS, "UNKNOWN")
    verdict, word = BY_CODE.get(int(code), (_NOBODYS, "UNKNOWN"))
    return _bad(f"{status} (Twilio {code})", sid, verdict, word)


def of_call(fields: Mapping[str, str]) -> Receipt | None:
    """What became of a call; None while it goes on."""
    status, sid = fields.get("CallStatus", ""), fields.get("CallSid")
    if status == "completed":
        return _good(status, sid, "DELIVERED")
    if status in _NO_ANSWER:
        return _bad(status, sid, _OUT_OF_REACH, "UNREACHABLE")
    if status == "failed" and (known := _BY_SIP.get(fields.get("SipResponseCode", ""))):
        return _bad(status, sid, *known)
    if status in _NOT_DELIVERED:
        return _bad(status, sid, _NOBODYS, "UNKNOWN")
    return None


def genuine(
    settings: Mapping[str, Any], message: str, headers: Mapping[str, str], body: bytes
) -> Mapping[str, str]:
    """The fields of a POST that Twilio signed with the account's auth token, over the URL that it
    was told to post to. Raises `Forged`."""
    url = twilio_account.callback(settings.get("status_callback"))
    token = settings.get("callback_token") or settings.get("auth_token")
    if not url or not token:
        raise Forged
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Forged from None
    fields = dict(pairs)
    signature = headers.get("x-twilio-signature", "")
    if not RequestValidator(token).validate(url + message, fields, signature):
        raise Forged
    if len(fields) != len(pairs) or not _is_plain(fields):
        raise Forged
    return fields


def _is_plain(fields: Mapping[str, str]) -> bool:
    """Whether what is read here is what was signed. Twilio signs names and values without anything
    between them, so that whoever has a receipt could have one field run into the next."""
    signed = "".join(name + fields[name] for name in sorted(fields))
    for name in _ALIKE:
        signed = signed.replace(name, "")
    return all(signed.count(name) == (name in fields) for name in _READ)


def _good(status: str, sid: str | None, record_status: str, *, final: bool = True) -> Receipt:
    outcome = successful(message_id=sid, text=status)
    return Receipt(outcome=outcome, final=final, record_status=record_status)


def _bad(text: str, sid: str | None, verdict: Verdict, record_status: str) -> Receipt:
    outcome = Outcome(
        status=verdict.status,
        status_code=400,
        status_message=text,
        message_id=sid,
        fault=verdict.fault,
        dead_address=verdict.dead_address,
    )
    return Receipt(outcome=outcome, final=True, record_status=record_status)
