"""Channels: one set of operations for each of Pinpoint's ten types."""

from __future__ import annotations

import functools

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import kinds, provisioning, wire
from worker.http import answers, body, path
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime


def resources() -> list[Resource]:
    """The resources of this module."""
    every = "/v1/apps/{application_id}/channels"
    return [
        resource(every, GET=Operation("GetChannels", get_all, gives=wire.ChannelsResponse)),
        *(_resource(f"{every}/{name}", name, kind) for name, kind in kinds.KINDS.items()),
    ]


def _resource(where: str, name: str, kind: kinds.Kind) -> Resource:
    channel = "".join(map(str.capitalize, name.split("_"))) + "Channel"
    return resource(
        where,
        GET=Operation(f"Get{channel}", functools.partial(get, kind), gives=kind.response),
        PUT=Operation(
            f"Update{channel}",
            functools.partial(update, kind),
            takes=kind.request,
            gives=kind.response,
        ),
        DELETE=Operation(f"Delete{channel}", functools.partial(delete, kind), gives=kind.response),
    )


async def get_all(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetChannels."""
    application_id = path.application_id(request)
    return answers.json(await edge.run(provisioning.get_all, edge.runtime, application_id))


async def get(kind: kinds.Kind, edge: Edge, request: Request) -> Response:
    """Pinpoint's GetAdmChannel, GetApnsChannel and so on."""
    application_id = path.application_id(request)
    return answers.json(await edge.run(provisioning.get, edge.runtime, application_id, kind))


async def update(kind: kinds.Kind, edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateAdmChannel, UpdateApnsChannel and so on."""
    application_id = path.application_id(request)
    content = await body.read(request)
    return answers.json(await edge.run(_update, edge.runtime, application_id, kind, content))


async def delete(kind: kinds.Kind, edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteAdmChannel, DeleteApnsChannel and so on."""
    application_id = path.application_id(request)
    return answers.json(await edge.run(provisioning.delete, edge.runtime, application_id, kind))


def _update(
    runtime: Runtime, application_id: str, kind: kinds.Kind, content: bytes
) -> msgspec.Struct:
    request: msgspec.Struct = wire.decode(content, kind.request)
    wire.storable(request)
    return provisioning.update(runtime, application_id, kind, request)
