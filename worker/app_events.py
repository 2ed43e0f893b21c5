"""What apps report with PutEvents: events for the application's event stream, and what they say of
their endpoints."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import msgspec

from worker import event_records, merging, store, wire
from worker.runtime import Runtime
from worker.wire import bounds

_ACCEPTED = 202, "Accepted"


def accept(
    runtime: Runtime, application_id: str, request: wire.EventsRequest, *, request_id: str
) -> wire.EventsResponse:
    """Update the endpoints and have the events told. Once this returns, no crash loses them.

    An endpoint or an event that cannot be taken is that one's 400, and the others are taken.
    Raises `NotFound` for an unknown application, and `BadRequest` for a request without events or
    with too many. Without an event stream, or a sink for it, events go nowhere.
    """
    count = sum(len(one.Events) for one in request.BatchItem.values())
    if not request.BatchItem or count > bounds.MAX_EVENTS:
        raise wire.BadRequest(
            f"BatchItem: must have endpoints, and at most {bounds.MAX_EVENTS} events"
        )
    wire.storable(request)
    if not store.has_application(runtime.db, application_id):
        raise wire.NotFound("Resource not found")
    answered = {
        endpoint_id: _update(runtime, application_id, endpoint_id, one.Endpoint, request_id)
        for endpoint_id, one in request.BatchItem.items()
    }
    stream = store.find_event_stream(runtime.db, application_id) if runtime.sink else None
    known = store.endpoints(runtime.db, application_id, request.BatchItem) if stream else {}
    told: list[store.Event] = []
    results: dict[str, wire.ItemResponse] = {}
    for endpoint_id, one in request.BatchItem.items():
        says = known.get(endpoint_id) or one.Endpoint
        read = functools.partial(
            event_records.of_app,
            application_id,
            endpoint_id,
            says.Demographic,
            account=event_records.account_of(stream.destination if stream else ""),
            at=time.time_ns() // 1_000_000,
        )
        answers = {name: _read(read, event) for name, event in one.Events.items()}
        told += [
            store.Event(application_id, event_records.encode(record))
            for record, _ in answers.values()
            if record is not None and stream is not None
        ]
        results[endpoint_id] = wire.ItemResponse(
            EndpointItemResponse=answered[endpoint_id],
            EventsItemResponse={name: answer for name, (_, answer) in answers.items()},
        )
    if told:
        store.add_events(runtime.db, told)
    return wire.EventsResponse(Results=results)


def _read(
    read: Callable[[wire.Event], event_records.Record], event: wire.Event
) -> tuple[event_records.Record | None, wire.EventItemResponse]:
    """An event's record, or None if it cannot be taken, and what its reporter is answered."""
    status, text = _ACCEPTED
    record = None
    try:
        _check(event)
        record = read(event)
    except ValueError as wrong:
        status, text = 400, str(wrong)
    return record, wire.EventItemResponse(StatusCode=status, Message=text)


def _update(
    runtime: Runtime,
    application_id: str,
    endpoint_id: str,
    endpoint: wire.PublicEndpoint,
    request_id: str,
) -> wire.EndpointItemResponse:
    """What becomes of the endpoint. One of which nothing is said stays as it is."""
    status, text = _ACCEPTED
    try:
        if endpoint != wire.PublicEndpoint():
            merging.check_id(endpoint_id)
            named = msgspec.structs.replace(endpoint, RequestId=endpoint.RequestId or request_id)
            store.update_endpoints(runtime.db, application_id, [(endpoint_id, named)])
    except wire.BadRequest as mistake:
        status, text = mistake.status, mistake.message
    return wire.EndpointItemResponse(StatusCode=status, Message=text)


def _check(event: wire.Event) -> None:
    """`ValueError` for an event that Pinpoint would not take."""
    if not event.EventType:
        raise ValueError("EventType: must not be empty")
    names = [*(event.Attributes or ()), *(event.Metrics or ())]
    if len(names) > bounds.MAX_EVENT_KEYS:
        raise ValueError(f"Attributes, Metrics: are more than {bounds.MAX_EVENT_KEYS}")
    if any(not 1 <= len(one) <= bounds.MAX_EVENT_KEY for one in names):
        raise ValueError(
            f"Attributes, Metrics: a name must have 1 to {bounds.MAX_EVENT_KEY} characters"
        )
    if any(len(one) > bounds.MAX_EVENT_VALUE for one in (event.Attributes or {}).values()):
        raise ValueError(f"Attributes: a value is longer than {bounds.MAX_EVENT_VALUE} characters")
    if len(wire.encode(event)) > bounds.MAX_EVENT_BYTES:
        raise ValueError(f"The event is larger than {bounds.MAX_EVENT_BYTES} bytes")
