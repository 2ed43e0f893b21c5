"""Tags of applications and templates, by ARN."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import store, wire
from worker.http import answers, body, path
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime
from worker.wire import bounds

_ARN = "arn:aws:mobiletargeting:us-east-1:000000000000"
_RESOURCE = re.compile(
    r"arn:aws[a-z-]*:mobiletargeting:[a-z0-9-]+:[A-Za-z0-9]+:"
    r"(?:apps/(?P<id>[^/]+)|templates/(?P<name>[^/]+)/(?P<type>[A-Z]+))"
)
_SOME = msgspec.Meta(min_length=1)


def resources() -> list[Resource]:
    """The resource of this module. A client may leave the slash in the ARN as it is."""
    return [
        resource(
            "/v1/tags/{resource_arn:path}",
            GET=Operation("ListTagsForResource", list_, gives=wire.TagsModel),
            POST=Operation("TagResource", tag, takes=wire.TagsModel, status=204),
            DELETE=Operation(
                "UntagResource", untag, status=204, query={"tagKeys!": Annotated[list[str], _SOME]}
            ),
        )
    ]


def arn(application_id: str) -> str:
    """The ARN of an application. Region and account are made up; in what callers send, any do."""
    return f"{_ARN}:apps/{application_id}"


def template_arn(name: str, template_type: str) -> str:
    """The ARN of a template, likewise. It is the same for all of its versions."""
    return f"{_ARN}:templates/{name}/{template_type}"


async def list_(edge: Edge, request: Request) -> Response:
    """Pinpoint's ListTagsForResource."""
    return answers.json(await edge.run(_list, edge.runtime, _arn(request)))


async def tag(edge: Edge, request: Request) -> Response:
    """Pinpoint's TagResource: 204."""
    content = await body.read(request)
    await edge.run(_tag, edge.runtime, _arn(request), content)
    return Response(status_code=204)


async def untag(edge: Edge, request: Request) -> Response:
    """Pinpoint's UntagResource: 204, also for keys that are not there."""
    keys = request.query_params.getlist("tagKeys")
    if not keys:
        raise wire.BadRequest("tagKeys: at least one is required")
    await edge.run(_change, edge.runtime, _arn(request), {}, keys)
    return Response(status_code=204)


def _list(runtime: Runtime, named: re.Match[str]) -> wire.TagsModel:
    found: store.Application | store.TemplateVersion | None
    if named["id"] is not None:
        found = store.find_application(runtime.db, named["id"])
    else:
        found = store.find_template(runtime.db, named["name"], named["type"])
    if found is None:
        raise wire.NotFound("Resource not found")
    return wire.TagsModel(tags=dict(found.tags))


def _tag(runtime: Runtime, named: re.Match[str], content: bytes) -> None:
    request = wire.decode(content, wire.TagsModel)
    wire.storable(request)
    wire.check_tags(request.tags)
    _change(runtime, named, request.tags, ())


def _change(
    runtime: Runtime, named: re.Match[str], put: Mapping[str, str], remove: Sequence[str]
) -> None:
    most = bounds.MAX_TAGS
    if named["id"] is not None:
        changed = store.change_tags(runtime.db, named["id"], put=put, remove=remove, most=most)
    else:
        changed = store.change_template_tags(
            runtime.db, named["name"], named["type"], put=put, remove=remove, most=most
        )
    if changed is None:
        raise wire.NotFound("Resource not found")
    if not changed:
        raise wire.BadRequest(f"tags: would be more than {bounds.MAX_TAGS}")


def _arn(request: Request) -> re.Match[str]:
    """What the ARN in the path names: an application's `id`, or a template's `name` and `type`."""
    found = _RESOURCE.fullmatch(path.segment(request, "resource_arn"))
    if found is None:
        raise wire.NotFound("Resource not found")
    return found
