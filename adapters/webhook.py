"""CUSTOM: a signed POST to the receiver's own server (Standard Webhooks,
https://www.standardwebhooks.com).

Redirects (the URL has moved) and 410 (the receiver wants no more, says the standard) are the fault
of the channel's configuration, as 401 and 403 are. No answer says anything about the recipient's
address: one URL serves them all.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence

from adapters import answers, http
from adapters.contract import (
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    permanent,
    temporary,
)
from adapters.messages import Custom
from adapters.signed_post import ForbiddenAddressError, SignedPost

_CONFIGURATION = DeliveryStatus.PERMANENT_FAILURE, Fault.CREDENTIALS
_LATER = DeliveryStatus.TEMPORARY_FAILURE, Fault.PROVIDER

BY_CODE = {
    401: _CONFIGURATION,
    403: _CONFIGURATION,
    408: _LATER,
    410: _CONFIGURATION,
    429: (DeliveryStatus.THROTTLED, Fault.PROVIDER),
}
BY_CLASS = {
    2: (DeliveryStatus.SUCCESSFUL, None),
    3: _CONFIGURATION,
    4: (DeliveryStatus.PERMANENT_FAILURE, Fault.MESSAGE),
    5: _LATER,
}
_OTHERS = DeliveryStatus.UNKNOWN_FAILURE, Fault.PROVIDER

_EXCERPT = 500
_ADDRESS = re.compile(r"[^\s<>\"]+@[^\s<>\"]+")


class Webhook:
    """Posts each message as JSON to `url`: the event's own members beside `MessageId`, `RequestId`,
    `ApplicationId`, `ChannelType` and `Address`, which they can not replace.

    `secret` is `whsec_` and 24 to 64 bytes in base64; several, parted by spaces, while one replaces
    another. `headers` go along with every request. `timeout` bounds a delivery's own, in seconds.
    `allow_private` are the networks (CIDR) outside the public Internet that may be connected to;
    a plain `http` URL is connected to within these only. The check is made on the address of the
    socket itself, so neither a name nor a way to write an address gets around it.

    Redirects are not followed, cookies not kept, proxies of the environment not used.
    ValueError names the setting that is wrong and never shows a secret.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 15.0,
        connections: int = 50,
        allow_private: Sequence[str] = (),
    ) -> None:
        if timeout <= 0 or connections < 1:
            raise ValueError("timeout must be positive and connections at least 1")
        self._posts = SignedPost(
            url=url,
            secret=secret,
            headers=headers,
            connections=connections,
            allow_private=allow_private,
        )
        self._timeout = timeout

    async def send(self, delivery: Delivery) -> Outcome:
        """One POST; its `webhook-id` is the delivery's id, so a receiver can drop a repetition."""
        if self._posts.closed:
            return temporary(503, "The adapter is closed")
        try:
            body = _payload(delivery)
        except (TypeError, ValueError, RecursionError):
            text = "The message can not be written as a JSON object"
            return permanent(400, text, fault=Fault.MESSAGE)
        deadline = asyncio.get_running_loop().time() + min(delivery.timeout, self._timeout)
        try:
            reply = await self._posts.post(delivery.id, body, deadline=deadline)
        except http.NoAnswer as trouble:
            return _no_answer(trouble)
        return _outcome(
            reply.status,
            self._shown(reply.body.decode("utf-8", "replace"), delivery.address),
            message_id=delivery.id,
            retry_after=answers.retry_after(reply.headers.get("Retry-After")),
        )

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._posts.aclose()

    def _shown(self, text: str, address: str) -> str:
        for hidden in filter(None, (*self._posts.hidden, address)):
            text = text.replace(hidden, "***")
        text = _ADDRESS.sub("***", text[: 2 * _EXCERPT])
        return "".join(char if char.isprintable() else " " for char in text)[:_EXCERPT].strip()


def _payload(delivery: Delivery) -> bytes:
    if not isinstance(delivery.message, Custom):
        raise ValueError("not an event")  # noqa: TRY004  # a verdict on the message
    envelope = {
        "MessageId": delivery.id,
        "RequestId": delivery.request_id,
        "ApplicationId": delivery.application_id,
        "ChannelType": str(delivery.channel),
        "Address": delivery.address,
    }
    document = {**envelope, **delivery.message.data, **envelope}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _outcome(status: int, text: str, *, message_id: str, retry_after: float | None) -> Outcome:
    verdict, fault = BY_CODE.get(status) or BY_CLASS.get(status // 100) or _OTHERS
    return Outcome(
        status=verdict,
        status_code=status,
        status_message=text,
        message_id=message_id if fault is None else None,
        retry_after=retry_after if fault is Fault.PROVIDER else None,
        fault=fault,
    )


def _no_answer(trouble: http.NoAnswer) -> Outcome:
    cause = getattr(trouble.__cause__, "os_error", trouble.__cause__)
    if isinstance(cause, ForbiddenAddressError):
        text = "The webhook's host has an address that may not be connected to"
        return permanent(403, text, fault=Fault.CREDENTIALS)
    return http.unanswered("The webhook", trouble)
