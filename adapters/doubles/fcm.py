"""Firebase Cloud Messaging, HTTP v1, with Google's token endpoint."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import re
import urllib.parse
from typing import Any

import google.auth.jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.doubles import stage
from adapters.doubles.stage import Answer

BYTES = 4096

_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EMAIL = "sendpoint@double.iam.gserviceaccount.com"
_AUDIENCE = "https://oauth2.googleapis.com/token"
_MEMBERS = {
    "request": {"message", "validateOnly"},
    "message": {
        *("token", "topic", "condition", "name", "fid", "data", "notification"),
        *("android", "androidV2", "apns", "webpush", "fcmOptions"),
    },
    "message.android": {
        *("collapseKey", "priority", "ttl", "restrictedPackageName", "data", "notification"),
        *("fcmOptions", "directBootOk", "bandwidthConstrainedOk", "restrictedSatelliteOk"),
    },
}
_DURATION = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?s")
_RESERVED = re.compile(r"from|message_type|(google|gcm)\..*")


class FcmDouble(stage.Double):
    """Accepts what FCM accepts for one project and account, refuses what it refuses.

    `script` says what else to do, by registration token. `messages` are the requests that have been
    read, with or without a good access token, and `reached` is set at each. Access tokens live
    `lifetime` seconds by their word, and until `forget_tokens` in fact; `token_answer` is for their
    endpoint, `asked` counts its requests and `token_asked` is set at each.
    """

    def __init__(self, *, project: str = "double") -> None:
        super().__init__()
        self.project = project
        self.messages: list[dict[str, Any]] = []
        self.lifetime = 3599
        self.token_answer = Answer()
        self.asked = 0
        self.token_asked = asyncio.Event()
        self._good: set[str] = set()
        self._numbers = itertools.count(1)

    @property
    def service_account(self) -> dict[str, str]:
        """The content of a key file for this project."""
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "double",
            "private_key": _keys()[0],
            "client_email": _EMAIL,
            "token_uri": f"{self.url}/token",
        }

    def forget_tokens(self) -> None:
        """Take no access token that was given out until now."""
        self._good.clear()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/token":
            self.asked += 1
            self.token_asked.set()
            return await stage.perform(request, self.token_answer, lambda: self._token(body))
        document = _parsed(body)
        self.messages.append(document)
        self.reached.set()
        message = document.get("message")
        address = str(message.get("token")) if isinstance(message, dict) else ""
        usual = functools.partial(self._send, request, document)
        return await stage.perform(request, self.script.turn(address), usual)

    def _token(self, body: bytes) -> Answer:
        form = dict(urllib.parse.parse_qsl(body.decode()))
        decode: Any = google.auth.jwt.decode  # which has no types
        try:
            claims = decode(form.get("assertion", ""), certs=_keys()[1], audience=_AUDIENCE)
        except ValueError:
            claims = {}
        if form.get("grant_type") != _GRANT or claims.get("iss") != _EMAIL:
            said = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return Answer(status=400, body=said)
        token = f"ya29.double-{next(self._numbers)}"
        self._good.add(token)
        body_ = {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        return Answer(status=200, body=body_)

    def _send(self, request: web.BaseRequest, document: dict[str, Any]) -> Answer:
        if stage.bearer(request) not in self._good:
            text = "Request had invalid authentication credentials."
            return error(401, "UNAUTHENTICATED", text)
        if request.path != f"/v1/projects/{self.project}/messages:send":
            return error(404, "NOT_FOUND", "Requested entity was not found.")
        if found := fault(document):
            return error(400, "INVALID_ARGUMENT", found[1], code="INVALID_ARGUMENT", field=found[0])
        return accepted(f"projects/{self.project}/messages/{next(self._numbers)}")


def accepted(name: str) -> Answer:
    return Answer(status=200, body={"name": name})


def error(
    status: int,
    rpc: str,
    text: str,
    *,
    code: str | None = None,
    field: str | None = None,
    retry_after: str | None = None,
) -> Answer:
    """Google's form of an error: `code` is FCM's errorCode, `field` the one that was violated."""
    details: list[dict[str, Any]] = []
    if code is not None:
        details.append({"@type": _TYPE, "errorCode": code})
    if field is not None:
        violation = {"field": field, "description": text}
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [violation]})
    said = {"code": status, "message": text, "status": rpc, "details": details}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status=status, body={"error": said}, headers=headers)


def fault(document: dict[str, Any]) -> tuple[str, str] | None:
    """What FCM refuses in a request: the field and the words, or None."""
    message = document.get("message")
    if not isinstance(message, dict):
        return "message", "Message is not set."
    android = message.get("android", {})
    if not isinstance(android, dict):
        return "message.android", "Invalid value at 'message.android' (AndroidConfig)"
    for path, value in (("request", document), ("message", message), ("message.android", android)):
        for name in value:
            if _camel(name) not in _MEMBERS[path]:
                return f"{path}.{name}", f'Invalid JSON payload received. Unknown name "{name}"'
    if not message.get("token"):
        return "message.token", "Recipient of the message is not set."
    ttl = android.get("ttl", "0s")
    if not isinstance(ttl, str) or not _DURATION.fullmatch(ttl):
        return "message.android.ttl", "Invalid value at 'message.android.ttl' (Duration)"
    return _data_fault(message)


def _data_fault(message: dict[str, Any]) -> tuple[str, str] | None:
    for key, value in message.get("data", {}).items():
        if not isinstance(value, str):
            text = f"Invalid value at 'message.data[0].value' (TYPE_STRING), {json.dumps(value)}"
            return "message.data[0].value", text
        if _RESERVED.fullmatch(key):
            return f"message.data.{key}", f"Invalid data payload key: {key}"
    counted = {key: message[key] for key in ("notification", "data") if key in message}
    if len(json.dumps(counted, ensure_ascii=False, separators=(",", ":")).encode()) > BYTES:
        return "message", "Message is too big"
    return None


def _camel(name: str) -> str:
    """Protobuf's JSON takes a member under either spelling."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


@functools.cache
def _keys() -> tuple[str, bytes]:
    """A key of this process, private and public in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public
