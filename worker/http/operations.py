"""What an operation of the API is: what does it, and what there is to tell of it.

The routes and the OpenAPI document are made from the same values, so neither can have an operation
that the other has not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from worker.http.edge import Edge
from worker.wire import bounds

Call = Callable[[Edge, Request], Awaitable[Response]]

OUT_OF_SCOPE = 405
"""The status that all answers of an operation have which Sendpoint does not do."""

PageSize = Annotated[int, msgspec.Meta(ge=1, le=bounds.MAX_PAGE)]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    `name` is the one that AWS's SDKs have for it. `takes` is the shape of the request's body and
    `gives` that of the answer's, None where there is none. `query` and `headers` are parameters and
    their types; none is required unless its name ends in `!`. `about` says what it does, else the
    docstring of `call`.
    """

    name: str
    call: Call
    takes: Any = None
    gives: Any = None
    status: int = 200
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A path, in Starlette's way of writing them, and its operation for each method."""

    path: str
    operations: Mapping[str, Operation]

    def route(self, edge: Edge) -> Route:
        """One route for all methods, since that is what says which methods a path has."""
        return Route(self.path, _Operate(edge, self.operations), methods=[*self.operations])


@dataclass(frozen=True, slots=True)
class _Operate:
    """ASGI: the operations of a path. What they raise is for `worker.http.guard`."""

    edge: Edge
    operations: Mapping[str, Operation]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        method = "GET" if request.method == "HEAD" else request.method
        response = await self.operations[method].call(self.edge, request)
        await response(scope, receive, send)


def resource(path: str, **operations: Operation) -> Resource:
    """A resource, its operations given by method: `resource("/v1/apps", GET=..., POST=...)`."""
    return Resource(path, operations)
