"""PhoneNumberValidate."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker import phone, wire
from worker.http import answers, body
from worker.http.edge import Edge, resource


def routes(edge: Edge) -> list[Route]:
    """The route of this module."""
    return [resource(edge, "/v1/phone/number/validate", POST=validate)]


async def validate(edge: Edge, request: Request) -> Response:
    """Pinpoint's PhoneNumberValidate. The number is not kept."""
    content = await body.read(request)
    asked = wire.decode(content, wire.NumberValidateRequest)
    return answers.json(await edge.run(phone.validate, asked))
