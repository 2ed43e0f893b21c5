"""The routes."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from worker import store, wire
from worker.http import (
    answers,
    apps,
    channels,
    endpoints,
    events,
    failures,
    guard,
    messages,
    openapi,
    otp,
    out_of_scope,
    phone,
    receipts,
    tags,
    templates,
    users,
)
from worker.http.edge import Edge, open_edge
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime

# Everything that the AWS SDKs send from a browser, and what is ours.
_REQUEST_HEADERS = (
    "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token,X-Amz-User-Agent,"
    "amz-sdk-invocation-id,amz-sdk-request,x-amz-content-sha256,Idempotency-Key,Prefer"
)


def application(runtime: Runtime) -> Starlette:
    """The ASGI application over a runtime, which stays its opener's to close.

    `ValueError` for settings that would accept unsigned requests from beyond this machine.
    """
    edge = open_edge(runtime)
    app = Starlette(
        routes=[one.route(edge) for one in resources()],
        middleware=[Middleware(guard.guard, edge=edge, networks=guard.networks(runtime.settings))],
        exception_handlers={404: _unknown, 405: _other_method},
    )
    app.router.redirect_slashes = False
    return app


def resources() -> list[Resource]:
    """Everything that there is, in the order in which it is looked up."""
    ours = [
        resource("/", GET=Operation("About", about, gives=About)),
        resource("/healthz", GET=Operation("Health", health, gives=Health)),
        resource("/openapi.json", GET=Operation("OpenAPI", describe, gives=dict[str, Any])),
    ]
    return [
        *messages.resources(),
        *ours,
        *apps.resources(),
        *channels.resources(),
        *endpoints.resources(),
        *events.resources(),
        *otp.resources(),
        *failures.resources(),
        *phone.resources(),
        *receipts.resources(),
        *tags.resources(),
        *templates.resources(),
        *users.resources(),
        *out_of_scope.resources(),
    ]


class About(msgspec.Struct):
    """What this is, and the paths of some things in it."""

    service: str
    description: str
    links: dict[str, str]


class Health(msgspec.Struct):
    """`ok`, or what is wrong."""

    status: str


async def about(_: Edge, __: Request) -> Response:
    """What this is."""
    return answers.json(
        About(
            service="Sendpoint",
            description="A self-hosted, Amazon-Pinpoint-compatible sending backend",
            links={
                "health": "/healthz",
                "openapi": "/openapi.json",
                "send": "/v1/apps/{application-id}/messages",
                "outcomes": "/v1/apps/{application-id}/messages/{request-id}",
            },
        )
    )


async def health(edge: Edge, _: Request) -> Response:
    """200 if requests can be stored: the database answers and its schema is this version's.
    503 otherwise."""
    try:
        current = await edge.run(store.is_current, edge.runtime.db)
    except store.Unavailable:
        return answers.json(Health("the database does not answer"), 503)
    if not current:
        return answers.json(Health("the schema is not current"), 503)
    return answers.json(Health("ok"))


async def describe(_: Edge, __: Request) -> Response:
    """The API as a document of OpenAPI 3.1: the one that says this."""
    return Response(_document(), media_type="application/json")


@functools.cache
def _document() -> bytes:
    return msgspec.json.encode(openapi.document(resources()))


async def _unknown(_: Request, __: Exception) -> Response:
    raise wire.NotFound("Resource not found")


async def _other_method(request: Request, error: Exception) -> Response:
    """The path is known, the method is not its own: a preflight, or a mistake."""
    assert isinstance(error, HTTPException)
    methods = (error.headers or {})["Allow"].split(", ")
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))
    if request.method == "OPTIONS":
        preflight = {
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        }
        return Response(headers=preflight)
    mistake = wire.MethodNotAllowed(f"The resource has no method {request.method}")
    refused = guard.refusal(mistake, request.state.request_id)
    refused.headers["Allow"] = allowed
    return refused
