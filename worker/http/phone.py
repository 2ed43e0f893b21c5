"""PhoneNumberValidate."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker import phone, wire
from worker.http import answers, body
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource


def resources() -> list[Resource]:
    """The resource of this module."""
    return [
        resource(
            "/v1/phone/number/validate",
            POST=Operation(
                "PhoneNumberValidate",
                validate,
                takes=wire.NumberValidateRequest,
                gives=wire.NumberValidateResponse,
            ),
        )
    ]


async def validate(edge: Edge, request: Request) -> Response:
    """Pinpoint's PhoneNumberValidate. The number is not kept."""
    content = await body.read(request)
    asked = wire.decode(content, wire.NumberValidateRequest)
    return answers.json(await edge.run(phone.validate, asked))
