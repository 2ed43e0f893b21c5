"""A webhook's receiver that checks signatures (Standard Webhooks,
https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from adapters.doubles import stage
from adapters.doubles.stage import Answer

SECRET = "whsec_" + base64.b64encode(b"the-double's-own-secret!").decode()

_TOLERANCE = 300.0  # seconds between the two clocks


class WebhookDouble(stage.Double):
    """Takes the events of one sender, refuses what it did not sign.

    `script` says what else to do, by the event's Address. `events` are the documents that have been
    read, signed or not, and `reached` is set at each. `clock` is the time in seconds since the
    epoch.
    """

    def __init__(self, *, secret: str = SECRET, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._clock = clock
        self.events: list[dict[str, Any]] = []

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        event = _parsed(body)
        self.events.append(event)
        self.reached.set()
        usual = functools.partial(self._take, request, body, event)
        return await stage.perform(request, self.script.turn(str(event.get("Address"))), usual)

    def _take(self, request: web.BaseRequest, body: bytes, event: dict[str, Any]) -> Answer:
        if request.method != "POST":
            return Answer(status=405, body="POST it")
        if not self._is_signed(request, body):
            return Answer(status=401, body="The signature is wrong or too old")
        if not event:
            return Answer(status=400, body="The body is no JSON object")
        return Answer(status=200, body="ok")

    def _is_signed(self, request: web.BaseRequest, body: bytes) -> bool:
        message_id = request.headers.get("webhook-id", "")
        timestamp = request.headers.get("webhook-timestamp", "")
        if not message_id or not timestamp.isdecimal():
            return False
        if abs(self._clock() - int(timestamp)) > _TOLERANCE:
            return False
        signed = f"{message_id}.{timestamp}.".encode() + body
        digest = hmac.new(self._key, signed, hashlib.sha256).digest()
        right = "v1," + base64.b64encode(digest).decode()
        given = request.headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(right, one) for one in given)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
