"""Event streams, and the events that apps report."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker import app_events, merging, store, wire
from worker.http import answers, body, path
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime
from worker.wire import bounds

_PLACE = r"arn:aws[a-z-]*:{}:[a-z0-9-]*:[0-9]{{12}}:{}"
_NAME = r"(?!\.\.?\Z)[a-zA-Z0-9_.-]"  # it may become the name of a file or a directory
_STREAM = re.compile(
    _PLACE.format("kinesis", rf"stream/{_NAME}{{1,128}}")
    + "|"
    + _PLACE.format("firehose", rf"deliverystream/{_NAME}{{1,64}}")
)
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,512}")


def resources() -> list[Resource]:
    """The resources of this module."""
    app = "/v1/apps/{application_id}"
    return [
        resource(
            f"{app}/eventstream",
            GET=Operation("GetEventStream", get, gives=wire.EventStream),
            POST=Operation(
                "PutEventStream", put, takes=wire.WriteEventStream, gives=wire.EventStream
            ),
            DELETE=Operation("DeleteEventStream", delete, gives=wire.EventStream),
        ),
        resource(
            f"{app}/events",
            POST=Operation(
                "PutEvents",
                report,
                takes=wire.EventsRequest,
                gives=wire.EventsResponse,
                status=202,
            ),
        ),
    ]


async def get(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetEventStream."""
    application_id = path.application_id(request)
    found = await edge.run(store.find_event_stream, edge.runtime.db, application_id)
    return answers.json(_told(found))


async def put(edge: Edge, request: Request) -> Response:
    """Pinpoint's PutEventStream."""
    application_id, content = path.application_id(request), await body.read(request)
    key = request.state.access_key
    by = None if key is None else key.name
    return answers.json(await edge.run(_put, edge.runtime, application_id, content, by))


async def delete(edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteEventStream, and what it was."""
    application_id = path.application_id(request)
    found = await edge.run(store.delete_event_stream, edge.runtime.db, application_id)
    return answers.json(_told(found))


async def report(edge: Edge, request: Request) -> Response:
    """Pinpoint's PutEvents: 202, with what became of each endpoint and event."""
    application_id, content = path.application_id(request), await body.read(request)
    told = await edge.run(_report, edge.runtime, application_id, content, request.state.request_id)
    return answers.json(told, 202)


def _put(runtime: Runtime, application_id: str, content: bytes, by: str | None) -> wire.EventStream:
    request = wire.decode(content, wire.WriteEventStream)
    if not _STREAM.fullmatch(request.DestinationStreamArn):
        raise wire.BadRequest(
            "DestinationStreamArn: must be the ARN of a Kinesis data stream or of a Firehose "
            "delivery stream"
        )
    if not _ROLE.fullmatch(request.RoleArn):
        raise wire.BadRequest("RoleArn: must be the ARN of an IAM role")
    return _told(
        store.put_event_stream(
            runtime.db,
            application_id,
            destination=request.DestinationStreamArn,
            role=request.RoleArn,
            by=by,
        )
    )


def _told(stream: store.EventStream | None) -> wire.EventStream:
    if stream is None:
        raise wire.NotFound("Resource not found")
    return wire.EventStream(
        ApplicationId=stream.application_id,
        DestinationStreamArn=stream.destination,
        RoleArn=stream.role,
        LastModifiedDate=store.iso(stream.modified_at),
        LastUpdatedBy=stream.modified_by,
    )


def _report(
    runtime: Runtime, application_id: str, content: bytes, request_id: str
) -> wire.EventsResponse:
    if len(content) > bounds.MAX_EVENTS_BYTES:
        raise wire.PayloadTooLarge(
            f"The request body is larger than {bounds.MAX_EVENTS_BYTES} bytes"
        )
    value = wire.decode(content, dict[str, Any])
    items = value.get("BatchItem")
    for item in items.values() if isinstance(items, dict) else ():
        merging.list_values(item.get("Endpoint") if isinstance(item, dict) else None)
    request = wire.convert(value, wire.EventsRequest)
    return app_events.accept(runtime, application_id, request, request_id=request_id)
