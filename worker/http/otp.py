"""SendOTPMessage and VerifyOTPMessage."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker import intake, otp, wire
from worker.http import answers, body, messages, path
from worker.http.edge import Edge, Posted
from worker.http.operations import Operation, Resource, resource
from worker.runtime import Runtime


def resources() -> list[Resource]:
    """The resources of this module."""
    app = "/v1/apps/{application_id}"
    return [
        resource(
            f"{app}/otp",
            POST=Operation(
                "SendOTPMessage",
                send,
                takes=wire.SendOTPMessageRequestParameters,
                gives=wire.MessageResponse,
                headers=messages.HEADERS,
            ),
        ),
        resource(
            f"{app}/verify-otp",
            POST=Operation(
                "VerifyOTPMessage",
                verify,
                takes=wire.VerifyOTPMessageRequestParameters,
                gives=wire.VerificationResponse,
            ),
        ),
    ]


async def send(edge: Edge, request: Request) -> Response:
    """Pinpoint's SendOTPMessage: answered as SendMessages is, with one recipient."""
    return await messages.accept_and_answer(edge, request, _accept, intake.tell)


async def verify(edge: Edge, request: Request) -> Response:
    """Pinpoint's VerifyOTPMessage: 200 whether the code is right or not."""
    application_id, content = path.application_id(request), await body.read(request)
    return answers.json(await edge.run(_verify, edge.runtime, application_id, content))


async def _accept(edge: Edge, posted: Posted) -> intake.Accepted:
    return await edge.run(_sent, edge.runtime, posted)


def _sent(runtime: Runtime, posted: Posted) -> intake.Accepted:
    return otp.send(
        runtime,
        posted.application_id,
        wire.decode(posted.content, wire.SendOTPMessageRequestParameters),
        idempotency_key=posted.idempotency_key,
        caller=posted.caller,
    )


def _verify(runtime: Runtime, application_id: str, content: bytes) -> wire.VerificationResponse:
    request = wire.decode(content, wire.VerifyOTPMessageRequestParameters)
    return otp.verify(runtime, application_id, request)
