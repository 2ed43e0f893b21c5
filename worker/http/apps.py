"""Applications and their settings."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import store, wire
from worker.http import answers, body, path, tags
from worker.http.edge import Edge
from worker.http.operations import Operation, PageSize, Resource, resource
from worker.runtime import Runtime

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_LIMITS = wire.CampaignLimits(Daily=0, MaximumDuration=60, MessagesPerSecond=50, Total=0)
_TOLD = ("CampaignHook", "Limits", "QuietTime", "JourneyLimits")


def resources() -> list[Resource]:
    """The resources of this module."""
    one = "/v1/apps/{application_id}"
    return [
        resource(
            "/v1/apps",
            GET=Operation(
                "GetApps",
                get_all,
                gives=wire.ApplicationsResponse,
                query={"page-size": PageSize, "token": str},
            ),
            POST=Operation(
                "CreateApp",
                create,
                takes=wire.CreateApplicationRequest,
                gives=wire.ApplicationResponse,
                status=201,
            ),
        ),
        resource(
            one,
            GET=Operation("GetApp", get, gives=wire.ApplicationResponse),
            DELETE=Operation("DeleteApp", delete, gives=wire.ApplicationResponse),
        ),
        resource(
            f"{one}/settings",
            GET=Operation(
                "GetApplicationSettings", get_settings, gives=wire.ApplicationSettingsResource
            ),
            PUT=Operation(
                "UpdateApplicationSettings",
                update_settings,
                takes=wire.WriteApplicationSettingsRequest,
                gives=wire.ApplicationSettingsResource,
            ),
        ),
    ]


async def create(edge: Edge, request: Request) -> Response:
    """Pinpoint's CreateApp: 201."""
    content = await body.read(request)
    return answers.json(await edge.run(_create, edge.runtime, content), 201)


async def get_all(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetApps: a page of them, by id."""
    size = path.page_size(request)
    after = _cursor(request.query_params.get("token"))
    return answers.json(await edge.run(_page, edge.runtime, after, size))


async def get(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetApp."""
    application_id = path.application_id(request)
    return answers.json(
        _told(await edge.run(store.find_application, edge.runtime.db, application_id))
    )


async def delete(edge: Edge, request: Request) -> Response:
    """Pinpoint's DeleteApp: its channels and endpoints go, its requests and results stay."""
    return answers.json(await edge.run(_delete, edge.runtime, path.application_id(request)))


async def get_settings(edge: Edge, request: Request) -> Response:
    """Pinpoint's GetApplicationSettings."""
    application_id = path.application_id(request)
    found = await edge.run(store.application_settings, edge.runtime.db, application_id)
    return answers.json(_settings(application_id, found))


async def update_settings(edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateApplicationSettings. None of them has an effect on what Sendpoint does."""
    content = await body.read(request)
    application_id = path.application_id(request)
    return answers.json(await edge.run(_update_settings, edge.runtime, application_id, content))


def _create(runtime: Runtime, content: bytes) -> wire.ApplicationResponse:
    request = wire.decode(content, wire.CreateApplicationRequest)
    wire.storable(request)
    wire.check_application_name(request.Name)
    wire.check_tags(request.tags or {})
    return _told(store.create_application(runtime.db, request.Name, tags=request.tags))


def _page(runtime: Runtime, after: str, size: int) -> wire.ApplicationsResponse:
    found = store.application_page(runtime.db, after=after, size=size + 1)
    token = None
    if len(found) > size:
        cursor = json.dumps({"ApplicationId": found[size - 1].id})
        token = base64.b64encode(cursor.encode()).decode()
    return wire.ApplicationsResponse(Item=[_told(one) for one in found[:size]], NextToken=token)


def _delete(runtime: Runtime, application_id: str) -> wire.ApplicationResponse:
    told = _told(store.delete_application(runtime.db, application_id))
    runtime.channels.forget(application_id)
    return told


def _told(one: store.Application | None) -> wire.ApplicationResponse:
    if one is None:
        raise wire.NotFound("Resource not found")
    return wire.ApplicationResponse(
        Arn=tags.arn(one.id),
        Id=one.id,
        Name=one.name,
        tags=dict(one.tags),
        CreationDate=store.iso(one.created_at) if one.created_at else None,
    )


def _update_settings(
    runtime: Runtime, application_id: str, content: bytes
) -> wire.ApplicationSettingsResource:
    request = wire.decode(content, wire.WriteApplicationSettingsRequest)
    wire.storable(request)
    quiet = request.QuietTime or wire.QuietTime()
    for text in (quiet.Start, quiet.End):
        if text and not _CLOCK.fullmatch(text):
            raise wire.BadRequest("QuietTime: Start and End must be times such as 22:00")
    new = msgspec.to_builtins(request)
    return _settings(
        application_id, store.change_application_settings(runtime.db, application_id, new)
    )


def _settings(
    application_id: str, found: store.ApplicationSettings | None
) -> wire.ApplicationSettingsResource:
    if found is None:
        raise wire.NotFound("Resource not found")
    # Pinpoint shows its defaults until they are set.
    empty: dict[str, Any] = {
        "CampaignHook": {},
        "Limits": msgspec.to_builtins(_LIMITS),
        "QuietTime": {},
    }
    told = {**empty, **{name: one for name, one in found.values.items() if name in _TOLD}}
    modified = {"LastModifiedDate": store.iso(found.modified_at)} if found.modified_at else {}
    return wire.convert(
        {"ApplicationId": application_id, **told, **modified}, wire.ApplicationSettingsResource
    )


def _cursor(token: str | None) -> str:
    """The id that a token of ours stands for; there is none before the first page."""
    if not token:
        return ""
    try:
        cursor = json.loads(base64.b64decode(token, validate=True))
        after = cursor["ApplicationId"]
    except (ValueError, TypeError, KeyError, RecursionError):
        after = None
    if not isinstance(after, str) or not after.isprintable():
        raise wire.BadRequest("token: is not one that GetApps gave out")
    return after
