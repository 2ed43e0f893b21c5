"""SendMessages and SendUsersMessages, and asking what became of a request."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import intake, store, wire
from worker.http import answers, body, path
from worker.http.edge import Edge, Posted
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?=[;,]|$)', re.IGNORECASE)

_Key = Annotated[str, msgspec.Meta(pattern=f"^{intake.KEY}$", description="Sends nothing again")]
_Wait = Annotated[str, msgspec.Meta(description="RFC 7240: `wait=N` seconds for the outcomes")]
HEADERS = {"Idempotency-Key": _Key, "Prefer": _Wait}
"""What everything that sends takes."""

_INVOCATION_IDS = ("amz-sdk-invocation-id", "aws-sdk-invocation-id")
"""Where the AWS SDKs write which call an attempt is of; the second is PHP's and old Android's."""


def resources() -> list[Resource]:
    """The resources of this module."""
    app = "/v1/apps/{application_id}"
    return [
        resource(
            f"{app}/messages",
            POST=Operation(
                "SendMessages",
                send,
                takes=wire.MessageRequest,
                gives=wire.MessageResponse,
                headers=HEADERS,
            ),
        ),
        resource(
            f"{app}/messages/{{request_id}}",
            GET=Operation("GetMessageOutcomes", outcomes, gives=wire.MessageOutcomes),
        ),
        resource(
            f"{app}/users-messages",
            POST=Operation(
                "SendUsersMessages",
                send_users,
                takes=wire.SendUsersMessageRequest,
                gives=wire.SendUsersMessageResponse,
                headers=HEADERS,
            ),
        ),
    ]


async def send(edge: Edge, request: Request) -> Response:
    """Pinpoint's SendMessages: accept, wait a bounded time for the outcomes, answer.

    `Prefer: wait=N` (RFC 7240) lowers the time that `Settings.wait` allows. The answer's
    `RequestId` is the stored request's, and so the first one's for a repetition; the header
    `x-amzn-RequestId` is this call's own.
    """
    return await accept_and_answer(edge, request, _accept, intake.tell)


async def send_users(edge: Edge, request: Request) -> Response:
    """Pinpoint's SendUsersMessages, by the same rules."""
    return await accept_and_answer(edge, request, _accept_users, intake.tell_users)


async def outcomes(edge: Edge, request: Request) -> Response:
    """What became of a request by now. Pinpoint has no such operation."""
    application_id, request_id = path.application_id(request), path.request_id(request)
    told = await edge.run(intake.outcomes, edge.runtime, application_id, request_id)
    return answers.json(told)


async def accept_and_answer(
    edge: Edge,
    request: Request,
    accept: Callable[[Edge, Posted], Awaitable[intake.Accepted]],
    tell: Callable[[str, UUID, Sequence[store.Result | store.Recipient]], msgspec.Struct],
) -> Response:
    """The way of everything that sends. `accept` stores what was posted; `tell` says what is known
    of its recipients then."""
    application_id = path.application_id(request)
    content = await body.read(request)
    key = _idempotency_key(request, content)
    seconds = _seconds(request, edge.runtime.settings.wait)
    accepted = await accept(edge, Posted(application_id, content, key, _caller(request)))
    found: Sequence[store.Result | store.Recipient] = accepted.recipients
    if accepted.repeated or (seconds > 0 and not accepted.settled):
        known = edge.runtime.db, application_id, accepted.request_id
        try:
            await _wait(edge, request, accepted.request_id, seconds)
            found = await edge.run(store.results, *known)
        except store.Unavailable:
            # It is stored: whoever is answered with an error sends it again.
            if accepted.repeated:
                raise
    return answers.json(tell(application_id, accepted.request_id, found))


async def _accept(edge: Edge, posted: Posted) -> intake.Accepted:
    came_to = await edge.accepts.put(posted)
    if isinstance(came_to, Exception):
        raise came_to
    return came_to


async def _accept_users(edge: Edge, posted: Posted) -> intake.Accepted:
    return await edge.run(_users_accepted, edge.runtime, posted)


def _users_accepted(runtime: Runtime, posted: Posted) -> intake.Accepted:
    return intake.accept_users(
        runtime,
        posted.application_id,
        wire.decode(posted.content, wire.SendUsersMessageRequest),
        idempotency_key=posted.idempotency_key,
        caller=posted.caller,
    )


async def _wait(edge: Edge, request: Request, request_id: UUID, seconds: float) -> None:
    """Until every outcome is final, the time is up, or the client is gone."""
    give_up = time.monotonic() + seconds
    for pause in intake.pauses():
        left = give_up - time.monotonic()
        if left <= 0 or await request.is_disconnected():
            return
        await asyncio.sleep(min(pause, left))
        if await edge.settled.put(request_id):
            return


def _seconds(request: Request, most: float) -> float:
    """How long to wait. RFC 7240: the first `wait` counts, one that cannot be read does not."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return most if found is None else min(most, int(found[1]))


def _idempotency_key(request: Request, content: bytes) -> str | None:
    """The caller's key, else one from the id that the AWS SDKs give to all attempts of a call.

    Anybody could send another's invocation id, since it is not signed; with the body in the key
    it merges only requests that are identical; and every key is one of its caller's.
    """
    key = request.headers.get("idempotency-key")
    if key is not None:
        return key
    given = (request.headers.get(name) for name in _INVOCATION_IDS)
    invocation = next((one for one in given if one is not None), None)
    if invocation is None:
        return None
    return "sdk:" + hashlib.sha256(f"{invocation}\n".encode() + content).hexdigest()


def _caller(request: Request) -> str:
    """Who holds the idempotency key: without `auth`, all callers are one."""
    key = request.state.access_key
    return key.id if key else ""
