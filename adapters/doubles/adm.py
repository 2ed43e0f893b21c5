"""Amazon Device Messaging, with Amazon's token endpoint."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import itertools
import json
import re
import urllib.parse
from typing import Any

from aiohttp import web

from adapters.doubles import stage
from adapters.doubles.stage import Answer

CLIENT_ID = "amzn1.application-oa2-client.double"
CLIENT_SECRET = "the-double's-secret"  # noqa: S105  # of nobody

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "X-Amzn-Type-Version": "com.amazon.device.messaging.ADMMessage@1.0",
    "X-Amzn-Accept-Type": "com.amazon.device.messaging.ADMSendResult@1.0",
}
_MEMBERS = {"data", "consolidationKey", "expiresAfter", "md5"}
_PATH = re.compile(r"/messaging/registrations/([^/]+)/messages")


class AdmDouble(stage.Double):
    """Accepts what ADM accepts of one client, refuses what it refuses.

    `script` says what else to do, by registration id, and `replaced` which ids are out of date.
    `messages` are the requests that have been read, with the id they were for, and `reached` is set
    at each. Access tokens live until `forget_tokens`; `token_answer` is for their endpoint, `asked`
    counts its requests and `token_asked` is set at each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaced: dict[str, str] = {}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.token_answer = Answer()
        self.asked = 0
        self.token_asked = asyncio.Event()
        self._good: set[str] = set()
        self._numbers = itertools.count(1)

    def forget_tokens(self) -> None:
        """Take no access token that was given out until now."""
        self._good.clear()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/auth/O2/token":
            self.asked += 1
            self.token_asked.set()
            return await stage.perform(request, self.token_answer, lambda: self._token(body))
        found = _PATH.fullmatch(request.raw_path)
        if found is None:
            return web.Response(status=404)
        registration = urllib.parse.unquote(found[1])
        document = json.loads(body)
        self.messages.append((registration, document))
        self.reached.set()
        usual = functools.partial(self._send, request, registration, document)
        return await stage.perform(request, self.script.turn(registration), usual)

    def _token(self, body: bytes) -> Answer:
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return Answer(status=401, body={"error": "invalid_client"})
        if form.get("scope") != "messaging:push":
            return Answer(status=400, body={"error": "invalid_scope"})
        if form.get("grant_type") != "client_credentials":
            return Answer(status=400, body={"error": "unsupported_grant_type"})
        token = f"Atc|double-{next(self._numbers)}"
        self._good.add(token)
        said = {"access_token": token, "expires_in": 3600, "scope": form["scope"]}
        return Answer(status=200, body={**said, "token_type": "bearer"})

    def _send(
        self, request: web.BaseRequest, registration: str, document: dict[str, Any]
    ) -> Answer:
        number = {"X-Amzn-RequestId": f"request-{next(self._numbers)}"}
        if stage.bearer(request) not in self._good:
            return refused(401, "AccessTokenExpired")
        if any(request.headers.get(name) != value for name, value in _HEADERS.items()):
            return refused(400, "InvalidType")
        if found := fault(document):
            return refused(413 if found == "MessageTooLarge" else 400, found)
        current = self.replaced.get(registration, registration)
        return Answer(status=200, body={"registrationID": current}, headers=number)


def refused(status: int, reason: str, *, retry_after: str | None = None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status=status, body={"reason": reason}, headers=headers)


def fault(document: dict[str, Any]) -> str | None:
    """ADM's reason to refuse a message, or None."""
    data = document.get("data")
    if not isinstance(data, dict) or not document.keys() <= _MEMBERS:
        return "InvalidData"
    if not all(isinstance(value, str) for value in data.values()):
        return "InvalidData"
    key, expiry = document.get("consolidationKey", ""), document.get("expiresAfter", 60)
    if not isinstance(key, str) or len(key) > 64:
        return "InvalidConsolidationKey"
    if type(expiry) is not int or not 60 <= expiry <= 2_678_400:
        return "InvalidExpiration"
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > 6144:
        return "MessageTooLarge"
    digest = hashlib.md5(usedforsecurity=False)
    for number, name in enumerate(sorted(data, key=str.encode)):
        digest.update(f"{',' if number else ''}{name}:{data[name]}".encode())
    right = base64.b64encode(digest.digest()).decode()
    return "InvalidChecksum" if document.get("md5", right) != right else None
