"""The dev inbox shows what a provider would get: one literal for each kind of message."""

import pytest

from adapters.contract import ChannelType, Delivery
from adapters.messages import (
    AdmPush,
    ApnsPush,
    BaiduPush,
    Custom,
    Email,
    FcmPush,
    Part,
    RawEmail,
    Sms,
    Voice,
)
from adapters.preview import preview

ID = "3f0f3c9e-7f0e-4c0c-8b3e-2a6f1f1f1f1f"
PHONE = "+15550100200"
MAIL = "ada@example.com"

CASES = {
    "apns": (
        ChannelType.APNS_SANDBOX,
        "abcd",
        ApnsPush(
            payload={"aps": {"alert": {"title": "Hi"}}},
            push_type="background",
            priority=5,
            time_to_live=3600,
            collapse_id="news",
        ),
        {
            "Provider": "apns",
            "Headers": {
                "apns-id": ID,
                "apns-push-type": "background",
                "apns-priority": "5",
                "apns-expiration": "now+3600",
                "apns-collapse-id": "news",
            },
            "Payload": {"aps": {"alert": {"title": "Hi"}}},
        },
    ),
    "apns, try once": (
        ChannelType.APNS_VOIP,
        "abcd",
        ApnsPush(payload={}, push_type="voip", time_to_live=0),
        {
            "Provider": "apns",
            "Headers": {
                "apns-id": ID,
                "apns-push-type": "voip",
                "apns-priority": "10",
                "apns-expiration": "0",
            },
            "Payload": {},
        },
    ),
    "fcm": (
        ChannelType.GCM,
        "fcm:token",
        FcmPush(message={"data": {"a": "1"}, "android": {"priority": "HIGH"}}),
        {
            "Provider": "fcm",
            "Headers": {"Content-Type": "application/json"},
            "Payload": {
                "message": {
                    "token": "fcm:token",
                    "data": {"a": "1"},
                    "android": {"priority": "HIGH"},
                }
            },
        },
    ),
    "fcm, validate only": (
        ChannelType.GCM,
        "fcm:token",
        FcmPush(message={}, validate_only=True),
        {
            "Provider": "fcm",
            "Headers": {"Content-Type": "application/json"},
            "Payload": {"message": {"token": "fcm:token"}, "validate_only": True},
        },
    ),
    "adm": (
        ChannelType.ADM,
        "amzn1.adm",
        AdmPush(data={"a": "1"}, consolidation_key="k", expires_after=60, md5="bWQ1"),
        {
            "Provider": "adm",
            "Headers": {
                "Content-Type": "application/json",
                "Accept": "application/json",
                "X-Amzn-Type-Version": "com.amazon.device.messaging.ADMMessage@1.0",
                "X-Amzn-Accept-Type": "com.amazon.device.messaging.ADMSendResult@1.0",
            },
            "Payload": {
                "data": {"a": "1"},
                "consolidationKey": "k",
                "expiresAfter": 60,
                "md5": "bWQ1",
            },
        },
    ),
    "baidu": (
        ChannelType.BAIDU,
        "user:4321",
        BaiduPush(message={"title": "你好"}, expires=60),
        {
            "Provider": "baidu",
            "Headers": {},
            "Payload": {
                "channel_id": "4321",
                "device_type": 3,
                "msg_type": 0,
                "msg": '{"title":"你好"}',
                "msg_expires": 60,
            },
        },
    ),
    "sms": (
        ChannelType.SMS,
        PHONE,
        Sms(body="Hi", origination_number="+15550100999", media_url="https://example.com/a.png"),
        {
            "Provider": "sms",
            "Headers": {},
            "Payload": {
                "To": PHONE,
                "From": "+15550100999",
                "Body": "Hi",
                "MediaUrl": "https://example.com/a.png",
            },
        },
    ),
    "sms, sender left open": (
        ChannelType.SMS,
        PHONE,
        Sms(body="Hi"),
        {"Provider": "sms", "Headers": {}, "Payload": {"To": PHONE, "Body": "Hi"}},
    ),
    "voice": (
        ChannelType.VOICE,
        PHONE,
        Voice(body="Tea & <scones>", language_code="en-GB", voice_id="Amy"),
        {
            "Provider": "voice",
            "Headers": {},
            "Payload": {
                "To": PHONE,
                "Twiml": '<Response><Say voice="Polly.Amy" language="en-GB">'
                "Tea &amp; &lt;scones&gt;</Say></Response>",
            },
        },
    ),
    "email": (
        ChannelType.EMAIL,
        MAIL,
        Email(
            from_address="Shop <shop@example.com>",
            subject=Part(data="Grüße"),
            text=Part(data="text"),
            html=Part(data="<p>html</p>"),
            reply_to=("help@example.com",),
            headers=(("X-A", "1"), ("X-A", "2")),
            feedback_address="bounce@example.com",
        ),
        {
            "Provider": "smtp",
            "Headers": {},
            "Payload": {
                "from": "Shop <shop@example.com>",
                "to": MAIL,
                "reply-to": ["help@example.com"],
                "return-path": "bounce@example.com",
                "subject": "Grüße",
                "headers": [["X-A", "1"], ["X-A", "2"]],
                "text": "text",
                "html": "<p>html</p>",
            },
        },
    ),
    "email, whole message": (
        ChannelType.EMAIL,
        MAIL,
        RawEmail(data=b"Subject: a\r\n\r\n\xffb\r\n", from_address="shop@example.com"),
        {
            "Provider": "smtp",
            "Headers": {},
            "Payload": {
                "from": "shop@example.com",
                "to": MAIL,
                "return-path": None,
                "raw": "Subject: a\r\n\r\n�b\r\n",
            },
        },
    ),
    "webhook": (
        ChannelType.CUSTOM,
        "https://example.com/hook",
        Custom(data={"Message": {"a": 1}}),
        {
            "Provider": "webhook",
            "Headers": {"Content-Type": "application/json", "webhook-id": ID},
            "Payload": {
                "MessageId": ID,
                "RequestId": "request",
                "ApplicationId": "app",
                "ChannelType": "CUSTOM",
                "Address": "https://example.com/hook",
                "Message": {"a": 1},
            },
        },
    ),
}


@pytest.mark.parametrize(
    ("channel", "address", "message", "expected"), CASES.values(), ids=CASES.keys()
)
def test_what_a_provider_would_get(channel, address, message, expected):
    delivery = Delivery(
        id=ID,
        application_id="app",
        request_id="request",
        channel=channel,
        address=address,
        message=message,
    )
    assert preview(delivery) == expected
