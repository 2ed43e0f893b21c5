"""The routes."""

from __future__ import annotations

import functools

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker import store, wire
from worker.http import (
    apps,
    channels,
    endpoints,
    guard,
    messages,
    out_of_scope,
    phone,
    tags,
    templates,
    users,
)
from worker.http.edge import THREADS, Edge
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
    edge = Edge(runtime, anyio.CapacityLimiter(THREADS))
    send, send_users, outcomes, healthy = (
        functools.partial(one, edge)
        for one in (messages.send, messages.send_users, messages.outcomes, health)
    )
    app = Starlette(
        routes=[
            Route("/", about),
            Route("/healthz", healthy),
            Route(messages.PATH, send, methods=["POST"]),
            Route(f"{messages.PATH}/{{request_id}}", outcomes),
            Route(messages.USERS_PATH, send_users, methods=["POST"]),
            *out_of_scope.routes(),  # before what would take an in-app template for one of its own
            *apps.routes(edge),
            *channels.routes(edge),
            *endpoints.routes(edge),
            *phone.routes(edge),
            *tags.routes(edge),
            *templates.routes(edge),
            *users.routes(edge),
        ],
        middleware=[Middleware(guard.guard, edge=edge, networks=guard.networks(runtime.settings))],
        exception_handlers={404: _unknown, 405: _other_method},
    )
    app.router.redirect_slashes = False
    return app


async def about(_: Request) -> Response:
    """What this is."""
    return JSONResponse(
        {
            "service": "Sendpoint",
            "description": "A self-hosted, Amazon-Pinpoint-compatible sending backend",
            "links": {
                "health": "/healthz",
                "send": "/v1/apps/{application-id}/messages",
                "outcomes": "/v1/apps/{application-id}/messages/{request-id}",
            },
        }
    )


async def health(edge: Edge, _: Request) -> Response:
    """200 if requests can be stored: the database answers and its schema is this version's."""
    try:
        current = await edge.run(store.is_current, edge.runtime.db)
    except store.Unavailable:
        return JSONResponse({"status": "the database does not answer"}, status_code=503)
    if not current:
        return JSONResponse({"status": "the schema is not current"}, status_code=503)
    return JSONResponse({"status": "ok"})


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
