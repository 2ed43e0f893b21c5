"""The connections that an adapter keeps to one APNs host, as Apple wants them used."""

from __future__ import annotations

import ssl

from adapters import apns_messages, http2, http2_pool
from adapters.apns_credentials import ProviderToken
from adapters.apns_messages import Answer, Push


class Pool:
    """At most `connections` at a time. With a token, each has one stream until that was accepted
    (Apple)."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        token: ProviderToken | None,
        *,
        connections: int,
        limits: http2.Limits,
    ) -> None:
        self._authority = host if port == 443 else f"{host}:{port}"
        self._token = token
        self._pool = http2_pool.Pool(
            host,
            port,
            tls,
            name="APNs",
            connections=connections,
            limits=limits,
            cautious=token is not None,
            farewell=apns_messages.reason,
            spent=_spent,
        )

    async def send(self, push: Push, deadline: float) -> Answer:
        """APNs' answer until `deadline`, in the loop's time; else TimeoutError, NotReached,
        NotProcessed or NoAnswer.

        What was not processed, or was refused for a provider token that has become too old, is
        sent once more: neither can send a message twice.
        """
        authorization = self._token.get_header() if self._token else None
        answer = await self._attempt(push, authorization, deadline)
        expired = answer.description == "ExpiredProviderToken"
        if expired and self._token is not None and self._token.refresh(authorization or ""):
            answer = await self._attempt(push, self._token.get_header(), deadline)
        return answer

    async def aclose(self) -> None:
        """Close every connection now, and wait until they are gone."""
        await self._pool.aclose()

    async def _attempt(self, push: Push, authorization: str | None, deadline: float) -> Answer:
        request = push.written(self._authority, authorization)
        return Answer(await self._pool.request(request, deadline))


def _spent(answer: http2.Answer) -> bool:
    """Apple: a connection on which a token was renewed too often stays unusable."""
    return answer.status == 429 and b"TooManyProviderTokenUpdates" in answer.body
