"""Reading what is in a request's path and query."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request

from worker import wire


def segment(request: Request, name: str) -> str:
    """A part of the path, decoded. PostgreSQL can not even be asked for one with NUL in it."""
    text = unquote(request.path_params[name])
    if "\0" in text:
        raise wire.NotFound("Resource not found")
    return text


def application_id(request: Request) -> str:
    """The application that the path names."""
    return segment(request, "application_id")
