"""Baidu Cloud Push, REST 3.0: push/single_device."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import string
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from aiohttp import web

from adapters.doubles import stage
from adapters.doubles.stage import Answer

API_KEY = "double-api-key"
SECRET_KEY = "double-secret-key"  # noqa: S105  # of nobody

_PLAIN = set((string.ascii_letters + string.digits + "-_.").encode())
_TYPE = "application/x-www-form-urlencoded;charset=utf-8"


class BaiduDouble(stage.Double):
    """Accepts what Baidu accepts of one application, refuses what it refuses.

    `script` says what else to do, by channel id. `messages` are the forms that have been read, and
    `reached` is set at each. `clock` is the time in seconds since the epoch: a request is good for
    ten minutes from its timestamp.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.messages: list[dict[str, str]] = []
        self._clock = clock
        self._numbers = itertools.count(1)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(urllib.parse.parse_qsl((await request.read()).decode()))
        self.messages.append(form)
        self.reached.set()
        usual = functools.partial(self._send, request, form)
        answer = self.script.turn(form.get("channel_id", ""))
        return await stage.perform(request, answer, usual)

    def _send(self, request: web.BaseRequest, form: dict[str, str]) -> Answer:
        if request.path != "/rest/3.0/push/single_device" or request.method != "POST":
            return refused(405, 30601, "Method Not Allowed")
        agent = request.headers.get("User-Agent", "")
        typed = request.headers.get("Content-Type") == _TYPE
        if not agent.startswith("BCCS_SDK/3.0 ") or not typed or not _well_formed(form):
            return refused(400, 30602, "Request Params Not Valid")
        if form["apikey"] != API_KEY or form["sign"] != _sign(f"{self.url}{request.path}", form):
            return refused(401, 30603, "Authentication Failed")
        if not 0 <= self._clock() - int(form["timestamp"]) <= 600:
            return refused(400, 30606, "Request Time Expires")
        return accepted(str(next(self._numbers)))


def accepted(message_id: str) -> Answer:
    said = {"msg_id": message_id, "send_time": 1_427_180_905}
    return Answer(status=200, body={"request_id": 2_727_123_347, "response_params": said})


def refused(status: int, code: int, text: str, *, retry_after: str | None = None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    said = {"request_id": 2_727_123_347, "error_code": code, "error_msg": text}
    return Answer(status=status, body=said, headers=headers)


def _well_formed(form: dict[str, str]) -> bool:
    if not {"apikey", "sign", "timestamp", "channel_id", "msg"} <= form.keys():
        return False
    try:
        message: Any = json.loads(form["msg"])
        whole = int(form["timestamp"]) > 0 and 0 <= int(form.get("msg_expires", "0")) <= 604_800
    except ValueError:
        return False
    choices = (
        form.get("device_type", "3") in {"3", "4"},
        form.get("msg_type", "0") in {"0", "1"},
        form.get("deploy_status", "1") in {"1", "2"},
        form["channel_id"].isdigit(),
    )
    return whole and isinstance(message, dict) and all(choices)


def _sign(url: str, form: dict[str, str]) -> str:
    """As Baidu's own, written byte by byte: what is right is not taken from the adapter."""
    row = "POST" + url
    for name in sorted(form):
        if name != "sign":
            row += name + "=" + form[name]
    encoded = ""
    for byte in (row + SECRET_KEY).encode():
        encoded += chr(byte) if byte in _PLAIN else "+" if byte == 32 else f"%{byte:02X}"
    return hashlib.md5(encoded.encode(), usedforsecurity=False).hexdigest()
