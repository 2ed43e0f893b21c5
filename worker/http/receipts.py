"""What providers post of messages that they took. No key is needed: the provider's signature says
who it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker import receipts
from worker.http import body
from worker.http.edge import Edge
from worker.http.operations import Operation, Resource, resource

_LONGEST = 64 * 1024  # bytes; Twilio sends one or two thousand


def resources() -> list[Resource]:
    """The resources of this module."""
    received = Operation("PutReceipt", receive, status=204, query={"message!": str})
    return [resource("/receipts", POST=received)]


async def receive(edge: Edge, request: Request) -> Response:
    """What a provider says became of a message: Twilio's StatusCallback. It is signed by the
    provider, in its own way; anything else is 403."""
    content = await body.read(request, most=_LONGEST)
    message = request.query_params.get("message", "")
    headers = dict(request.headers)
    await edge.run(receipts.receive, edge.runtime, message, headers, content)
    return Response(status_code=204)
