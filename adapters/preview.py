"""What would be sent: a delivery as the provider would get it, without credentials.

The sandbox writes this to the dev inbox. It is pure, so it leaves out what only a channel's
configuration or the moment of sending knows: topics, tokens, signatures, the channel's own sender.
"""

from __future__ import annotations

import json
from typing import Any, assert_never
from xml.sax import saxutils

from adapters.contract import Delivery
from adapters.messages import (
    AdmPush,
    ApnsPush,
    BaiduPush,
    Custom,
    Email,
    FcmPush,
    RawEmail,
    Sms,
    Voice,
)

_JSON = {"Content-Type": "application/json"}
_ADM_HEADERS = {
    **_JSON,
    "Accept": "application/json",
    "X-Amzn-Type-Version": "com.amazon.device.messaging.ADMMessage@1.0",
    "X-Amzn-Accept-Type": "com.amazon.device.messaging.ADMSendResult@1.0",
}


def preview(delivery: Delivery) -> dict[str, Any]:
    """The request a provider would get, JSON-serialisable.

    `Provider` is `apns`, `fcm`, `adm`, `baidu`, `sms`, `voice`, `smtp` or `webhook`; `Headers` are
    the HTTP headers that do not depend on a channel's configuration; `Payload` is the body: JSON
    documents as they are, forms as objects of their fields, email as its readable parts.
    """
    message = delivery.message
    headers: dict[str, str] = {}
    match message:
        case ApnsPush():
            headers = _apns_headers(delivery, message)
            provider, payload = "apns", dict(message.payload)
        case FcmPush():
            headers = dict(_JSON)
            provider, payload = "fcm", _fcm(delivery, message)
        case AdmPush():
            headers = dict(_ADM_HEADERS)
            provider, payload = "adm", _adm(message)
        case BaiduPush():
            provider, payload = "baidu", _baidu(delivery, message)
        case Sms():
            provider, payload = "sms", _sms(delivery, message)
        case Voice():
            provider, payload = "voice", _voice(delivery, message)
        case Email():
            provider, payload = "smtp", _email(delivery, message)
        case RawEmail():
            provider, payload = "smtp", _raw_email(delivery, message)
        case Custom():
            headers = {**_JSON, "webhook-id": delivery.id}
            provider, payload = "webhook", _custom(delivery, message)
        case _:
            assert_never(message)
    return {"Provider": provider, "Headers": headers, "Payload": payload}


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value; providers want the others left out, not null."""
    return {name: value for name, value in fields.items() if value is not None}


def _apns_headers(delivery: Delivery, push: ApnsPush) -> dict[str, str]:
    headers = {
        "apns-id": delivery.id,
        "apns-push-type": push.push_type,
        "apns-priority": str(push.priority),
    }
    if push.time_to_live is not None:
        # The header is a point in time, which only the moment of sending knows; 0 is 0.
        headers["apns-expiration"] = f"now+{push.time_to_live}" if push.time_to_live else "0"
    if push.collapse_id is not None:
        headers["apns-collapse-id"] = push.collapse_id
    return headers


def _fcm(delivery: Delivery, push: FcmPush) -> dict[str, Any]:
    body: dict[str, Any] = {"message": {"token": delivery.address, **push.message}}
    if push.validate_only:
        body["validate_only"] = True
    return body


def _adm(push: AdmPush) -> dict[str, Any]:
    return _given(
        data=dict(push.data),
        consolidationKey=push.consolidation_key,
        expiresAfter=push.expires_after,
        md5=push.md5,
    )


def _baidu(delivery: Delivery, push: BaiduPush) -> dict[str, Any]:
    return _given(
        # Pinpoint's Baidu address is `userId:channelId`; Baidu asks for the channel only.
        channel_id=delivery.address.rpartition(":")[2],
        device_type=3,
        msg_type=0,
        msg=json.dumps(dict(push.message), ensure_ascii=False, separators=(",", ":")),
        msg_expires=push.expires,
    )


def _sms(delivery: Delivery, sms: Sms) -> dict[str, Any]:
    return _given(
        To=delivery.address,
        From=sms.origination_number or sms.sender_id,
        Body=sms.body,
        MediaUrl=sms.media_url,
    )


def _voice(delivery: Delivery, voice: Voice) -> dict[str, Any]:
    attributes = _given(
        voice=f"Polly.{voice.voice_id}" if voice.voice_id else None, language=voice.language_code
    )
    say = "".join(f" {name}={saxutils.quoteattr(text)}" for name, text in attributes.items())
    twiml = f"<Response><Say{say}>{saxutils.escape(voice.body)}</Say></Response>"
    return _given(To=delivery.address, From=voice.origination_number, Twiml=twiml)


def _email(delivery: Delivery, email: Email) -> dict[str, Any]:
    return {
        "from": email.from_address,
        "to": delivery.address,
        "reply-to": list(email.reply_to),
        "return-path": email.feedback_address,
        "subject": email.subject.data,
        "headers": [[name, value] for name, value in email.headers],
        "text": email.text.data if email.text else None,
        "html": email.html.data if email.html else None,
    }


def _raw_email(delivery: Delivery, email: RawEmail) -> dict[str, Any]:
    return {
        "from": email.from_address,
        "to": delivery.address,
        "return-path": email.feedback_address,
        "raw": email.data.decode("utf-8", "replace"),
    }


def _custom(delivery: Delivery, event: Custom) -> dict[str, Any]:
    return {
        "MessageId": delivery.id,
        "RequestId": delivery.request_id,
        "ApplicationId": delivery.application_id,
        "ChannelType": str(delivery.channel),
        "Address": delivery.address,
        **event.data,
    }
