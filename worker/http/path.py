"""Reading what is in a request's path and query."""

from __future__ import annotations

import re
from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request

from worker import wire
from worker.wire import bounds


def segment(request: Request, name: str) -> str:
    """A part of the path, decoded. PostgreSQL can not even be asked for one with NUL in it."""
    text = unquote(request.path_params[name])
    if "\0" in text:
        raise wire.NotFound("Resource not found")
    return text


def application_id(request: Request) -> str:
    """The application that the path names."""
    return segment(request, "application_id")


def request_id(request: Request) -> UUID:
    """The id in the path, in the form in which it was given out: `UUID` reads many others."""
    text = request.path_params["request_id"]
    try:
        request_id = UUID(text)
    except ValueError:
        raise wire.NotFound("Resource not found") from None
    if str(request_id) != text.lower():
        raise wire.NotFound("Resource not found")
    return request_id


def page_size(request: Request) -> int:
    """How many items a page may have: the query's `page-size`, else as many as there may be. An
    empty one is none."""
    text = request.query_params.get("page-size") or str(bounds.MAX_PAGE)
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= bounds.MAX_PAGE:
        raise wire.BadRequest(f"page-size: must be a number from 1 to {bounds.MAX_PAGE}")
    return int(text)
