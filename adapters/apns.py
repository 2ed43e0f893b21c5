"""APNS, APNS_SANDBOX, APNS_VOIP and APNS_VOIP_SANDBOX: Apple Push Notification service.

aioapns has the words of the protocol, `adapters.http2` the connections: aioapns' own never
acknowledge what they receive, ignore resets, and close while an answer is awaited.
`BY_REASON` is Apple's list of reasons ("Handling notification responses from APNs"), `BY_STATUS`
what a status says without one that is known.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from adapters import answers, apns_credentials, apns_request, push
from adapters.apns_messages import Answer
from adapters.apns_pool import Pool
from adapters.contract import (
    ChannelType,
    Delivery,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    successful,
    temporary,
)
from adapters.http2 import Limits, NoAnswer, NotProcessed
from adapters.http2_pool import NotReached
from adapters.messages import ApnsPush

Authentication = Literal["TOKEN", "CERTIFICATE"]

BY_REASON = {
    "BadDeviceToken": push.GONE,  # 400, but Pinpoint was seen to answer 410
    "DeviceTokenNotForTopic": push.GONE,
    "ExpiredToken": push.GONE,
    "Unregistered": push.GONE,
    "BadCollapseId": push.BAD_MESSAGE,
    "BadExpirationDate": push.BAD_MESSAGE,
    "BadMessageId": push.BAD_MESSAGE,
    "BadPath": push.BAD_MESSAGE,
    "BadPriority": push.BAD_MESSAGE,
    "BadTopic": push.BAD_MESSAGE,
    "DuplicateHeaders": push.BAD_MESSAGE,
    "InvalidPushType": push.BAD_MESSAGE,
    "MethodNotAllowed": push.BAD_MESSAGE,
    "MissingDeviceToken": push.BAD_MESSAGE,
    "MissingTopic": push.BAD_MESSAGE,
    "PayloadEmpty": push.BAD_MESSAGE,
    "PayloadTooLarge": push.BAD_MESSAGE,
    "BadCertificate": push.BAD_CREDENTIALS,
    "BadCertificateEnvironment": push.BAD_CREDENTIALS,
    "BadEnvironmentKeyIdInToken": push.BAD_CREDENTIALS,
    "Forbidden": push.BAD_CREDENTIALS,
    "InvalidProviderToken": push.BAD_CREDENTIALS,
    "MissingProviderToken": push.BAD_CREDENTIALS,
    "TopicDisallowed": push.BAD_CREDENTIALS,
    "UnrelatedKeyIdInToken": push.BAD_CREDENTIALS,
    "ExpiredProviderToken": push.STALE_CREDENTIALS,  # twice: our clock may be wrong
    "IdleTimeout": push.FAILING,
    "InternalServerError": push.FAILING,
    "ServiceUnavailable": push.FAILING,
    "Shutdown": push.FAILING,
    "TooManyRequests": push.BUSY,
    "TooManyProviderTokenUpdates": push.BUSY,
}
BY_STATUS = {
    403: push.BAD_CREDENTIALS,
    405: push.BAD_MESSAGE,
    410: dataclasses.replace(push.GONE, dead=False),  # whoever says so may not be Apple
    413: push.BAD_MESSAGE,
    429: push.BUSY,
}

PRODUCTION = "api.push.apple.com"
SANDBOX = "api.sandbox.push.apple.com"

_CERTIFICATE_ALERT = re.compile("_ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")  # OpenSSL's
_IN_SANDBOX = {ChannelType.APNS_SANDBOX, ChannelType.APNS_VOIP_SANDBOX}


class Apns:
    """Sends to one app, whose bundle id is the topic; without `bundle_id` it is the one that the
    certificate names.

    `token_key` is the text of a .p8 file, with its `token_key_id` and the `team_id` it belongs to;
    `certificate` and `private_key` are PEM without a passphrase, the key perhaps inside the
    certificate's text. With both, `default_authentication` says which is used for a message that
    does not; None is TOKEN. There is no falling back from one to the other (Pinpoint).

    The delivery's channel tells Apple's sandbox from production, unless `sandbox` does. `host` is
    another host than Apple's for both, a gateway or a test's; `ca_file` a PEM file of the
    authorities to trust, not the system's.

    At most `connections` for each way to authenticate and each host, with `streams` requests in
    flight on each, or fewer if APNs says so. `clock` tells Unix time. ValueError names the setting
    that is wrong and never shows a secret.
    """

    def __init__(  # noqa: PLR0913  # the keywords are the configuration
        self,
        *,
        bundle_id: str | None = None,
        token_key: str | None = None,
        token_key_id: str | None = None,
        team_id: str | None = None,
        certificate: str | None = None,
        private_key: str | None = None,
        default_authentication: Authentication | None = None,
        sandbox: bool | None = None,
        host: str | None = None,
        port: int = 443,
        ca_file: str | None = None,
        connections: int = 2,
        streams: int = 500,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if connections < 1 or streams < 1:
            raise ValueError("connections and streams must be at least 1")
        if not 1 <= port <= 65_535:
            raise ValueError("port must be from 1 to 65535")
        self._token = _token(token_key, token_key_id, team_id, clock)
        self._tls: dict[str, ssl.SSLContext] = {}
        self.expires_at: datetime | None = None
        if self._token is not None:
            self._tls["TOKEN"] = apns_credentials.tls_context(ca_file)
        if certificate is not None:
            self._tls["CERTIFICATE"] = apns_credentials.tls_context(
                ca_file, certificate=certificate, private_key=private_key
            )
            bundle_id = bundle_id or apns_credentials.topic_of(certificate)
            self.expires_at = apns_credentials.expires_at(certificate)
        if not self._tls:
            raise ValueError("token_key or certificate must be given")
        if not bundle_id or not bundle_id.isascii() or not bundle_id.isprintable():
            raise ValueError("bundle_id must be given: the app's, such as com.example.app")
        if default_authentication not in {None, "TOKEN", "CERTIFICATE"}:
            raise ValueError("default_authentication must be TOKEN or CERTIFICATE")
        self._default: str = default_authentication or next(iter(self._tls))
        self._bundle_id = bundle_id
        self._sandbox = sandbox
        self._host = host
        self._port = port
        self._connections = connections
        self._limits = Limits(streams=streams)
        self._clock = clock
        self._pools: dict[tuple[str, str], Pool] = {}
        self._closed = False

    async def send(self, delivery: Delivery) -> Outcome:
        """One push to one device, within `delivery.timeout` seconds.

        A token or a message that APNs can not take is refused here, without a request. Pinpoint
        gave no id for a push; the outcome's is `apns-id`, which is the delivery's own.
        """
        if self._closed:
            return temporary(503, "The adapter is closed")
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        request = apns_request.request(delivery, self._bundle_id, self._clock())
        if isinstance(request, Outcome):
            return request
        pool = self._pool(delivery)
        if isinstance(pool, Outcome):
            return pool
        try:
            answer = await pool.send(request, deadline)
        except (TimeoutError, NotReached, NotProcessed, NoAnswer) as trouble:
            return _no_answer(trouble, left=request.left)
        return _outcome(answer, delivery)

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()

    def _pool(self, delivery: Delivery) -> Pool | Outcome:
        chosen = self._default
        if isinstance(delivery.message, ApnsPush):
            chosen = delivery.message.authentication or chosen
        if chosen not in self._tls:
            text = f"The channel has no credentials for the authentication method {chosen}"
            return permanent(403, text, fault=Fault.CREDENTIALS)
        sandbox = delivery.channel in _IN_SANDBOX if self._sandbox is None else self._sandbox
        host = self._host or (SANDBOX if sandbox else PRODUCTION)
        if (chosen, host) not in self._pools:
            self._pools[chosen, host] = Pool(
                host,
                self._port,
                self._tls[chosen],
                self._token if chosen == "TOKEN" else None,
                connections=self._connections,
                limits=self._limits,
            )
        return self._pools[chosen, host]


def _outcome(answer: Answer, delivery: Delivery) -> Outcome:
    if answer.code == 200:
        return successful(message_id=answer.notification_id or delivery.id)
    reason, since = answer.description, answer.timestamp
    response = {"reason": reason, "timestamp": since}
    outcome = push.refused(
        _verdict(answer.code, reason),
        delivery,
        code=answer.code,
        error=reason or "",
        response={name: said for name, said in response.items() if said is not None},
        retry_after=answers.retry_after(answer.retry_after),
    )
    if outcome.dead_address and since is not None:
        return dataclasses.replace(outcome, dead_since=since / 1000)
    return outcome


def _verdict(code: int, reason: str | None) -> push.Verdict:
    if 400 <= code < 500:
        return BY_REASON.get(reason or "") or BY_STATUS.get(code) or push.UNKNOWN
    return push.FAILING if code >= 500 else push.UNKNOWN


def _no_answer(trouble: Exception, *, left: bool) -> Outcome:
    """The texts are our own, but for the reason of a GOAWAY: an exception's may hold anything."""
    if left:
        return indeterminate(str(trouble) or "APNs did not answer in time")
    if isinstance(trouble, TimeoutError):
        return temporary(504, "The push could not be handed to APNs in time")
    if isinstance(trouble, NotProcessed):
        return temporary(503, str(trouble))
    cause = trouble.__cause__
    if isinstance(cause, ssl.SSLError) and _CERTIFICATE_ALERT.search(cause.reason or ""):
        text = "APNs does not accept the channel's certificate"
        return temporary(503, text, fault=Fault.CREDENTIALS)
    return temporary(503, f"APNs was not reached: {type(cause or trouble).__name__}")


def _token(
    key: str | None, key_id: str | None, team_id: str | None, clock: Callable[[], float]
) -> apns_credentials.ProviderToken | None:
    if not any((key, key_id, team_id)):
        return None
    if not (key and key_id and team_id):
        raise ValueError("token_key, token_key_id and team_id must be given together")
    return apns_credentials.provider_token(key, key_id, team_id, clock)
