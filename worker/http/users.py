"""Users: they are what their endpoints say they are."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker import store, wire
from worker.http import answers, path
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime


def resources() -> list[Resource]:
    """The resource of this module."""
    return [
        resource(
            "/v1/apps/{application_id}/users/{user_id}",
            GET=Operation("GetUserEndpoints", get, gives=wire.EndpointsResponse),
            DELETE=Operation(
                "DeleteUserEndpoints", delete, gives=wire.EndpointsResponse, status=202
            ),
        )
    ]


async def get(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetUserEndpoints."""
    place = path.application_id(request), path.segment(request, "user_id")
    return answers.json(await edge.run(_get, edge.runtime, *place))


async def delete(edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteUserEndpoints: 202 and what they were."""
    place = path.application_id(request), path.segment(request, "user_id")
    return answers.json(await edge.run(_delete, edge.runtime, *place), 202)


def _get(runtime: Runtime, application_id: str, user_id: str) -> wire.EndpointsResponse:
    found = store.user_endpoints(runtime.db, application_id, [user_id])
    return _told(found.get(user_id, []))


def _delete(runtime: Runtime, application_id: str, user_id: str) -> wire.EndpointsResponse:
    return _told(store.delete_user_endpoints(runtime.db, application_id, user_id))


def _told(endpoints: list[wire.EndpointResponse]) -> wire.EndpointsResponse:
    """A user without endpoints is not there."""
    if not endpoints:
        raise wire.NotFound("Resource not found")
    return wire.EndpointsResponse(Item=endpoints)
