"""BAIDU: Baidu Cloud Push, REST 3.0 (push.baidu.com/doc/restapi/restapi)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapters import answers, http, push
from adapters.contract import (
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    permanent,
    successful,
)
from adapters.messages import BaiduPush

_EXPIRED = 30606

BY_CODE = {  # Baidu's error_code; what it is called there
    30600: push.FAILING,  # Internal Server Error
    30601: push.BAD_MESSAGE,  # Method Not Allowed
    30602: push.BAD_MESSAGE,  # Request Params Not Valid
    30603: push.BAD_CREDENTIALS,  # Authentication Failed
    30604: replace(push.BUSY, pause=3600.0),  # Quota Use Up Payment Required
    30605: push.BAD_MESSAGE,  # Data Required Not Found
    _EXPIRED: push.STALE_CREDENTIALS,  # Request Time Expires
    30607: push.GONE,  # Channel Token Timeout
    30608: push.GONE,  # Bind Relation Not Found
    30609: push.BAD_MESSAGE,  # Bind Number Too Many
    30610: replace(push.BAD_MESSAGE, status=DeliveryStatus.DUPLICATE),  # Duplicate Operation
    30611: push.BAD_MESSAGE,  # Group Not Found
    30612: push.BAD_CREDENTIALS,  # Application Forbidden, Need Whitelist Authorization
    30613: push.BAD_CREDENTIALS,  # App Need Inited First In Push-console
    30614: push.BAD_MESSAGE,  # Number Of Tag For User Too Many
    30615: push.BAD_MESSAGE,  # Number Of Tag For App Too Many
    30699: push.BUSY,  # Requests Are Too Frequent
}
BY_STATUS = {
    401: push.BAD_CREDENTIALS,
    403: push.BAD_CREDENTIALS,
    404: push.BAD_CREDENTIALS,  # no path of Baidu's
    429: push.BUSY,
}
BY_CLASS = {
    3: push.BAD_CREDENTIALS,  # nothing redirects but a wrong base_url
    4: push.BAD_MESSAGE,
    5: push.FAILING,
}

_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded;charset=utf-8",
    "User-Agent": f"BCCS_SDK/3.0 ({platform.system()}) Python/{platform.python_version()} "
    "(Baidu Push Server SDK V3.0.0)",
}


class Baidu:
    """Sends for one application of Baidu Cloud Push.

    An address is `userId:channelId`, as AWS's SDK registers it, or a channel id alone.
    `device_type` is 3 for Android and 4 for iOS, where `deploy_status` is 1 for development and 2
    for production. An outcome's `message_id` is Baidu's msg_id (Pinpoint's was never documented).
    `clock` is the time in seconds since the epoch: Baidu takes requests up to ten minutes old.
    ValueError names the setting that is wrong.
    """

    def __init__(
        self,
        *,
        api_key: str,
        secret_key: str,
        base_url: str = "https://api.tuisong.baidu.com",
        device_type: int = 3,
        deploy_status: int | None = None,
        connections: int = 50,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not api_key or not secret_key:
            raise ValueError("api_key and secret_key must not be empty")
        if device_type not in {3, 4} or deploy_status not in {None, 1, 2}:
            raise ValueError("device_type must be 3 or 4, and deploy_status 1 or 2")
        self._url = f"{http.base_url(base_url)}/rest/3.0/push/single_device"
        self._secret = secret_key
        self._common = {"apikey": api_key, "device_type": str(device_type)}
        if deploy_status is not None:
            self._common["deploy_status"] = str(deploy_status)
        self._client = http.Client("Baidu", connections=connections)
        self._clock = clock

    async def send(self, delivery: Delivery) -> Outcome:
        """One message to one device; once more, signed anew, if Baidu finds the request too old."""
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        parameters = _parameters(delivery)
        if isinstance(parameters, Outcome):
            return parameters
        reply = await self._post(parameters, deadline)
        if isinstance(reply, http.Reply) and _code(reply.document()) == _EXPIRED:
            reply = await self._post(parameters, deadline)
        return reply if isinstance(reply, Outcome) else _outcome(reply, delivery)

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._client.aclose()

    async def _post(self, parameters: Mapping[str, str], deadline: float) -> http.Reply | Outcome:
        form = {**self._common, **parameters, "timestamp": str(int(self._clock()))}
        form["sign"] = signature(self._url, form, self._secret)
        data = urllib.parse.urlencode(form).encode()
        return await self._client.post(self._url, data=data, headers=_HEADERS, deadline=deadline)


def signature(url: str, parameters: Mapping[str, str], secret_key: str) -> str:
    """Baidu's `sign` of a POST: the MD5 of everything in one row, encoded as PHP's urlencode does.

    Python leaves `~` alone and PHP does not.
    """
    pairs = "".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    text = urllib.parse.quote_plus(f"POST{url}{pairs}{secret_key}", safe="-_.").replace("~", "%7E")
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _parameters(delivery: Delivery) -> dict[str, str] | Outcome:
    message = delivery.message
    if not isinstance(message, BaiduPush):
        return permanent(400, "The message is no push for Baidu", fault=Fault.MESSAGE)
    parameters = {"channel_id": delivery.address.rpartition(":")[2], "msg_type": "0"}
    if message.expires is not None:
        left = push.remaining(message.expires, delivery.age)
        if left is None:
            return push.expired()
        parameters["msg_expires"] = str(left)
    try:
        text = json.dumps(dict(message.message), separators=(",", ":"), ensure_ascii=False)
        f"{text}{delivery.address}".encode()
    except (TypeError, ValueError, RecursionError):
        return permanent(400, "The message can not be written as JSON", fault=Fault.MESSAGE)
    return {**parameters, "msg": text}


def _outcome(reply: http.Reply, delivery: Delivery) -> Outcome:
    document = reply.document()
    code = _code(document)
    if reply.status == 200 and code is None:
        return _accepted(document)
    verdict = BY_CODE.get(code or 0) or BY_STATUS.get(reply.status)
    words = document.get("error_msg")
    error = words if isinstance(words, str) else ""
    said = {"error_code": code, "error_msg": error} if code else {}
    return push.refused(
        verdict or BY_CLASS.get(reply.status // 100, push.UNKNOWN),
        delivery,
        code=reply.status,
        provider_code=code or reply.status,
        error=error,
        response=said,
        retry_after=answers.retry_after(reply.headers.get("Retry-After")),
    )


def _accepted(document: Mapping[str, Any]) -> Outcome:
    said = document.get("response_params")
    message_id = said.get("msg_id") if isinstance(said, dict) else None
    if not isinstance(message_id, str | int):
        return push.unreadable("Baidu")
    return successful(message_id=str(message_id))


def _code(document: Mapping[str, Any]) -> int | None:
    code = document.get("error_code")
    return code if type(code) is int and code else None
