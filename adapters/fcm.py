"""GCM: Firebase Cloud Messaging, HTTP v1.

pyfcm knows the endpoint and writes the JSON, google-auth reads and signs for the service account.
The requests are our own: pyfcm's transport sleeps and resends inside the call, blocks for minutes
and drops the error code, which alone tells a dead token from a wrong project (Firebase: ErrorCode).
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import google.auth.jwt
import msgspec
import pyfcm  # type: ignore[import-untyped]  # it has no types
import yarl
from cryptography.exceptions import UnsupportedAlgorithm
from google.oauth2 import service_account as google_account

from adapters import answers, http, http2_client, oauth, push
from adapters.contract import Delivery, Fault, Outcome, permanent, successful
from adapters.messages import FcmPush

BY_ERROR = {  # Firebase's FcmError.errorCode, wherever there is one
    "UNREGISTERED": push.GONE,
    "SENDER_ID_MISMATCH": replace(push.BAD_ADDRESS, code=403),
    "INVALID_ARGUMENT": push.BAD_MESSAGE,  # but for the token, see `_verdict`
    "QUOTA_EXCEEDED": push.BUSY,
    "UNAVAILABLE": push.FAILING,
    "INTERNAL": push.FAILING,
    "THIRD_PARTY_AUTH_ERROR": push.BAD_CREDENTIALS,
    "UNSPECIFIED_ERROR": push.UNKNOWN,
}
BY_STATUS = {
    400: push.BAD_MESSAGE,
    401: push.STALE_CREDENTIALS,
    403: push.BAD_CREDENTIALS,
    404: push.BAD_CREDENTIALS,  # the project or the URL; a token's end is UNREGISTERED
    413: push.BAD_MESSAGE,
    429: push.BUSY,
}

_FIREBASE = "https://fcm.googleapis.com"
_GOOGLES = re.compile(r"https://([a-z0-9-]+\.googleapis|accounts\.google)\.com/")
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_AUDIENCE = "https://oauth2.googleapis.com/token"  # Google: "always", whatever the token_uri is
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_RENEW_AHEAD = 300.0
_BAD_TOKEN = "not a valid FCM registration token"  # noqa: S105  # words of an error
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s")
_REPEATED_VALUE = re.compile(r"(Invalid value at '[^']*' \([^)]*\)).*", re.DOTALL)
_PROJECT = re.compile(r"[a-z0-9][a-z0-9:.-]{0,99}")


class Fcm:
    """Sends through one Firebase project.

    `service_account` is the key file's content, as JSON text or as what it parses to; its project
    is the one that is sent to, and its token_uri must be Google's, or where `base_url` is.
    ValueError names what is wrong and shows no secret.

    An outcome's `message_id` is FCM's name for the message (Pinpoint's was never documented). A
    token that is refused as such is 400 and one that has ended 410, as Pinpoint did for GCM and
    APNs. SENDER_ID_MISMATCH calls the address dead, as Firebase does, although the service account
    of another project makes every address look so: whoever forgets addresses must mind the rate.
    """

    def __init__(
        self,
        *,
        service_account: Mapping[str, Any] | str,
        base_url: str = _FIREBASE,
        connections: int = 100,
    ) -> None:
        base = http.base_url(base_url)
        key_file = _key_file(service_account)
        self._token_url = _token_url(key_file, base)
        self._account = _account(key_file)
        self._pyfcm = pyfcm.FCMNotification(credentials=self._account)
        self._pyfcm.FCM_END_POINT_BASE = f"{base}/v1/projects"
        self._url = yarl.URL(self._pyfcm.fcm_end_point)
        self._client = http2_client.Client("FCM", connections=connections)
        self._tokens = oauth.Tokens(self._fetch_token, ahead=_RENEW_AHEAD)

    async def send(self, delivery: Delivery) -> Outcome:
        """One message to one registration token; once more if the access token had gone stale."""
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        body = self._body(delivery)
        if isinstance(body, Outcome):
            return body

        async def request(token: str) -> http.Reply | Outcome:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            return await self._client.post(self._url, data=body, headers=headers, deadline=deadline)

        reply = await oauth.with_token(self._tokens, request, stale=_stale, deadline=deadline)
        return reply if isinstance(reply, Outcome) else _outcome(reply, delivery)

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._client.aclose()

    def _body(self, delivery: Delivery) -> bytes | Outcome:
        content = delivery.message
        if not isinstance(content, FcmPush):
            return permanent(400, "The message is no push for Firebase", fault=Fault.MESSAGE)
        message = _aged(content.message, delivery.age)
        if message is None:
            return push.expired()
        request: dict[str, Any] = {"message": {**message, "token": delivery.address}}
        if content.validate_only:
            request["validate_only"] = True
        try:
            return msgspec.json.encode(request)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return permanent(400, "The message can not be written as JSON", fault=Fault.MESSAGE)

    async def _fetch_token(self) -> oauth.Token | Outcome:
        """google-auth's own refresh would need a thread, which nobody can cancel, and sleeps and
        tries again in it; the signature, which is all we want of it, takes a millisecond."""
        now = int(time.time())
        claims = {
            "iss": self._account.service_account_email,
            "scope": _SCOPE,
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + 3600,
        }
        encode: Any = google.auth.jwt.encode  # which has no types
        assertion = encode(self._account.signer, claims)
        form = {"grant_type": _GRANT, "assertion": assertion.decode()}
        return await oauth.fetch(self._client, self._token_url, form)


@dataclass(frozen=True, slots=True)
class _Error:
    """A google.rpc.Status with what FCM puts into its details."""

    code: str
    status: str
    message: str
    fields: frozenset[str]


def _outcome(reply: http.Reply, delivery: Delivery) -> Outcome:
    document = reply.document()
    if reply.status == 200:
        name = document.get("name")
        return successful(message_id=name) if isinstance(name, str) else push.unreadable("FCM")
    error = _error(document)
    said = {"status": error.status, "errorCode": error.code}
    if error.code == error.status:
        del said["errorCode"]
    return push.refused(
        _verdict(reply.status, error),
        delivery,
        code=reply.status,
        # What FCM could not read it repeats, and that may be anyone's business but the log's.
        error=_REPEATED_VALUE.sub(r"\1", error.message),
        response={key: value for key, value in said.items() if value},
        retry_after=answers.retry_after(reply.headers.get("Retry-After")),
    )


def _verdict(status: int, error: _Error) -> push.Verdict:
    invalid = error.code == "INVALID_ARGUMENT" or (status == 400 and not error.code)
    if invalid and ("message.token" in error.fields or _BAD_TOKEN in error.message):
        return push.BAD_ADDRESS
    verdict = BY_ERROR.get(error.code) or BY_STATUS.get(status)
    return verdict or (push.FAILING if status >= 500 else push.UNKNOWN)


def _stale(reply: http.Reply) -> bool:
    return reply.status == 401 and _error(reply.document()).code != "THIRD_PARTY_AUTH_ERROR"


def _error(document: Mapping[str, Any]) -> _Error:
    error = _dict(document.get("error"))
    details = [_dict(detail) for detail in _list(error.get("details"))]
    violations = [_dict(one) for part in details for one in _list(part.get("fieldViolations"))]
    codes = [_text(detail.get("errorCode")) for detail in details]
    return _Error(
        code=next(filter(None, codes), ""),
        status=_text(error.get("status")),
        message=_text(error.get("message")),
        fields=frozenset(_text(violation.get("field")) for violation in violations),
    )


def _aged(message: Mapping[str, Any], age: float) -> Mapping[str, Any] | None:
    """The message with what is left of its time to live, or None if nothing is.

    A ttl that is no duration stays for FCM to refuse.
    """
    android = message.get("android")
    ttl = android.get("ttl") if isinstance(android, Mapping) else None
    seconds = _seconds(ttl) if isinstance(ttl, str) else None
    if not isinstance(android, Mapping) or seconds is None:
        return message
    left = push.remaining(seconds, age)
    if left is None or left == seconds:
        return None if left is None else message
    return {**message, "android": {**android, "ttl": f"{left:f}s"}}


@functools.lru_cache(maxsize=256)
def _seconds(duration: str) -> Decimal | None:
    written = _DURATION.fullmatch(duration)
    return Decimal(written[1]) if written else None


def _key_file(service_account: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(service_account, str):
        try:
            service_account = json.loads(service_account)
        except ValueError:
            raise ValueError("service_account is not JSON") from None
    if not isinstance(service_account, Mapping):
        raise ValueError("service_account must be a JSON object")  # noqa: TRY004  # a setting
    if not _PROJECT.fullmatch(_text(service_account.get("project_id"))):
        raise ValueError("service_account needs a project_id")
    return service_account


def _token_url(key_file: Mapping[str, Any], base: str) -> str:
    """A tenant may bring the key file, so it may not have us knock at any door it likes."""
    url = http.base_url(_text(key_file.get("token_uri")), "service_account's token_uri")
    if not _GOOGLES.match(url) and yarl.URL(url).authority != yarl.URL(base).authority:
        raise ValueError("service_account's token_uri must be Google's")
    return url


def _account(key_file: Mapping[str, Any]) -> google_account.Credentials:
    """The key is read here, once: that takes as long as many signatures."""
    read: Any = google_account.Credentials.from_service_account_info  # which has no types
    try:
        account: google_account.Credentials = read(key_file, scopes=[_SCOPE])
        account.signer.sign(b"try")
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
        raise ValueError("service_account needs a client_email and an RSA private_key") from None
    return account


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
