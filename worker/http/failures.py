"""What failed, and why. Pinpoint has no such operations."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from adapters.contract import ChannelType, Fault
from worker import store, story, wire
from worker.http import answers, path
from worker.http.edge import Edge
from worker.http.operations import Operation, PageSize, Resource, resource
from worker.runtime import Runtime

_STATUSES = ("PERMANENT_FAILURE", "TIMEOUT", "UNKNOWN_FAILURE")
_WORDS: Mapping[str, tuple[str, frozenset[str]]] = {
    "channel": ("channel_type", frozenset(ChannelType)),
    "status": ("status", frozenset(_STATUSES)),
    "fault": ("fault", frozenset(Fault)),
}
_FLAGS = {"true": True, "false": False}


def resources() -> list[Resource]:
    """The resources of this module."""
    app = "/v1/apps/{application_id}"
    return [
        resource(
            f"{app}/failures",
            GET=Operation(
                "ListFailures",
                failures,
                gives=wire.Failures,
                query={
                    **dict.fromkeys(
                        ("since", "until", "channel", "provider", "status", "fault"), str
                    ),
                    "code": int,
                    "request-id": UUID,
                    "replayed": bool,
                    "page-size": PageSize,
                    "token": str,
                },
            ),
        ),
        resource(
            f"{app}/messages/{{request_id}}/history",
            GET=Operation("GetMessageHistories", histories, gives=wire.MessageHistories),
        ),
    ]


async def failures(edge: Edge, request: Request) -> Response:
    """Messages that failed for good, the latest first. All parameters narrow it down; `since` and
    `until` are times in ISO 8601."""
    wanted = _wanted(path.application_id(request), request.query_params)
    size, mark = path.page_size(request), _mark(request.query_params.get("token"))
    return answers.json(await edge.run(_page, edge.runtime, wanted, size, mark))


async def histories(edge: Edge, request: Request) -> Response:
    """What happened to each message of a request, step by step."""
    place = path.application_id(request), path.request_id(request)
    return answers.json(await edge.run(_histories, edge.runtime, *place))


def _page(
    runtime: Runtime, wanted: store.Wanted, size: int, mark: store.Mark | None
) -> wire.Failures:
    found = store.failures(runtime.db, wanted, size=size + 1, after=mark)
    more = len(found) > size
    return wire.Failures(
        Item=[story.failure(one) for one in found[:size]],
        NextToken=_token(found[size - 1].mark) if more else None,
    )


def _histories(runtime: Runtime, application_id: str, request_id: UUID) -> wire.MessageHistories:
    found = store.histories(runtime.db, request_id)
    if not found or found[0].application_id != application_id:
        raise wire.NotFound("Resource not found")
    now = runtime.db.time()
    return wire.MessageHistories(Item=[story.history(one, now) for one in found])


def _wanted(application_id: str, query: Mapping[str, str]) -> store.Wanted:
    replayed = _flag(query.get("replayed"))
    standing = None
    if replayed is not None:
        only = {store.Standing.REPLAYED}
        standing = only if replayed else set(store.Standing) - only
    words = {field: _word(query, name, known) for name, (field, known) in _WORDS.items()}
    provider = query.get("provider")
    if provider is not None and not provider.isprintable():
        raise wire.BadRequest("provider: is not the name of one")
    return store.Wanted(
        application_id=application_id,
        provider=provider,
        code=_code(query.get("code")),
        since=_time(query, "since"),
        until=_time(query, "until"),
        request_id=_id(query.get("request-id")),
        standing=standing,
        **words,
    )


def _word(query: Mapping[str, str], name: str, known: frozenset[str]) -> str | None:
    word = query.get(name)
    if word is not None and word not in known:
        raise wire.BadRequest(f"{name}: must be one of {', '.join(sorted(known))}")
    return word


def _flag(text: str | None) -> bool | None:
    if text is not None and text not in _FLAGS:
        raise wire.BadRequest("replayed: must be true or false")
    return None if text is None else _FLAGS[text]


def _code(text: str | None) -> int | None:
    if text is not None and not re.fullmatch("[0-9]{1,9}", text):
        raise wire.BadRequest("code: must be a number")
    return None if text is None else int(text)


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    """A time; one that says no zone is in UTC."""
    text = query.get(name)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise wire.BadRequest(f"{name}: must be a time such as 2026-11-25T03:00:00Z") from None


def _id(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise wire.BadRequest("request-id: must be the id of a request") from None


def _token(mark: store.Mark) -> str:
    return base64.urlsafe_b64encode(f"{mark.failed_at.isoformat()} {mark.id}".encode()).decode()


def _mark(token: str | None) -> store.Mark | None:
    """The place that a token of ours stands for; there is none before the first page."""
    if not token:
        return None
    try:
        failed_at, id_ = base64.urlsafe_b64decode(token).decode().split(" ")
        when = datetime.fromisoformat(failed_at)
        return store.Mark(when.astimezone(UTC), UUID(id_))
    except (ValueError, OverflowError, binascii.Error):
        raise wire.BadRequest("token: is not one that this operation gave out") from None
