"""What `benchmarks.adapters` sends, to whom."""

from __future__ import annotations

from adapters.messages import (
    AdmPush,
    ApnsPush,
    BaiduPush,
    Custom,
    Email,
    FcmPush,
    Message,
    Part,
    Sms,
    Voice,
)

_TITLE, _TEXT = "Your parcel is here", "Ann, the courier left it at the door of number 12."

APNS = ApnsPush(payload={"aps": {"alert": {"title": _TITLE, "body": _TEXT}}}, time_to_live=3600)
FCM = FcmPush(
    message={
        "data": {"pinpoint.notification.title": _TITLE, "pinpoint.notification.body": _TEXT},
        "android": {"priority": "high", "ttl": "3600s"},
    }
)
ADM = AdmPush(data={"pinpoint.notification.title": _TITLE, "pinpoint.notification.body": _TEXT})
BAIDU = BaiduPush(message={"title": _TITLE, "description": _TEXT})
SMS = Sms(body=_TEXT)
VOICE = Voice(body=_TEXT)
EMAIL = Email(
    from_address="shop@example.com",
    subject=Part(data=_TITLE),
    text=Part(data=f"{_TEXT}\n"),
    html=Part(data=f"<p>{_TEXT}</p>\n"),
)
CUSTOM = Custom(data={"title": _TITLE, "body": _TEXT})

BY_CHANNEL: dict[str, Message] = {
    "APNS": APNS,
    "GCM": FCM,
    "ADM": ADM,
    "BAIDU": BAIDU,
    "SMS": SMS,
    "VOICE": VOICE,
    "EMAIL": EMAIL,
    "CUSTOM": CUSTOM,
}


def device_token(number: int) -> str:
    return f"{number:064x}"


def phone_number(number: int) -> str:
    """Everybody's is another one."""
    return f"+1425{2_000_000 + number % 7_000_000}"


def address(channel: str, number: int) -> str:
    """The recipient of this number on a channel."""
    if channel == "APNS":
        return device_token(number)
    if channel in {"SMS", "VOICE"}:
        return phone_number(number)
    if channel == "BAIDU":
        return f"7:{number + 1}"
    return f"r{number}@example.com" if channel == "EMAIL" else f"token-{number}"
