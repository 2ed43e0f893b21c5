"""The Python edge: SendMessages as a function."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from worker import intake, runtime, settings, store, wire


def send_messages(
    application_id: str,
    request: Mapping[str, Any] | wire.MessageRequest,
    *,
    idempotency_key: str | None = None,
    wait: float = 0.0,
) -> wire.MessageResponse:
    """Accept a message for up to 100 recipients and answer as Pinpoint does.

    `request` is a MessageRequest, typed or as the dict that boto3 takes. `wait` is how many
    seconds to wait for the outcomes; what is not known by then is answered as pending (code 202).
    The backend is the one that the environment's `SENDPOINT_…` settings name.

    Raises `worker.wire.BadRequest`, `NotFound` or `Conflict`; then nothing was stored.
    """
    if not isinstance(request, wire.MessageRequest):
        request = wire.convert(request, wire.MessageRequest)
    held = _runtime()
    accepted = intake.accept(held, application_id, request, idempotency_key=idempotency_key)
    if accepted.settled or (wait <= 0 and not accepted.repeated):
        return intake.tell(application_id, accepted.request_id, accepted.recipients)
    try:
        if wait > 0:
            intake.wait_until_settled(held, accepted.request_id, wait)
        return intake.answer(held, application_id, accepted.request_id)
    except store.Unavailable:
        # It is stored: whoever gets an error sends it again.
        if accepted.repeated:
            raise
        return intake.tell(application_id, accepted.request_id, accepted.recipients)


@functools.cache
def _runtime() -> runtime.Runtime:
    return runtime.open_client(settings.load())
