"""One message over one connection: MAIL, RCPT, DATA, and what came of it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import aiosmtplib

from adapters import smtp_pool, smtp_replies
from adapters.contract import DeliveryStatus, Fault, Outcome, indeterminate, temporary
from adapters.smtp_letter import Letter
from adapters.smtp_pool import Connection
from adapters.smtp_replies import Reply, Stage

TROUBLE = (aiosmtplib.SMTPException, OSError, ValueError)


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
        async with asyncio.timeout_at(deadline):
            reply = await _envelope(connection, letter, deadline)
    except aiosmtplib.SMTPResponseException as refused:
        reply = Reply("connect", refused.code, refused.message[: smtp_replies.KEPT])
    except TROUBLE as trouble:
        return Carried(outcome=_not_reached(trouble), again=reused)
    if reply.stage == "data" and reply.code == 354:
        try:
            async with asyncio.timeout_at(deadline):
                reply = await _content(connection.client, letter.data)
        except TROUBLE:
            return Carried(outcome=indeterminate("The relay took the message and did not answer"))
    return _judged(connection, letter, reply)


def _judged(connection: Connection, letter: Letter, reply: Reply) -> Carried:
    done = reply.stage == "content" and 200 <= reply.code < 300
    out_of_step = not done and smtp_replies.row_of(reply).status is DeliveryStatus.UNKNOWN_FAILURE
    refused_cleanly = reply.code >= 400 and reply.code != 421 and not out_of_step
    connection.unfinished = not done
    return Carried(
        outcome=smtp_replies.outcome(reply, letter.message_id),
        keep=done or (refused_cleanly and reply.stage != "connect"),
        again=out_of_step or (reply.code == 421 and reply.stage != "content"),
    )


async def _envelope(connection: Connection, letter: Letter, deadline: float) -> Reply:
    """MAIL, RCPT and DATA: the first reply that refuses, or the 354 that asks for the content."""
    client = connection.client
    patience = None
    if connection.used > 1:
        # A kept connection may be dead without saying so: leave time for a fresh one.
        patience = (deadline - asyncio.get_running_loop().time()) / 2
        if connection.unfinished:
            await client.execute_command(b"RSET", timeout=patience)
    else:
        await smtp_pool.open_client(client)
    refused = _hopeless(client, letter)
    if refused is not None:
        return refused
    mail, rcpt = _commands(client, letter)
    reply = _reply("mail", await client.execute_command(*mail, timeout=patience))
    if 200 <= reply.code < 300:
        reply = _reply("rcpt", await client.execute_command(*rcpt))
    if 200 <= reply.code < 300:
        reply = _reply("data", await client.execute_command(b"DATA"))
    if reply.code == 354 and not client.is_connected:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return reply


def _hopeless(client: aiosmtplib.SMTP, letter: Letter) -> Reply | None:
    """The reply that the relay would give, from what it said it can do."""
    if letter.utf8_needed and not client.supports_extension("smtputf8"):
        stage: Stage = "mail" if letter.recipient.isascii() else "rcpt"
        return Reply(stage, 553, "5.6.7 The address needs SMTPUTF8, which the relay lacks")
    limit = client.esmtp_extensions.get("size", "").strip()
    if limit.isdecimal() and 0 < int(limit) < letter.size:  # RFC 1870: 0 is no limit
        return Reply("mail", 552, f"5.3.4 {letter.size} octets; the relay takes {int(limit)}")
    return None


def _commands(client: aiosmtplib.SMTP, letter: Letter) -> tuple[list[bytes], list[bytes]]:
    mail = [b"MAIL", b"FROM:<%b>" % letter.sender.encode()]
    rcpt = [b"RCPT", b"TO:<%b>" % letter.recipient.encode()]
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
    return mail, rcpt


async def _content(client: aiosmtplib.SMTP, data: bytes) -> Reply:
    """From here on the relay may have the message."""
    assert client.protocol is not None
    client.protocol.write(data)
    return _reply("content", await client.protocol.read_response())


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
