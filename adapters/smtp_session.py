"""What is said on a connection to a relay once it is open: commands and content out, replies in.

aiosmtplib connects, does TLS and logs in, and then hands over. It says one command at a time and
waits for the reply, which over a network is most of what a message takes; a session may say several
together (RFC 2920).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import aiosmtplib

_REPLY_LIMIT = 64 * 1024  # bytes that a reply may have, all of its lines together


class Session(asyncio.Protocol):
    """An open client's connection. There must be no reply that the client still waits for."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        assert client.protocol is not None
        self._transport = cast("asyncio.Transport", client.transport)
        self._client = client.protocol
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._replies: deque[aiosmtplib.SMTPResponse] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._trouble: aiosmtplib.SMTPException | None = None
        self.awaited = 0
        """Replies to what was said that nobody has taken yet."""
        self._transport.set_protocol(self)

    def say(self, data: bytes, *, replies: int = 1) -> None:
        """Send what the relay answers with so many replies. `aiosmtplib.SMTPServerDisconnected` if
        nobody is there any more."""
        if self._trouble is not None or self._transport.is_closing():
            raise self._trouble or _lost()
        self.awaited += replies
        self._transport.write(data)

    async def reply(self) -> aiosmtplib.SMTPResponse:
        """The next reply. `aiosmtplib.SMTPServerDisconnected` if there comes none,
        `aiosmtplib.SMTPResponseException` for what is no reply."""
        while not self._replies:
            if self._trouble is not None:
                raise self._trouble
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self.awaited -= 1
        return self._replies.popleft()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0 and self._trouble is None:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._read(line.rstrip(b"\r"))
        if len(self._buffer) + sum(map(len, self._lines)) > _REPLY_LIMIT:
            self._end(_malformed("Response too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(_lost(exc))
        self._client.connection_lost(exc)

    def _read(self, line: bytes) -> None:
        if not line[:3].isdigit() or len(line[:3]) < 3:
            self._end(_malformed(f"Malformed SMTP response line: {line.decode(errors='replace')}"))
            return
        self._lines.append(line[4:].strip())
        if line[3:4] == b"-":
            return
        text = b"\n".join(self._lines).decode(errors="surrogateescape")
        self._lines.clear()
        if len(self._replies) == self.awaited:
            # Nobody has asked: the relay takes its leave (421), or is out of step with us.
            self._end(_lost())
            return
        self._replies.append(aiosmtplib.SMTPResponse(int(line[:3]), text))
        self._wake()

    def _end(self, trouble: aiosmtplib.SMTPException) -> None:
        if self._trouble is None:
            self._trouble = trouble
            self._transport.abort()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _lost(cause: BaseException | None = None) -> aiosmtplib.SMTPServerDisconnected:
    lost = aiosmtplib.SMTPServerDisconnected("Connection lost")
    lost.__cause__ = cause
    return lost


def _malformed(text: str) -> aiosmtplib.SMTPResponseException:
    return aiosmtplib.SMTPResponseException(aiosmtplib.SMTPStatus.invalid_response, text)
