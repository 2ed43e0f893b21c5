"""What a delivery becomes on its way to APNs, or why it does not go there.

What Apple is known to refuse is refused here, in Apple's words: it costs no request, and nothing a
caller writes can get out of its place in one.
"""

from __future__ import annotations

import dataclasses
import json
import re

from adapters import push
from adapters.apns_messages import Push
from adapters.contract import Delivery, Fault, Outcome, permanent
from adapters.messages import ApnsPush

_TOPIC_SUFFIX = {
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
}
_BYTES = 4096  # Apple
_VOIP_BYTES = 5120
_COLLAPSE_BYTES = 64
_DEVICE_TOKEN = re.compile(r"(?:[0-9A-Fa-f]{2}){1,100}")
_COLLAPSE_ID = re.compile(r"(?! )[^\x00-\x1f\x7f\ud800-\udfff]+(?<! )")

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

# APNs was not asked, so this says nothing about the address.
_BAD_TOKEN = dataclasses.replace(push.BAD_ADDRESS, dead=False)


def request(delivery: Delivery, bundle_id: str, now: float) -> Push | Outcome:
    """The request for a delivery; `now` is Unix time, `bundle_id` the app's."""
    message = delivery.message
    if not isinstance(message, ApnsPush):
        return permanent(400, "The message is not for APNs", fault=Fault.MESSAGE)
    try:
        body = _encoded(message)
    except (TypeError, ValueError, RecursionError):
        text = "The payload can not be written as JSON"
        return permanent(400, text, fault=Fault.MESSAGE)
    refusal = _refusal(delivery, message, len(body))
    if refusal is not None:
        return refusal
    expiration = _expiration(message.time_to_live, delivery.age, now)
    if isinstance(expiration, Outcome):
        return expiration
    return Push(
        delivery.address,
        body,
        notification_id=delivery.id.lower(),
        topic=_topic(bundle_id, message.push_type),
        push_type=message.push_type,
        priority=message.priority,
        expiration=expiration,
        collapse_id=message.collapse_id or None,
    )


def _refusal(delivery: Delivery, message: ApnsPush, size: int) -> Outcome | None:
    if not _DEVICE_TOKEN.fullmatch(delivery.address):
        return _refused(delivery, _BAD_TOKEN, 400, "BadDeviceToken")
    if not _good_collapse_id(message.collapse_id or "-"):
        return _refused(delivery, push.BAD_MESSAGE, 400, "BadCollapseId")
    if size > (_VOIP_BYTES if message.push_type == "voip" else _BYTES):
        return _refused(delivery, push.BAD_MESSAGE, 413, "PayloadTooLarge")
    return None


def _topic(bundle_id: str, push_type: str) -> str:
    """Apple: some types of push have a topic of their own, named after the app's."""
    suffix = _TOPIC_SUFFIX.get(push_type, "")
    return bundle_id if bundle_id.endswith(suffix) else bundle_id + suffix


def _expiration(time_to_live: int | None, age: float, now: float) -> int | Outcome | None:
    """Apple: a Unix time, or 0 for "now or never"; without one it keeps the push for 30 days."""
    if time_to_live is None:
        return None
    left = push.remaining(time_to_live, age)
    if left is None:
        return push.expired()
    return int(now) + left if left else 0


def _good_collapse_id(text: str) -> bool:
    return bool(_COLLAPSE_ID.fullmatch(text)) and len(text.encode()) <= _COLLAPSE_BYTES


def _encoded(message: ApnsPush) -> bytes:
    return _json(message.payload).encode()


def _refused(delivery: Delivery, verdict: push.Verdict, code: int, reason: str) -> Outcome:
    return push.refused(verdict, delivery, code=code, error=reason, response={"reason": reason})
