"""Message templates: Pinpoint's operations on them, for email, push, SMS and voice."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import store, templates, wire
from worker.http import answers, body, path, tags
from worker.http.edge import Edge
from worker.http.operations import Operation, PageSize, Resource, resource
from worker.runtime import Runtime

_NEWEST = 2**31 - 1
_RESPONSES: Mapping[wire.TemplateType, Any] = {
    wire.TemplateType.EMAIL: wire.EmailTemplateResponse,
    wire.TemplateType.SMS: wire.SMSTemplateResponse,
    wire.TemplateType.PUSH: wire.PushNotificationTemplateResponse,
    wire.TemplateType.VOICE: wire.VoiceTemplateResponse,
}


def resources() -> list[Resource]:
    """The resources of this module."""
    one = "/v1/templates/{template_name}"
    versions = f"{one}/{{template_type}}"
    paged = {"next-token": str, "page-size": PageSize}
    return [
        resource(
            "/v1/templates",
            GET=Operation(
                "ListTemplates",
                list_,
                gives=wire.TemplatesResponse,
                query={**paged, "prefix": str, "template-type": wire.TemplateType},
            ),
        ),
        *(_resource(f"{one}/{kind.lower()}", kind) for kind in _RESPONSES),
        resource(
            f"{versions}/versions",
            GET=Operation(
                "ListTemplateVersions",
                list_versions,
                gives=wire.TemplateVersionsResponse,
                query=paged,
            ),
        ),
        resource(
            f"{versions}/active-version",
            PUT=Operation(
                "UpdateTemplateActiveVersion",
                activate,
                takes=wire.TemplateActiveVersionRequest,
                gives=wire.MessageBody,
            ),
        ),
    ]


def _resource(where: str, kind: wire.TemplateType) -> Resource:
    name, takes, version = (
        f"{kind.capitalize()}Template",
        templates.REQUESTS[kind],
        {"version": str},
    )
    return resource(
        where,
        POST=Operation(
            f"Create{name}",
            functools.partial(create, kind),
            takes=takes,
            gives=wire.CreateTemplateMessageBody,
            status=201,
        ),
        GET=Operation(
            f"Get{name}", functools.partial(get, kind), gives=_RESPONSES[kind], query=version
        ),
        PUT=Operation(
            f"Update{name}",
            functools.partial(update, kind),
            takes=takes,
            gives=wire.MessageBody,
            status=202,
            query={**version, "create-new-version": bool},
        ),
        DELETE=Operation(
            f"Delete{name}",
            functools.partial(delete, kind),
            gives=wire.MessageBody,
            status=202,
            query=version,
        ),
    )


async def create(kind: wire.TemplateType, edge: Edge, request: Request) -> Response:
    """Pinpoint's Create…Template: 201. Version 1, which is active."""
    name, content = _name(request), await body.read(request)
    await edge.run(_create, edge.runtime, name, kind, content)
    told = wire.CreateTemplateMessageBody(
        Arn=tags.template_arn(name, kind), Message="Created", RequestID=request.state.request_id
    )
    return answers.json(told, 201)


async def get(kind: wire.TemplateType, edge: Edge, request: Request) -> Response:
    """Pinpoint's Get…Template: the active version, unless one is asked for."""
    version = _version(request)
    found = await edge.run(store.find_template, edge.runtime.db, _name(request), kind, version)
    if found is None:
        raise wire.NotFound("Resource not found")
    return answers.json(wire.convert(_told(found), _RESPONSES[kind]))


async def update(kind: wire.TemplateType, edge: Edge, request: Request) -> Response:
    """Pinpoint's Update…Template: 202. Tags are for creating; an update does not look at them."""
    name, content = _name(request), await body.read(request)
    as_new, latest = _flag(request.query_params.get("create-new-version")), _version(request)
    if as_new and latest is not None:
        raise wire.BadRequest("version: cannot be given together with create-new-version")
    await edge.run(_update, edge.runtime, name, kind, content, latest, as_new)
    return answers.accepted(request)


async def delete(kind: wire.TemplateType, edge: Edge, request: Request) -> Response:
    """Pinpoint's Delete…Template: 202. All versions, unless one is named."""
    version = _version(request)
    await edge.run(store.delete_template, edge.runtime.db, _name(request), kind, version)
    return answers.accepted(request)


async def activate(edge: Edge, request: Request) -> Response:
    """Pinpoint's UpdateTemplateActiveVersion."""
    name, kind = _name(request), _type(request)
    asked = wire.decode(await body.read(request), wire.TemplateActiveVersionRequest).Version
    version = templates.version_number(asked)
    if version is None and asked != "latest":
        raise wire.BadRequest("Version: must be a number or latest")
    await edge.run(store.activate_template, edge.runtime.db, name, kind, version)
    return answers.json(wire.MessageBody(Message="OK", RequestID=request.state.request_id))


async def list_(edge: Edge, request: Request) -> Response:
    """Pinpoint's ListTemplates: a page of them, by name, each as its active version."""
    kind = request.query_params.get("template-type") or None
    if kind is not None and kind not in set(wire.TemplateType):
        raise wire.BadRequest(f"template-type: must be one of {', '.join(wire.TemplateType)}")
    prefix = request.query_params.get("prefix", "")
    page = await edge.run(
        _page, edge.runtime, kind, prefix, _cursor(request), path.page_size(request)
    )
    return answers.json(page)


async def list_versions(edge: Edge, request: Request) -> Response:
    """Pinpoint's ListTemplateVersions: a page of them, the newest first."""
    name, kind, size = _name(request), _type(request), path.page_size(request)
    before = templates.version_number(_cursor(request)) or _NEWEST
    page = await edge.run(_versions_page, edge.runtime, name, kind, before, size)
    return answers.json(msgspec.structs.replace(page, RequestID=request.state.request_id))


def _create(runtime: Runtime, name: str, kind: wire.TemplateType, content: bytes) -> None:
    wire.check_template_name(name)
    document, given = _document(content, kind)
    wire.check_tags(given)
    store.create_template(runtime.db, name, kind, document, given)


def _update(
    runtime: Runtime,
    name: str,
    kind: wire.TemplateType,
    content: bytes,
    latest: int | None,
    as_new: bool,
) -> None:
    document, _ = _document(content, kind)
    store.update_template(runtime.db, name, kind, document, latest=latest, as_new=as_new)


def _page(
    runtime: Runtime, kind: str | None, prefix: str, cursor: str, size: int
) -> wire.TemplatesResponse:
    if "\0" in prefix:  # PostgreSQL cannot even be asked for it
        return wire.TemplatesResponse(Item=[])
    name, _, last = cursor.partition("/")
    found = store.template_page(
        runtime.db, template_type=kind, prefix=prefix, after=(name, last), size=size + 1
    )
    end = f"{found[size - 1].name}/{found[size - 1].type}" if len(found) > size else None
    return wire.TemplatesResponse(
        Item=[wire.convert(_told(one), wire.TemplateResponse) for one in found[:size]],
        NextToken=_token(end),
    )


def _versions_page(
    runtime: Runtime, name: str, kind: wire.TemplateType, before: int, size: int
) -> wire.TemplateVersionsResponse:
    found = store.version_page(runtime.db, name, kind, before=before, size=size + 1)
    if not found and before == _NEWEST:
        raise wire.NotFound("Resource not found")
    end = str(found[size - 1].version) if len(found) > size else None
    return wire.TemplateVersionsResponse(
        Item=[wire.convert(_told(one), wire.TemplateVersionResponse) for one in found[:size]],
        NextToken=_token(end),
    )


def _document(content: bytes, kind: wire.TemplateType) -> tuple[str, Mapping[str, str]]:
    """What a template says, as it is stored, and its tags, which no version has of its own."""
    request = wire.decode(content, templates.REQUESTS[kind])
    wire.check_template(request)
    without_tags = msgspec.structs.replace(request, tags=None)
    return wire.encode(without_tags).decode(), request.tags or {}


def _told(one: store.TemplateVersion) -> dict[str, Any]:
    """Everything that any answer tells of a version, by Pinpoint's names."""
    return {
        **wire.decode(one.document.encode(), dict),
        "Arn": tags.template_arn(one.name, one.type),
        "CreationDate": store.iso(one.created_at),
        "LastModifiedDate": store.iso(one.modified_at),
        "TemplateName": one.name,
        "TemplateType": one.type,
        "Version": str(one.version),
        "tags": dict(one.tags),
    }


def _name(request: Request) -> str:
    return path.segment(request, "template_name")


def _type(request: Request) -> wire.TemplateType:
    """The type in the path of versions, where the SDKs put it as their callers write it: small, or
    as it stands in the answers."""
    kind = path.segment(request, "template_type")
    if kind not in {kind.lower(), kind.upper()} or kind.upper() not in _RESPONSES:
        raise wire.NotFound("Resource not found")
    return wire.TemplateType(kind.upper())


def _version(request: Request) -> int | None:
    text = request.query_params.get("version") or None
    version = templates.version_number(text)
    if text is not None and version is None:
        raise wire.BadRequest("version: must be a number")
    return version


def _flag(text: str | None) -> bool:
    if text not in {None, "", "true", "false"}:
        raise wire.BadRequest("create-new-version: must be true or false")
    return text == "true"


def _token(end: str | None) -> str | None:
    return None if end is None else base64.urlsafe_b64encode(end.encode()).decode()


def _cursor(request: Request) -> str:
    """Where the page before ended; empty for the first."""
    token = request.query_params.get("next-token", "")
    try:
        cursor = base64.b64decode(token, b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        cursor = "\0"
    if "\0" in cursor:
        raise wire.BadRequest("next-token: is not one that was given out")
    return cursor
