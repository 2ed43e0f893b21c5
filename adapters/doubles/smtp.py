"""A mail relay (RFC 5321) that wants AUTH PLAIN, as relays for submission do."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import re
from dataclasses import dataclass, field
from typing import Self

from adapters.doubles import stage

USERNAME = "double"
PASSWORD = "the-double's-password"  # noqa: S105  # of nobody
SIZE = 10_485_760

_PATH = r"<([^<>\s]{0,254})>((?: \S+)*)"
_MAIL = re.compile(rf"FROM:{_PATH}", re.IGNORECASE)
_RCPT = re.compile(rf"TO:{_PATH}", re.IGNORECASE)
_OK = "250 2.0.0 Ok"
_OFFERS = ("double", "PIPELINING", f"SIZE {SIZE}", "8BITMIME", "SMTPUTF8", "AUTH PLAIN", "DSN")
_EHLO = "\r\n".join((*(f"250-{offer}" for offer in _OFFERS), "250 ENHANCEDSTATUSCODES"))
_ORDER = "503 5.5.1 Bad sequence of commands"
_SYNTAX = "501 5.5.4 Syntax error in parameters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message that was taken: its envelope and its content, without the dots of DATA."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    known: bool = False
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    answers: list[stage.Answer] = field(default_factory=list)

    def reset(self) -> None:
        self.sender = None
        self.recipients = []
        self.answers = []


class SmtpDouble:
    """Takes the mail of one account, refuses what a relay refuses.

    `script` says what else to do, by recipient: a status and a text are the reply to RCPT, while to
    wait or to hang up comes once the content has been read. `taken` is the mail that was accepted,
    and `reached` is set by each content that has been read.
    """

    def __init__(self) -> None:
        self.script = stage.Script()
        self.taken: list[Mail] = []
        self.reached = asyncio.Event()
        self.host, self.port = "127.0.0.1", 0
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, port, limit=SIZE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, and close those there are. Twice is fine."""
        if self._server is not None:
            self._server.close()
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        session = _Session(reader, writer)
        try:
            reply: str | None = "220 double ESMTP"
            while reply is not None:
                writer.write(f"{reply}\r\n".encode())
                line = (await reader.readline()).decode("utf-8", "replace")
                reply = await self._command(session, line.rstrip("\r\n")) if line else None
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the client went, its line was too long, or the double stops: all ends here
        finally:
            self._sessions.discard(task)
            writer.close()

    async def _command(self, session: _Session, line: str) -> str | None:
        """The reply, None to hang up."""
        verb, _, rest = line.partition(" ")
        verb = verb.upper()
        if verb == "DATA":
            return await self._data(session)
        if verb == "QUIT":
            session.writer.write(b"221 2.0.0 Bye\r\n")
            return None
        if verb in {"EHLO", "HELO", "RSET"}:
            session.reset()
        plain = {"EHLO": _EHLO, "HELO": _OK, "RSET": _OK, "NOOP": _OK}
        if verb in plain:
            return plain[verb]
        steps = {"AUTH": _auth, "MAIL": _mail, "RCPT": self._rcpt}
        return steps[verb](session, rest) if verb in steps else "500 5.5.2 Command not recognized"

    def _rcpt(self, session: _Session, rest: str) -> str:
        found = _RCPT.fullmatch(rest)
        if session.sender is None:
            return _ORDER
        if found is None or "@" not in found[1]:
            return _SYNTAX
        answer = self.script.turn(found[1])
        if answer.status is not None:
            _tell(answer, answer)
            return f"{answer.status} {answer.body}"
        session.recipients.append(found[1])
        session.answers.append(answer)
        return "250 2.1.5 Ok"

    async def _data(self, session: _Session) -> str | None:
        if session.sender is None or not session.recipients:
            return _ORDER
        session.writer.write(b"354 Go on\r\n")
        content, wrong = await _content(session.reader)
        self.reached.set()
        said = wrong or stage.Answer(status=250, body=f"2.0.0 Ok: queued as {next(self._numbers)}")
        for answer in session.answers:
            if answer.after is not None:
                await answer.after.wait()
            if answer.raw is not None:
                _tell(answer, answer)
                session.writer.write(answer.raw)
                return None
        if wrong is None:
            recipients = tuple(session.recipients)
            mail = Mail(sender=session.sender, recipients=recipients, content=content)
            self.taken.append(mail)
        for answer in session.answers:
            _tell(answer, said)
        session.reset()
        return f"{said.status} {said.body}"


def _auth(session: _Session, rest: str) -> str:
    mechanism, _, initial = rest.partition(" ")
    if mechanism.upper() != "PLAIN" or not initial:
        return "504 5.5.4 AUTH PLAIN with an initial response, please"
    try:
        given = base64.b64decode(initial, validate=True).decode().split("\0")
    except (binascii.Error, UnicodeDecodeError):
        return _SYNTAX
    session.known = given[1:] == [USERNAME, PASSWORD]
    return "235 2.7.0 Ok" if session.known else "535 5.7.8 Authentication credentials invalid"


def _mail(session: _Session, rest: str) -> str:
    found = _MAIL.fullmatch(rest)
    if session.sender is not None:
        return _ORDER
    if not session.known:
        return "530 5.7.0 Authentication required"
    if found is None:
        return _SYNTAX
    size = re.search(r" SIZE=([0-9]{1,20})\b", found[2], re.IGNORECASE)
    if size and int(size[1]) > SIZE:
        return "552 5.3.4 Message too big"
    session.sender = found[1]
    return "250 2.1.0 Ok"


async def _content(reader: asyncio.StreamReader) -> tuple[bytes, stage.Answer | None]:
    """The content, and what is wrong with it: only whole CRLFs end a line, of at most 998 octets
    (RFC 5321, 2.3.8 and RFC 5322, 2.1.1)."""
    lines, wrong = [], None
    while (line := await reader.readline()) != b".\r\n":
        if not line:
            raise ConnectionResetError
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            wrong = stage.Answer(status=550, body="5.6.11 Bare CR or LF")
        elif len(line) > 1000:
            wrong = stage.Answer(status=550, body="5.6.0 A line is too long")
        lines.append(line.removeprefix(b"."))
    content = b"".join(lines)
    if len(content) > SIZE:
        wrong = stage.Answer(status=552, body="5.3.4 Message too big")
    return content, wrong


def _tell(answer: stage.Answer, said: stage.Answer) -> None:
    if answer.told is not None:
        answer.told(said)
