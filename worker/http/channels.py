"""Channels: one set of operations for each of Pinpoint's ten types."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker import kinds, provisioning, wire
from worker.http import answers, body, path
from worker.http.edge import Edge, resource
from worker.runtime import Runtime


def routes(edge: Edge) -> list[Route]:
    """The routes of this module."""
    every = "/v1/apps/{application_id}/channels"
    return [
        resource(edge, every, GET=get_all),
        resource(edge, f"{every}/{{kind}}", GET=get, PUT=update, DELETE=delete),
    ]


async def get_all(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetChannels."""
    application_id = path.application_id(request)
    return answers.json(await edge.run(provisioning.get_all, edge.runtime, application_id))


async def get(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetAdmChannel, GetApnsChannel and so on."""
    application_id, kind = path.application_id(request), _kind(request)
    return answers.json(await edge.run(provisioning.get, edge.runtime, application_id, kind))


async def update(edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateAdmChannel, UpdateApnsChannel and so on."""
    application_id, kind = path.application_id(request), _kind(request)
    content = await body.read(request)
    return answers.json(await edge.run(_update, edge.runtime, application_id, kind, content))


async def delete(edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteAdmChannel, DeleteApnsChannel and so on."""
    application_id, kind = path.application_id(request), _kind(request)
    return answers.json(await edge.run(provisioning.delete, edge.runtime, application_id, kind))


def _update(
    runtime: Runtime, application_id: str, kind: kinds.Kind, content: bytes
) -> msgspec.Struct:
    request: msgspec.Struct = wire.decode(content, kind.request)
    wire.storable(request)
    return provisioning.update(runtime, application_id, kind, request)


def _kind(request: Request) -> kinds.Kind:
    found = kinds.KINDS.get(path.segment(request, "kind"))
    if found is None:
        raise wire.NotFound("Resource not found")
    return found
