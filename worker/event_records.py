"""What Pinpoint's event stream tells: one JSON object for each thing that happened. Pure.

`_SMS.*` and `_email.*` are Pinpoint's own, and so is what apps report with PutEvents. Of pushes,
calls and webhooks Pinpoint told nothing; theirs (`_PUSH.*`, `_VOICE.*`, `_CUSTOM.*`) are ours, in
the same words. Times are in milliseconds of Unix time, attributes are strings.
"""

from __future__ import annotations

import email.parser
import email.policy
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import phonenumbers

from adapters import gsm
from adapters.contract import ChannelType, DeliveryStatus, Fault, Outcome, Receipt
from adapters.messages import Email, Message, RawEmail, Sms
from adapters.smtp_bounces import Complaint, Verdict
from worker import wire

NOBODY = "000000000000"
"""The AWS account of a stream whose ARN names none."""

Record = dict[str, Any]

_VERSION = "3.1"
_APP_VERSION = "3.0"
_HEADERS_LIMIT = 10 * 1024  # characters; SES cuts them there
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


# Not frozen, as it is made of every delivery: that takes three times as long.
@dataclass(slots=True, kw_only=True)
class Sent:
    """The message that something happened to. `message` is what was rendered, None if nothing was;
    `sender` what the channel sends from if the message names nobody, `server` the mail server that
    it sends by; `context` the caller's own Context; `accepted_at` when it was accepted."""

    id: str
    application_id: str
    request_id: str
    channel: str
    address: str = field(repr=False)
    endpoint_id: str | None
    accepted_at: int
    account: str = NOBODY
    message: Message | None = field(default=None, repr=False)
    sender: str | None = None
    server: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)


def of_outcome(sent: Sent, outcome: Outcome, *, at: int) -> list[Record]:
    """What is told when a message is settled, in order."""
    if sent.channel == ChannelType.SMS:
        accepted = outcome.status is DeliveryStatus.SUCCESSFUL
        kind = "_SMS.BUFFERED" if accepted else "_SMS.FAILURE"
        return [of_sms(sent, kind, _record_status(outcome), outcome.message_id, at=at)]
    if sent.channel == ChannelType.EMAIL:
        return list(_of_email(sent, outcome, at))
    if sent.channel == ChannelType.VOICE and outcome.status is DeliveryStatus.SUCCESSFUL:
        return [_of_other(sent, "BUFFERED", "PENDING", outcome, at)]
    return [_of_other(sent, _result(outcome), str(outcome.status), outcome, at)]


def of_receipt(sent: Sent, receipt: Receipt, *, at: int) -> Record:
    """What is told of a text or a call when its provider says what became of it."""
    outcome, word = receipt.outcome, receipt.record_status
    result = _result(outcome) if receipt.final else "BUFFERED"
    if sent.channel == ChannelType.SMS:
        return of_sms(sent, f"_SMS.{result}", word, outcome.message_id, at=at)
    return _of_other(sent, result, word, outcome, at)


def of_bounce(sent: Sent, verdict: Verdict, message_id: str | None, *, at: int) -> Record:
    """What is told of a letter when a report says what became of it, in SES' words for it."""
    outcome = verdict.outcome
    if outcome.status is DeliveryStatus.SUCCESSFUL:
        delivery = {
            "smtp_response": verdict.diagnostic.removeprefix("smtp; "),
            **_given(reporting_mta=verdict.reporting_mta),
            "recipients": [sent.address],
            "processing_time_millis": max(at - sent.accepted_at, 0),
        }
        return _mail(sent, message_id, "_email.delivered", "delivered", {"delivery": delivery}, at)
    bounce_type, sub_type = _bounce_type(verdict)
    kind = "hardbounce" if bounce_type == "Permanent" else "softbounce"
    bounce = {
        "bounce_type": bounce_type,
        "bounce_sub_type": sub_type,
        "bounced_recipients": [
            {
                "email_address": sent.address,
                "action": verdict.action,
                **_given(status=verdict.status or None),
                "diagnostic_code": verdict.diagnostic,
            }
        ],
        "feedback_id": _feedback_id(sent, "bounce"),
        **_given(reporting_mta=verdict.reporting_mta),
    }
    return _mail(sent, message_id, f"_email.{kind}", kind, {"bounce": bounce}, at)


def of_complaint(sent: Sent, said: Complaint, message_id: str | None, *, at: int) -> Record:
    """What is told of a letter that its recipient complained of, in SES' words for it."""
    complaint = {
        "complained_recipients": [{"email_address": sent.address}],
        "complaint_feedback_type": said.kind,
        "feedback_id": _feedback_id(sent, "complaint"),
        **_given(user_agent=said.user_agent),
    }
    inner = {"complaint": complaint}
    return _mail(sent, message_id, "_email.complaint", "complaint", inner, at)


def of_sms(
    sent: Sent, event_type: str, record_status: str, message_id: str | None, *, at: int
) -> Record:
    """What is told of a text message. Prices are the provider's business, so there are none."""
    sms = sent.message if isinstance(sent.message, Sms) else None
    origination = (sms and (sms.origination_number or sms.sender_id)) or sent.sender
    attributes = {
        "sender_request_id": sent.request_id,
        "origination_phone_number": origination,
        "destination_phone_number": sent.address,
        "record_status": record_status,
        "iso_country_code": _country(sent.address),
        "treatment_id": "0",
        "number_of_message_parts": str(gsm.parts(sms.body)) if sms else None,
        "message_id": message_id or sent.id,
        "message_type": "Promotional" if sms and sms.promotional else "Transactional",
        "customer_context": _json(sent.context) if sent.context else None,
    }
    # Pinpoint's client is the endpoint, or the account where a bare number was sent to.
    client = sent.endpoint_id or sent.account
    return _envelope(sent, event_type, client, attributes, at=at, happened=at)


def of_app(
    application_id: str,
    endpoint_id: str,
    demographic: wire.EndpointDemographic | None,
    event: wire.Event,
    *,
    account: str,
    at: int,
) -> Record:
    """What an app reported. `ValueError` names a time that cannot be read."""
    device = demographic or wire.EndpointDemographic()
    session = event.Session
    return {
        "event_type": event.EventType,
        "event_timestamp": _read("Timestamp", event.Timestamp),
        "arrival_timestamp": at,
        "event_version": _APP_VERSION,
        "application": {
            "app_id": application_id,
            **_given(package_name=event.AppPackageName),
            "sdk": _given(name=event.SdkName, version=event.ClientSdkVersion),
            **_given(
                title=event.AppTitle,
                version_name=device.AppVersion,
                version_code=event.AppVersionCode,
            ),
        },
        "client": {"client_id": endpoint_id},
        "device": {
            **_given(locale=_locale(device.Locale), make=device.Make, model=device.Model),
            "platform": _given(name=device.Platform, version=device.PlatformVersion),
        },
        "session": {}
        if session is None
        else _given(
            session_id=session.Id,
            start_timestamp=_read("Session.StartTimestamp", session.StartTimestamp),
            stop_timestamp=_read("Session.StopTimestamp", session.StopTimestamp)
            if session.StopTimestamp
            else None,
        ),
        "attributes": event.Attributes or {},
        "metrics": event.Metrics or {},
        "awsAccountId": account,
    }


@functools.lru_cache(maxsize=1000)
def account_of(arn: str) -> str:
    """The account in an ARN, where Pinpoint's records have the one that sent."""
    return (arn.split(":") + [""] * 5)[4] or NOBODY


def stream_of(arn: str) -> str:
    """The name of the stream that an ARN of Kinesis or Firehose is for."""
    return arn.rsplit("/", 1)[-1]


def milliseconds(when: datetime) -> int:
    """A time as records have it."""
    return round(when.timestamp() * 1000)


def encode(record: Record) -> str:
    """A record as it is told, without what is no text: a provider's words may hold some."""
    try:
        return wire.encode(record).decode()
    except UnicodeEncodeError:
        text = json.dumps(record, ensure_ascii=False).encode(errors="replace").decode()
        return wire.encode(json.loads(text)).decode()


def _of_email(sent: Sent, outcome: Outcome, at: int) -> Iterator[Record]:
    """SES tells that it took a message, and then what became of it. What was refused for its own
    or the channel's sake was never taken."""
    taken = outcome.status in {
        DeliveryStatus.SUCCESSFUL,
        DeliveryStatus.OPT_OUT,
        DeliveryStatus.TIMEOUT,
        DeliveryStatus.UNKNOWN_FAILURE,
    }
    if not taken and outcome.fault in {Fault.MESSAGE, Fault.CREDENTIALS}:
        reject = {"reason": outcome.status_message}
        yield _mail(sent, outcome.message_id, "_email.rejected", "rejected", {"reject": reject}, at)
        return
    yield _mail(sent, outcome.message_id, "_email.send", "received", {"send": {}}, at)
    if outcome.status is DeliveryStatus.SUCCESSFUL:
        delivery = {
            "smtp_response": outcome.status_message,
            **_given(reporting_mta=sent.server),
            "recipients": [sent.address],
            "processing_time_millis": max(at - sent.accepted_at, 0),
        }
        yield _mail(
            sent, outcome.message_id, "_email.delivered", "delivered", {"delivery": delivery}, at
        )
        return
    hard = outcome.status is DeliveryStatus.OPT_OUT or (
        outcome.status is DeliveryStatus.PERMANENT_FAILURE and outcome.fault is Fault.RECIPIENT
    )
    bounce = {
        "bounce_type": "Permanent" if hard else "Transient",
        "bounce_sub_type": "Suppressed" if outcome.status is DeliveryStatus.OPT_OUT else "General",
        "bounced_recipients": [
            {
                "email_address": sent.address,
                "action": "failed",
                "status": str(outcome.status_code),
                "diagnostic_code": f"smtp; {outcome.status_message}",
            }
        ],
    }
    kind = "hardbounce" if hard else "softbounce"
    yield _mail(sent, outcome.message_id, f"_email.{kind}", kind, {"bounce": bounce}, at)


def _bounce_type(verdict: Verdict) -> tuple[str, str]:
    """SES' bounce type and sub-type."""
    status, fault = verdict.status, verdict.outcome.fault
    if not status:
        return "Undetermined", "Undetermined"
    for subject, sub_type in _TRANSIENT:
        if subject.fullmatch(status):
            return "Transient", sub_type
    if status.startswith("5") and fault is Fault.RECIPIENT:
        return "Permanent", "General"
    return "Transient", "General"


_TRANSIENT = (
    (re.compile(r"\d\.2\.2"), "MailboxFull"),
    (re.compile(r"\d\.(2\.3|3\.4)"), "MessageTooLarge"),
    (re.compile(r"\d\.[67]\.\d+"), "ContentRejected"),
)


def _feedback_id(sent: Sent, what: str) -> str:
    """The same each time that it is told."""
    return str(uuid5(UUID(sent.id), what))


def _mail(
    sent: Sent,
    message_id: str | None,
    event_type: str,
    feedback: str,
    inner: Mapping[str, Any],
    at: int,
) -> Record:
    headers, truncated = _headers(sent)
    common = {name.lower(): value for name, value in headers}
    sender = common.get("from") or sent.sender
    mail = {
        "message_id": message_id or sent.id,
        "message_send_timestamp": sent.accepted_at,
        "from_address": sender,
        "destination": [sent.address],
        "headers_truncated": truncated,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "common_headers": {
            "from": sender,
            "to": [common.get("to") or sent.address],
            **_given(subject=common.get("subject")),
        },
    }
    # The caller's Context: Athena views of Pinpoint's events read it from either place.
    record = _envelope(
        sent,
        event_type,
        sent.endpoint_id or sent.id,
        {**sent.context, "feedback": feedback},
        at=at,
        happened=sent.accepted_at,
    )
    del record["metrics"]
    return record | {
        "client_context": {"custom": {**sent.context, "legacy_identifier": sent.application_id}},
        "facets": {"email_channel": {"mail_event": {"mail": mail, **inner}}},
    }


def _headers(sent: Sent) -> tuple[list[tuple[str, str]], bool]:
    """The headers that the caller gave the message, and whether they are cut short."""
    message = sent.message
    if isinstance(message, RawEmail):
        head = _END_OF_HEADERS.split(message.data, maxsplit=1)[0]
        parsed = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(head)
        given = [(name, str(value)) for name, value in parsed.items()]
    elif isinstance(message, Email):
        given = [
            ("From", message.from_address or sent.sender or ""),
            ("To", sent.address),
            *([("Reply-To", ", ".join(message.reply_to))] if message.reply_to else []),
            ("Subject", message.subject.data),
            ("MIME-Version", "1.0"),
            *message.headers,
        ]
    else:
        given = []
    kept: list[tuple[str, str]] = []
    room = _HEADERS_LIMIT
    for name, value in given:
        room -= len(name) + len(value)
        if room < 0:
            return kept, True
        kept.append((name, value))
    return kept, False


def _of_other(sent: Sent, result: str, record_status: str, outcome: Outcome, at: int) -> Record:
    family = sent.channel if sent.channel in {ChannelType.VOICE, ChannelType.CUSTOM} else "PUSH"
    attributes = {
        "sender_request_id": sent.request_id,
        "delivery_type": sent.channel,
        "destination": sent.address,
        "record_status": record_status,
        "status_code": str(outcome.status_code),
        "status_message": outcome.status_message,
        "message_id": outcome.message_id or sent.id,
        "updated_token": outcome.updated_token,
        "customer_context": _json(sent.context) if sent.context else None,
    }
    client = sent.endpoint_id or sent.id
    return _envelope(sent, f"_{family}.{result}", client, attributes, at=at, happened=at)


def _result(outcome: Outcome) -> str:
    return "SUCCESS" if outcome.status is DeliveryStatus.SUCCESSFUL else "FAILURE"


def _envelope(
    sent: Sent,
    event_type: str,
    client_id: str,
    attributes: Mapping[str, str | None],
    *,
    at: int,
    happened: int,
) -> Record:
    return {
        "event_type": event_type,
        "event_timestamp": happened,
        "arrival_timestamp": at,
        "event_version": _VERSION,
        "application": {"app_id": sent.application_id, "sdk": {}},
        "client": {"client_id": client_id},
        "device": {"platform": {}},
        "session": {},
        "attributes": {name: one for name, one in attributes.items() if one is not None},
        "metrics": {},
        "awsAccountId": sent.account,
    }


def _record_status(outcome: Outcome) -> str:
    """Pinpoint's word for what became of a text message that no receipt has come for."""
    if outcome.status is DeliveryStatus.PERMANENT_FAILURE:
        return (
            "INVALID"
            if outcome.dead_address
            else _REFUSED.get(outcome.fault or Fault.PROVIDER, "UNKNOWN")
        )
    return _RECORD_STATUS.get(outcome.status, "UNKNOWN")


_RECORD_STATUS = {
    DeliveryStatus.SUCCESSFUL: "PENDING",
    DeliveryStatus.OPT_OUT: "OPTED_OUT",
    DeliveryStatus.TIMEOUT: "TTL_EXPIRED",
}
_REFUSED = {Fault.MESSAGE: "INVALID_MESSAGE", Fault.RECIPIENT: "UNREACHABLE"}


def _country(number: str) -> str | None:
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    country: str | None = phonenumbers.region_code_for_number(parsed)
    return country


def _locale(code: str | None) -> dict[str, str] | None:
    """`en_US`, in parts."""
    if not code:
        return None
    language, _, country = code.replace("-", "_").partition("_")
    return _given(code=code, country=country or None, language=language)


def _read(member: str, text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
        return milliseconds(when if when.tzinfo is not None else when.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ValueError(f"{member}: must be a date and time in ISO 8601") from None


def _given(**members: Any) -> dict[str, Any]:
    return {name: one for name, one in members.items() if one is not None}


def _json(context: Mapping[str, str]) -> str:
    return json.dumps(dict(context), separators=(",", ":"), ensure_ascii=False)
