"""What every request passes through: who may ask, how paths are read, and how errors are told."""

from __future__ import annotations

import functools
import logging
import math
import re
import traceback
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker import store, wire
from worker.http import auth, permissions
from worker.http.edge import Edge
from worker.settings import Settings

OPEN = ("/healthz", "/openapi.json", "/receipts")
"""What is open to everybody whose address is let in."""

Networks = tuple[IPv4Network | IPv6Network, ...]

_log = logging.getLogger(__name__)

_EVERY_ANSWER = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-amzn-RequestId,x-amzn-ErrorType,Retry-After"),
]
_ABSOLUTE = re.compile(rb"https?://[^/]+", re.IGNORECASE)
_FORBIDDEN = "Requests from this address are not accepted; SENDPOINT_ALLOW_FROM says which are"
_UNAVAILABLE = "The database did not answer; try again"
_BROKEN = "The request could not be processed because of an internal error"
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_EVERYBODY = ("0.0.0.0/0", "::/0")


def guard(app: ASGIApp, edge: Edge, networks: Networks) -> ASGIApp:
    """ASGI middleware around the routes.

    It lets only these networks in, and with `auth` only keys whose scope has what is asked for;
    the key is in the request's state as `access_key`, which is None without `auth`. It gives each
    call the id that `x-amzn-RequestId` and the log name it by, has the routes match the path as it
    was sent, so that `%2F` separates nothing, and turns whatever is raised into Pinpoint's error.
    """
    callers = auth.Callers(edge) if edge.runtime.settings.auth else None

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        scope = {**scope, "raw_path": _origin_form(scope["raw_path"])}
        request_id = str(uuid4())
        headers = every_answers(request_id)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        path, key, rest = _path(scope), None, receive
        try:
            _let_in(scope, networks)
            if callers is not None and not _is_open(scope["method"], path):
                key, rest = await callers.caller(scope, receive)
                permissions.check(key, scope["method"], path)
            _refuse_detours(path)
            state = {**scope.get("state", {}), "request_id": request_id, "access_key": key}
            await app({**scope, "path": path, "state": state}, rest, answer)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:  # noqa: BLE001 - the last place where it can be answered
            await refusal(error, request_id)(scope, receive, answer)

    return guarded


def every_answers(request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers that every answer has, errors too."""
    return [*_EVERY_ANSWER, (b"x-amzn-requestid", request_id.encode())]


def refusal(error: Exception, request_id: str) -> Response:
    """An exception as Pinpoint's error. One that is not the caller's mistake is logged.

    What is ours is 500, a database that does not answer too: the SDKs try again on it, and
    InternalServerErrorException is the only such error in Pinpoint's model.
    """
    status, code, message = 500, "InternalServerErrorException", _BROKEN
    if isinstance(error, wire.RequestError):
        status, code, message = error.status, error.code, error.message
    elif isinstance(error, store.Unavailable):
        message = _UNAVAILABLE
        _log.warning("Request %s: the database did not answer", request_id)
    else:
        # The error's own text may quote a recipient, so only where it was raised is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("Request %s: %s\n%s", request_id, type(error).__name__, where)
    headers = {"x-amzn-ErrorType": code}
    if isinstance(error, wire.TooManyRequests) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    body = wire.MessageBody(Message=message, RequestID=request_id)
    return Response(
        wire.encode(body), status_code=status, media_type="application/json", headers=headers
    )


def networks(settings: Settings) -> Networks:
    """The networks whose requests are accepted: those of `allow_from`, else everybody's with `auth`
    and this machine's without.

    `ValueError` if that would be unsigned requests from anywhere beyond this machine.
    """
    default = _EVERYBODY if settings.auth else _LOOPBACK
    accepted = tuple([ip_network(one) for one in settings.allow_from or default])
    if not settings.auth and not all(network.is_loopback for network in accepted):
        raise ValueError(
            "SENDPOINT_ALLOW_FROM needs SENDPOINT_AUTH=on: unsigned requests are accepted from "
            "this machine only"
        )
    return accepted


def _is_open(method: str, path: str) -> bool:
    """Whether nobody needs a key: preflights and load balancers have none, the OpenAPI document is
    the same everywhere, and receipts are signed by the provider."""
    return method == "OPTIONS" or path in OPEN


def _origin_form(target: bytes) -> bytes:
    """The path of a target that is a whole URL: so ask clients that take this for a proxy."""
    found = _ABSOLUTE.match(target)
    return target if found is None else target[found.end() :] or b"/"


def _path(scope: Scope) -> str:
    """The path as it was sent, without the slash at its end that Pinpoint's own examples have."""
    raw: bytes = scope["raw_path"]
    return raw.decode("latin-1").removesuffix("/") or "/"


def _refuse_detours(path: str) -> None:
    """Have dot segments and empty ones lead nowhere. The SDKs sign the path that is left without
    them, so a path with them must not be another resource's."""
    if "//" in path or not {".", ".."}.isdisjoint(path.split("/")):
        raise wire.NotFound("Resource not found")


def _let_in(scope: Scope, networks: Networks) -> None:
    """Refuse a peer outside the networks. It is the connection's: what headers say of it proves
    nothing, and a Unix socket has none."""
    if scope.get("client") is None or not _is_within(scope["client"][0], networks):
        raise wire.Forbidden(_FORBIDDEN)


@functools.lru_cache(maxsize=1024)
def _is_within(address: str, networks: Networks) -> bool:
    peer = ip_address(address)
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in network for network in networks)
