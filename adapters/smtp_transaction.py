"""One message over one connection: MAIL, RCPT, DATA, and what came of it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib

from adapters import smtp_pool, smtp_replies
from adapters.contract import DeliveryStatus, Fault, Outcome, indeterminate, temporary
from adapters.smtp_letter import Letter
from adapters.smtp_pool import Connection
from adapters.smtp_replies import Reply, Stage
from adapters.smtp_session import Session

TROUBLE = (aiosmtplib.SMTPException, OSError, ValueError)

_GO_ON = 354
_CATCH_UP = 5.0  # seconds for the replies that are still to come after one that decides
_ONE_LINE = re.compile(rb"[^\x00-\x1f\x7f]*").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came of it. `keep`: the connection is good for more. `again`: a fresh connection may do
    better, without sending twice."""

    outcome: Outcome
    keep: bool = False
    again: bool = False


async def carry(connection: Connection, letter: Letter, deadline: float) -> Carried:
    """`deadline` is in the loop's time."""
    reused = connection.used > 0
    connection.used += 1
    try:
        async with asyncio.timeout_at(deadline) as timer:
            if connection.session is None:
                await smtp_pool.open_client(connection.client)
                connection.session = Session(connection.client)
            else:
                # It may be dead without saying so: leave time for a fresh one.
                timer.reschedule((asyncio.get_running_loop().time() + deadline) / 2)
            reply = await _envelope(connection, connection.session, letter, timer, deadline)
    except aiosmtplib.SMTPResponseException as refused:
        reply = Reply("connect", refused.code, refused.message[: smtp_replies.KEPT])
    except TROUBLE as trouble:
        return Carried(outcome=_not_reached(trouble), again=reused)
    session = connection.session
    if session is not None and reply.stage == "data" and reply.code == _GO_ON:
        try:
            async with asyncio.timeout_at(deadline):
                # From here on the relay may have the message.
                session.say(letter.data)
                reply = _reply("content", await session.reply())
        except TROUBLE:
            return Carried(outcome=indeterminate("The relay took the message and did not answer"))
    in_step = session is not None and (not session.awaited or await _caught_up(session))
    return _judged(connection, letter, reply, in_step=in_step)


def _judged(connection: Connection, letter: Letter, reply: Reply, *, in_step: bool) -> Carried:
    done = reply.stage == "content" and 200 <= reply.code < 300
    out_of_step = not done and smtp_replies.row_of(reply).status is DeliveryStatus.UNKNOWN_FAILURE
    refused_cleanly = reply.code >= 400 and reply.code != 421 and not out_of_step
    connection.unfinished = not done
    return Carried(
        outcome=smtp_replies.outcome(reply, letter.message_id),
        keep=done or (refused_cleanly and reply.stage != "connect" and in_step),
        again=out_of_step or (reply.code == 421 and reply.stage != "content"),
    )


async def _envelope(
    connection: Connection,
    session: Session,
    letter: Letter,
    timer: asyncio.Timeout,
    deadline: float,
) -> Reply:
    """MAIL, RCPT and DATA: the first reply that refuses, or the 354 that asks for the content."""
    refused = _hopeless(connection.client, letter)
    if refused is not None:
        return refused
    *first, data = _steps(connection, letter)
    together = connection.client.supports_extension("pipelining")
    if together:
        session.say(b"".join([line for _, line in (*first, data)]), replies=len(first) + 1)

    async def answered(stage: Stage, line: bytes) -> Reply:
        if not together:
            session.say(line)
        response = await session.reply()
        if timer.when() != deadline:
            timer.reschedule(deadline)  # it is alive
        return _reply(stage, response)

    for step in first:
        reply = await answered(*step)
        if not 200 <= reply.code < 300:
            return reply
    reply = await answered(*data)
    if reply.code == _GO_ON and not connection.client.is_connected:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return reply


async def _caught_up(session: Session) -> bool:
    """Whether the connection is good for more once the replies are read to what was said together
    with what was refused. A relay that has refused the recipient and asks for the content all the
    same gets none."""
    try:
        async with asyncio.timeout(_CATCH_UP):
            while session.awaited:
                if (await session.reply()).code == _GO_ON:
                    return False
    except TROUBLE:
        return False
    return True


def _hopeless(client: aiosmtplib.SMTP, letter: Letter) -> Reply | None:
    """The reply that the relay would give, from what it said it can do."""
    if letter.utf8_needed and not client.supports_extension("smtputf8"):
        stage: Stage = "mail" if letter.recipient.isascii() else "rcpt"
        return Reply(stage, 553, "5.6.7 The address needs SMTPUTF8, which the relay lacks")
    limit = client.esmtp_extensions.get("size", "").strip()
    if limit.isdecimal() and 0 < int(limit) < letter.size:  # RFC 1870: 0 is no limit
        return Reply("mail", 552, f"5.3.4 {letter.size} octets; the relay takes {int(limit)}")
    return None


def _steps(connection: Connection, letter: Letter) -> Sequence[tuple[Stage, bytes]]:
    """The commands before the content, each with the stage that its reply belongs to."""
    client = connection.client
    reset: list[tuple[Stage, bytes]] = [("mail", b"RSET\r\n")] if connection.unfinished else []
    mail = [b"MAIL FROM:<%b>" % letter.sender.encode()]
    rcpt = [b"RCPT TO:<%b>" % letter.recipient.encode()]
    if client.supports_extension("size"):
        mail.append(b"SIZE=%d" % letter.size)
    if not letter.ascii_only and client.supports_extension("8bitmime"):
        mail.append(b"BODY=8BITMIME")
    if letter.utf8 and client.supports_extension("smtputf8"):
        mail.append(b"SMTPUTF8")
    if letter.dsn is not None and client.supports_extension("dsn"):
        # RFC 3461: a report brings ENVID back, so its reader knows the message.
        mail += [b"RET=HDRS", b"ENVID=%b" % letter.delivery_id.encode()]
        rcpt.append(b"NOTIFY=%b" % letter.dsn.upper().encode())
    return [*reset, ("mail", _line(mail)), ("rcpt", _line(rcpt)), ("data", b"DATA\r\n")]


def _line(words: Sequence[bytes]) -> bytes:
    line = b" ".join(words)
    if not _ONE_LINE(line):
        raise ValueError("a command has more than a line")
    return line + b"\r\n"


def _reply(stage: Stage, response: aiosmtplib.SMTPResponse) -> Reply:
    return Reply(stage, response.code, response.message[: smtp_replies.KEPT])


def _not_reached(trouble: Exception) -> Outcome:
    if isinstance(trouble, TimeoutError):
        return temporary(504, "The relay did not answer in time; the message had not left")
    if isinstance(trouble, aiosmtplib.SMTPException):
        # What the library itself misses is what the settings ask for: STARTTLS or AUTH.
        missing = type(trouble) is aiosmtplib.SMTPException
        fault = Fault.CREDENTIALS if missing else Fault.PROVIDER
        return temporary(503, f"The relay was not reached: {trouble.message}", fault=fault)
    if isinstance(trouble, ssl.SSLError):
        return temporary(503, f"The relay was not reached: {trouble.reason or 'TLS failed'}")
    return temporary(503, f"The relay was not reached: {type(trouble).__name__}")
