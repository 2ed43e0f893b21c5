"""What every request passes through: who may ask, how paths are read, and how errors are told."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker import store, wire
from worker.settings import Settings

_log = logging.getLogger(__name__)

_EVERY_ANSWER = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-amzn-RequestId,x-amzn-ErrorType"),
]
_FORBIDDEN = "Requests from this address are not accepted; SENDPOINT_ALLOW_FROM says which are"
_UNAVAILABLE = "The database did not answer; try again"
_BROKEN = "The request could not be processed because of an internal error"


def guard(app: ASGIApp, settings: Settings) -> ASGIApp:
    """ASGI middleware around the routes.

    It lets only the networks of `allow_from` in, gives each call the id that `x-amzn-RequestId`
    and the log name it by, has the routes match the path as it was sent, so that `%2F` separates
    nothing, and turns whatever is raised into Pinpoint's error.
    """
    networks = [ip_network(one) for one in settings.allow_from]

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request_id = str(uuid4())
        headers = [*_EVERY_ANSWER, (b"x-amzn-requestid", request_id.encode())]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        state = {**scope.get("state", {}), "request_id": request_id}
        routed = {**scope, "path": _path(scope), "state": state}
        try:
            _let_in(scope, networks)
            await app(routed, receive, answer)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:  # noqa: BLE001 - the last place where it can be answered
            await refusal(error, request_id)(scope, receive, answer)

    return guarded


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
    body = wire.MessageBody(Message=message, RequestID=request_id)
    return Response(
        wire.encode(body),
        status_code=status,
        media_type="application/json",
        headers={"x-amzn-ErrorType": code},
    )


def _path(scope: Scope) -> str:
    """The path as it was sent, without the slash at its end that Pinpoint's own examples have."""
    raw: bytes = scope["raw_path"]
    return raw.decode("latin-1").removesuffix("/") or "/"


def _let_in(scope: Scope, networks: Sequence[IPv4Network | IPv6Network]) -> None:
    """Refuse a peer outside the networks. It is the connection's: what headers say of it proves
    nothing, and a Unix socket has none."""
    if scope.get("client") is not None:
        peer = ip_address(scope["client"][0])
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        if any(peer in network for network in networks):
            return
    raise wire.Forbidden(_FORBIDDEN)
