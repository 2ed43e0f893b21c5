"""Endpoints: updated one by one or in batches, read, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import merging, store, wire
from worker.http import answers, body, path
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime
from worker.wire import bounds

_PLACES = {
    "endpoint-custom-attributes": ("Attributes",),
    "endpoint-metric-attributes": ("Metrics",),
    "endpoint-user-attributes": ("User", "UserAttributes"),
}


def resources() -> list[Resource]:
    """The resources of this module."""
    app = "/v1/apps/{application_id}"
    return [
        resource(
            f"{app}/endpoints",
            PUT=Operation(
                "UpdateEndpointsBatch",
                update_batch,
                takes=wire.EndpointBatchRequest,
                gives=wire.MessageBody,
                status=202,
            ),
        ),
        resource(
            f"{app}/endpoints/{{endpoint_id}}",
            GET=Operation("GetEndpoint", get, gives=wire.EndpointResponse),
            PUT=Operation(
                "UpdateEndpoint",
                update,
                takes=wire.EndpointRequest,
                gives=wire.MessageBody,
                status=202,
            ),
            DELETE=Operation("DeleteEndpoint", delete, gives=wire.EndpointResponse, status=202),
        ),
        resource(
            f"{app}/attributes/{{attribute_type}}",
            PUT=Operation(
                "RemoveAttributes",
                remove_attributes,
                takes=wire.UpdateAttributesRequest,
                gives=wire.AttributesResource,
            ),
        ),
    ]


async def update(edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateEndpoint, which merges: 202."""
    content = await body.read(request)
    place = path.application_id(request), path.segment(request, "endpoint_id")
    await edge.run(_update, edge.runtime, *place, content, request.state.request_id)
    return answers.accepted(request)


async def update_batch(edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateEndpointsBatch: 202. All are stored, or none."""
    content = await body.read(request)
    application_id = path.application_id(request)
    await edge.run(_update_batch, edge.runtime, application_id, content, request.state.request_id)
    return answers.accepted(request)


async def get(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetEndpoint."""
    place = path.application_id(request), path.segment(request, "endpoint_id")
    return answers.json(await edge.run(_get, edge.runtime, *place))


async def delete(edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteEndpoint: 202 and what it was."""
    place = path.application_id(request), path.segment(request, "endpoint_id")
    return answers.json(await edge.run(_delete, edge.runtime, *place), 202)


async def remove_attributes(edge: Edge, request: Request) -> Response:
    """Pinpoint's RemoveAttributes, from every endpoint of the application."""
    content = await body.read(request)
    place = path.application_id(request), path.segment(request, "attribute_type")
    return answers.json(await edge.run(_remove_attributes, edge.runtime, *place, content))


def _update(
    runtime: Runtime, application_id: str, endpoint_id: str, content: bytes, request_id: str
) -> None:
    value = wire.decode(content, dict[str, Any])
    merging.list_values(value)
    request = wire.convert(value, wire.EndpointRequest)
    wire.storable(request)
    _store(runtime, application_id, [(endpoint_id, request)], request_id)


def _update_batch(runtime: Runtime, application_id: str, content: bytes, request_id: str) -> None:
    value = wire.decode(content, dict[str, Any])
    items = value.get("Item")
    for item in items if isinstance(items, list) else ():
        merging.list_values(item)
    request = wire.convert(value, wire.EndpointBatchRequest)
    wire.storable(request)
    if not 1 <= len(request.Item) <= bounds.MAX_ENDPOINT_BATCH:
        raise wire.BadRequest(
            f"Item: must be 1 to {bounds.MAX_ENDPOINT_BATCH} endpoints, not {len(request.Item)}"
        )
    _store(runtime, application_id, [(one.Id or "", one) for one in request.Item], request_id)


def _store(
    runtime: Runtime,
    application_id: str,
    updates: Sequence[tuple[str, wire.EndpointRequest]],
    request_id: str,
) -> None:
    for endpoint_id, _ in updates:
        merging.check_id(endpoint_id)
    named = [
        (endpoint_id, msgspec.structs.replace(new, RequestId=new.RequestId or request_id))
        for endpoint_id, new in updates
    ]
    store.update_endpoints(runtime.db, application_id, named)


def _get(runtime: Runtime, application_id: str, endpoint_id: str) -> wire.EndpointResponse:
    found = store.endpoints(runtime.db, application_id, [endpoint_id]).get(endpoint_id)
    if found is None:
        raise wire.NotFound("Resource not found")
    return found


def _delete(runtime: Runtime, application_id: str, endpoint_id: str) -> wire.EndpointResponse:
    deleted = store.delete_endpoint(runtime.db, application_id, endpoint_id)
    if deleted is None:
        raise wire.NotFound("Resource not found")
    return deleted


def _remove_attributes(
    runtime: Runtime, application_id: str, attribute_type: str, content: bytes
) -> wire.AttributesResource:
    place = _PLACES.get(attribute_type)
    if place is None:
        raise wire.BadRequest(f"attribute-type: must be one of {', '.join(_PLACES)}")
    patterns = wire.decode(content, wire.UpdateAttributesRequest).Blacklist or []
    if not 1 <= len(patterns) <= bounds.MAX_PATTERNS:
        raise wire.BadRequest(f"Blacklist: must be 1 to {bounds.MAX_PATTERNS} names or patterns")
    if any(len(one) > bounds.MAX_PATTERN for one in patterns):
        raise wire.BadRequest(
            f"Blacklist: a pattern is longer than {bounds.MAX_PATTERN} characters"
        )
    removed = store.remove_attributes(runtime.db, application_id, place, patterns)
    return wire.AttributesResource(
        ApplicationId=application_id, AttributeType=attribute_type, Attributes=sorted(removed)
    )
