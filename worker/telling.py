"""What the applications' event streams are told of their messages.

Nobody is told anything without a sink, nor of an application without an event stream; then none of
this costs a message more than a look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from adapters.contract import ChannelType, DeliveryStatus, Outcome, Receipt
from adapters.messages import Message
from adapters.smtp_bounces import Complaint, Verdict
from worker import event_records, render, store, wire
from worker.event_records import Record, Sent
from worker.runtime import Runtime

_CONTEXT = '"Context"'
_SENDERS = ("from_address", "origination_number", "sender_id")

_log = logging.getLogger(__name__)


async def of_attempt(
    runtime: Runtime,
    claimed: store.Claimed,
    outcome: Outcome,
    *,
    message: Message | None,
    settings: Mapping[str, object],
) -> Sequence[store.Event]:
    """What is told once this outcome, which settles the message, is recorded. `settings` are the
    provider's."""
    if runtime.sink is None:
        return ()
    stream = await _stream(runtime, claimed)
    if stream is None:
        return ()
    try:
        request = runtime.known(claimed.request_id) or await _read(runtime, claimed)
        sent = _sent(claimed, stream, request, message, settings)
        return _events(sent, event_records.of_outcome(sent, outcome, at=_now()))
    except Exception:  # noqa: BLE001 - what is told must not keep a result from being recorded
        _log.exception("Message %s: nothing is told of it", claimed.id)
        return ()


async def _stream(runtime: Runtime, claimed: store.Claimed) -> store.EventStream | None:
    """The application's event stream. If nothing is known of it and the database is away, it is
    waited for, as long as the message is held: nothing could be recorded meanwhile."""
    pause = 0.1
    while True:
        try:
            return await runtime.stream(claimed.application_id)
        except store.Unavailable:
            if time.monotonic() + pause > claimed.held_until:
                _log.error("Message %s: nothing is told of it", claimed.id)
                return None
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


async def _read(runtime: Runtime, claimed: store.Claimed) -> wire.MessageRequest:
    """The request of a message that took so long that others have pushed it out."""
    try:
        return await runtime.requests.put(claimed.request_id) or _NO_REQUEST
    except store.Unavailable:
        return _NO_REQUEST  # of which less is told


def of_settled(runtime: Runtime) -> store.Tell | None:
    """What is told of the messages that a sweep settles; None if nobody is told anything."""
    if runtime.sink is None:
        return None
    return lambda rows: [event for one in rows for event in _of_row(one, {}, _of_result(one))]


def of_receipt(
    runtime: Runtime, receipt: Receipt, settings: Mapping[str, object]
) -> store.Tell | None:
    """What is told of the message that a receipt is of; None if nobody is told anything. `settings`
    are the provider's."""
    if runtime.sink is None:
        return None

    def records(sent: Sent) -> list[Record]:
        return [event_records.of_receipt(sent, receipt, at=_now())]

    return lambda rows: [event for one in rows for event in _of_row(one, settings, records)]


def of_bounce(
    runtime: Runtime, verdict: Verdict, settings: Mapping[str, object]
) -> store.Tell | None:
    """What is told of a letter when a report says what became of it; None if nobody is told
    anything. `settings` are the provider's."""
    if runtime.sink is None:
        return None
    return lambda rows: [
        event for one in rows for event in _of_row(one, settings, _of_verdict(one, verdict))
    ]


def of_complaint(
    runtime: Runtime, complaint: Complaint, settings: Mapping[str, object]
) -> store.Tell | None:
    """The same of a letter that its recipient complained of."""
    if runtime.sink is None:
        return None

    def records(row: store.Settled) -> Records:
        return lambda sent: [
            event_records.of_complaint(sent, complaint, row.message_id, at=_now()),
        ]

    return lambda rows: [event for one in rows for event in _of_row(one, settings, records(one))]


Records = Callable[[Sent], list[Record]]


def _of_result(row: store.Settled) -> Records:
    outcome = Outcome(
        status=DeliveryStatus(row.delivery_status),
        status_code=row.status_code,
        status_message=row.status_message,
        message_id=row.message_id,
    )
    return lambda sent: event_records.of_outcome(sent, outcome, at=_now())


def _of_verdict(row: store.Settled, verdict: Verdict) -> Records:
    return lambda sent: [event_records.of_bounce(sent, verdict, row.message_id, at=_now())]


def _of_row(
    row: store.Settled, settings: Mapping[str, object], records: Records
) -> Sequence[store.Event]:
    try:
        request = wire.decode(row.body.encode(), render.Content)
        sent = _sent(row, row.stream, request, _rendered(row, request), settings)
        return _events(sent, records(sent))
    except Exception:  # noqa: BLE001 - what is told must not keep a row from being settled
        _log.exception("Message %s: nothing is told of it", row.id)
        return ()


def _rendered(row: store.Settled, request: wire.MessageRequest) -> Message | None:
    try:
        return render.render(
            ChannelType(row.channel_type),
            request,
            _recipient(row),
            wire.decode(row.variables.encode(), dict) if row.variables else None,
        )
    except render.Unrenderable:
        return None


def _sent(
    row: store.Claimed | store.Settled,
    stream: store.EventStream,
    request: wire.MessageRequest,
    message: Message | None,
    settings: Mapping[str, object],
) -> Sent:
    sender = next((str(settings[name]) for name in _SENDERS if settings.get(name)), None)
    server = settings.get("host")
    return Sent(
        id=str(row.id),
        application_id=row.application_id,
        request_id=str(row.request_id),
        channel=row.channel_type,
        address=row.address,
        endpoint_id=row.endpoint_id,
        accepted_at=event_records.milliseconds(row.created_at),
        account=event_records.account_of(stream.destination),
        message=message,
        sender=sender,
        server=str(server) if server else None,
        context=_context(row, request),
    )


def _context(row: store.Claimed | store.Settled, request: wire.MessageRequest) -> Mapping[str, str]:
    """What the caller said of the request, and of this recipient of it."""
    # Few say anything of one recipient: the others are not read once more for it.
    if row.configuration and _CONTEXT in row.configuration:
        return {**(request.Context or {}), **(_recipient(row).Context or {})}
    return request.Context or {}


def _recipient(row: store.Claimed | store.Settled) -> wire.EndpointSendConfiguration:
    return wire.decode((row.configuration or "{}").encode(), wire.EndpointSendConfiguration)


def _events(sent: Sent, records: Sequence[Record]) -> Sequence[store.Event]:
    return [store.Event(sent.application_id, event_records.encode(one)) for one in records]


def _now() -> int:
    return time.time_ns() // 1_000_000


_NO_REQUEST = wire.MessageRequest(MessageConfiguration=wire.DirectMessageConfiguration())
