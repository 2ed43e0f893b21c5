"""What is said on a connection: bytes cut into whole questions and whole answers, by protocol.

Nothing is lost or moved: what was said, one after the other, is what went over the wire. A question
that is not whole yet is kept until it is; what nobody can cut is said as it comes, without words.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

CONNECT = "connect"
"""The words of a connection, which is a question of its own: some servers speak first."""


@dataclass(frozen=True, slots=True)
class Said:
    """A question or an answer. `words` are what is asked, or was: an answer has its question's."""

    words: str
    data: bytes


class Speech(Protocol):
    """One connection's."""

    def ask(self, data: bytes) -> Iterator[Said]:
        """The questions that end in these bytes of the client."""

    def answer(self, data: bytes) -> Iterator[Said]:
        """The answers that end in these bytes of the server."""


_SSL, _GSS = 80877103, 80877104
_LONG = struct.Struct("!I")


class PostgreSQL:
    """A question is all that is sent up to the Sync, in the words of its statements; a COMMIT has
    those of its whole transaction, for it is what it ends that tells one from another."""

    def __init__(self) -> None:
        self._asked = self._answered = b""
        self._open = False  # whether the startup message was sent
        self._statements: dict[bytes, str] = {}
        self._question, self._words = b"", list[str]()
        self._transaction: list[str] = []
        self._waiting: deque[str] = deque()
        self._flushed = False

    def ask(self, data: bytes) -> Iterator[Said]:
        self._asked += data
        while not self._open and (size := _size(self._asked, 0)):
            message, self._asked = self._asked[:size], self._asked[size:]
            self._open = _LONG.unpack_from(message, 4)[0] not in {_SSL, _GSS}
            self._waiting.append("startup" if self._open else "ssl")
            yield Said(self._waiting[-1], message)
        while self._open and (size := _size(self._asked, 1)):
            message, self._asked = self._asked[:size], self._asked[size:]
            self._question += message
            self._read(message)
            kind = message[:1]
            if kind in b"PBDEC":
                continue
            words = ""
            if kind in b"SQ":
                words = self._within("; ".join(self._words))
                self._waiting.append(words)
                self._words.clear()
            self._flushed = self._flushed or kind == b"H"
            question, self._question = self._question, b""
            yield Said(words, question)

    def answer(self, data: bytes) -> Iterator[Said]:
        self._answered += data
        if self._waiting and self._waiting[0] == "ssl":
            byte, self._answered = self._answered[:1], self._answered[1:]
            yield Said(self._waiting.popleft(), byte)
        start = 0
        while size := _size(self._answered[start:], 1):
            ready = self._answered[start : start + 1] == b"Z"
            start += size
            if ready or self._flushed:
                answer, self._answered, start = self._answered[:start], self._answered[start:], 0
                self._flushed = self._flushed and not ready
                yield Said(self._waiting.popleft() if ready and self._waiting else "", answer)

    def _read(self, message: bytes) -> None:
        body = message[5:]
        match message[:1]:
            case b"P":
                name, sql, _ = body.split(b"\0", 2)
                self._statements[name] = sql.decode()
            case b"B":
                self._words.append(self._statements.get(body.split(b"\0", 2)[1], ""))
            case b"Q":
                self._words.append(body.rstrip(b"\0").decode())

    def _within(self, words: str) -> str:
        if words.startswith("BEGIN"):
            self._transaction = []
        elif words.startswith("COMMIT"):
            return f"COMMIT of {'; '.join(self._transaction)}"
        else:
            self._transaction.append(words)
        return words


def _size(data: bytes, start: int) -> int:
    """The size of a message whose length is at `start`, 0 while it is not whole."""
    if len(data) < start + 4:
        return 0
    size = start + int(_LONG.unpack_from(data, start)[0])
    return size if len(data) >= size else 0


class Redis:
    """A command is a question, in its own words; an answer to a connection that listens is none."""

    def __init__(self) -> None:
        self._asked = self._answered = b""
        self._waiting: deque[str] = deque()
        self._listens = False

    def ask(self, data: bytes) -> Iterator[Said]:
        self._asked += data
        while size := _value(self._asked, 0):
            command, self._asked = self._asked[:size], self._asked[size:]
            words = b" ".join(_WORDS.findall(command)[:4]).decode(errors="replace")
            self._listens = self._listens or "SUBSCRIBE" in words
            self._waiting.append(words)
            yield Said(words, command)

    def answer(self, data: bytes) -> Iterator[Said]:
        if self._listens:
            data, self._answered = self._answered + data, b""
            yield Said("", data)
            return
        self._answered += data
        while size := _value(self._answered, 0):
            answer, self._answered = self._answered[:size], self._answered[size:]
            yield Said(self._waiting.popleft(), answer)


_WORDS = re.compile(rb"\$\d+\r\n([^\r\n]*)\r\n")
_NESTED = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2}


def _value(data: bytes, start: int) -> int:
    """Where the RESP value at `start` ends, 0 while it is not whole."""
    end = data.find(b"\r\n", start) + 2
    if end < 2:
        return 0
    kind, size = data[start], data[start + 1 : end - 2]
    if kind in b"$=!":
        end += max(-1, int(size)) + 2 if int(size) >= 0 else 0
    else:
        for _ in range(_NESTED.get(kind, 0) * int(size or 0) if kind in _NESTED else 0):
            end = _value(data, end)
            if not end:
                return 0
    return end if end <= len(data) else 0


class Smtp:
    """A line is a question, and so is a message, whose word is `content`."""

    def __init__(self) -> None:
        self._asked = self._answered = b""
        self._waiting: deque[str] = deque([CONNECT])
        self._content = False

    def ask(self, data: bytes) -> Iterator[Said]:
        self._asked += data
        while True:
            end = b"\r\n.\r\n" if self._content else b"\r\n"
            question, found, rest = self._asked.partition(end)
            if not found:
                return
            words = "content" if self._content else question.decode(errors="replace")
            self._content, self._asked = False, rest
            self._waiting.append(words)
            yield Said(words, question + end)

    def answer(self, data: bytes) -> Iterator[Said]:
        self._answered += data
        while found := _REPLY.match(self._answered):
            words = self._waiting.popleft() if self._waiting else ""
            self._content = words.upper() == "DATA" and found[0].startswith(b"354")
            self._answered = self._answered[found.end() :]
            yield Said(words, found[0])


_REPLY = re.compile(rb"(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n")


class Http:
    """HTTP/1.1, with bodies of a length that is known; the words are a request's first line."""

    def __init__(self) -> None:
        self._asked = self._answered = b""
        self._waiting: deque[str] = deque()

    def ask(self, data: bytes) -> Iterator[Said]:
        self._asked += data
        while size := _message(self._asked):
            request, self._asked = self._asked[:size], self._asked[size:]
            self._waiting.append(request.partition(b"\r\n")[0].decode())
            yield Said(self._waiting[-1], request)

    def answer(self, data: bytes) -> Iterator[Said]:
        self._answered += data
        while size := _message(self._answered):
            answer, self._answered = self._answered[:size], self._answered[size:]
            yield Said(self._waiting.popleft() if self._waiting else "", answer)


_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


def _message(data: bytes) -> int:
    """The size of the HTTP message that comes first, 0 while it is not whole."""
    head = data.find(b"\r\n\r\n") + 4
    if head < 4:
        return 0
    length = _LENGTH.search(data, 0, head)
    size = head + (int(length[1]) if length else 0)
    return size if len(data) >= size else 0
