"""Email through an SMTP relay (RFC 5321), over connections that are kept and used again. What the
relay's replies mean is in `adapters.smtp_replies`."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

import aiosmtplib

from adapters import mime, smtp_replies
from adapters.contract import (
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    temporary,
)
from adapters.messages import Email, RawEmail
from adapters.smtp_replies import Reply, Stage

Security = Literal["starttls", "tls", "opportunistic", "none"]


_PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "opportunistic": 25, "none": 25}
_TROUBLE = (aiosmtplib.SMTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A message ready for the wire. `data` is dot-stuffed and ends with the final dot."""

    sender: str
    recipient: str
    message_id: str
    data: bytes


@dataclass(slots=True, eq=False)
class _Connection:
    """`unfinished` says that the server still has an envelope that came to nothing."""

    client: aiosmtplib.SMTP
    used: int = 0
    unfinished: bool = False
    timer: asyncio.TimerHandle | None = None


class Smtp:
    """Hands email to one relay.

    `security` is `starttls` (refuses to go on without), `tls` (from the first byte),
    `opportunistic` (STARTTLS if offered, certificate not checked) or `none`; `port` follows it:
    587, 465, 25, 25. A password never goes over `opportunistic`: whoever sits in between could
    have it in the clear. `ca_file` is a PEM file of the authorities to trust, not the system's.
    `from_address` (a display name is fine) is for messages without a sender of their own,
    `return_path` gets the bounces. `local_hostname` is what EHLO says.

    At most `connections` are open at a time; each carries `messages_per_connection` messages, and
    is closed after `idle_seconds` without one. ValueError names the setting that is wrong.
    """

    def __init__(  # noqa: PLR0913  # the keywords are the configuration
        self,
        *,
        host: str,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        security: Security = "starttls",
        from_address: str | None = None,
        return_path: str | None = None,
        connections: int = 10,
        messages_per_connection: int = 100,
        idle_seconds: float = 30.0,
        ca_file: str | None = None,
        local_hostname: str | None = None,
    ) -> None:
        _check(host=host, security=security, username=username, password=password)
        _check_numbers(connections, messages_per_connection, idle_seconds, port)
        if from_address is not None:
            _checked("from_address", from_address)
        self._from = from_address
        self._return_path = return_path and _checked("return_path", return_path)
        self._per_connection = messages_per_connection
        self._idle_seconds = idle_seconds
        self._host = host
        self._port = port or _PORTS[security]
        self._username = username
        self._password = password
        self._security = security
        self._local_hostname = local_hostname or socket.gethostname()
        # Made once: a context costs ten times what a handshake does.
        self._tls = None if security == "none" else _tls(security, ca_file)
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._closed = False

    async def send(self, delivery: Delivery) -> Outcome:
        """One message to one recipient, within `delivery.timeout` seconds.

        Until the content has left, what a fresh connection may cure (a kept one that had died, a
        421, a server out of step) is tried once more on a fresh connection.
        """
        outcome = await self._send(delivery)
        return dataclasses.replace(
            outcome,
            status_message=smtp_replies.shown(
                outcome.status_message, delivery.address, self._password
            ),
        )

    async def aclose(self) -> None:
        """Close what is idle; sends in flight end as they will, and close theirs."""
        self._closed = True
        while self._idle:
            self._hang_up(self._idle[-1])
        await asyncio.sleep(0)  # the sockets close in the loop's next turn

    async def _send(self, delivery: Delivery) -> Outcome:
        letter = self._letter(delivery)
        if isinstance(letter, Outcome):
            return letter
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            return temporary(503, "No connection to the relay was free in time")
        try:
            if self._closed:
                return temporary(503, "The adapter is closed")
            outcome, again = await self._attempt(letter, deadline, self._take())
            if again:
                outcome, _ = await self._attempt(letter, deadline, self._new())
            return outcome
        finally:
            self._slots.release()

    async def _attempt(
        self, letter: _Letter, deadline: float, connection: _Connection
    ) -> tuple[Outcome, bool]:
        """What came of it, and whether a fresh connection may do better without sending twice."""
        reused = connection.used > 0
        connection.used += 1
        keep = False
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    reply = await _envelope(connection, letter, deadline)
            except aiosmtplib.SMTPResponseException as refused:
                reply = Reply("connect", refused.code, refused.message[: smtp_replies.KEPT])
            except _TROUBLE as trouble:
                return _not_reached(trouble), reused
            if reply.stage == "data" and reply.code == 354:
                try:
                    async with asyncio.timeout_at(deadline):
                        reply = await _content(connection.client, letter.data)
                except _TROUBLE:
                    return indeterminate("The relay took the message and did not answer"), False
            done = reply.stage == "content" and 200 <= reply.code < 300
            out_of_step = (
                not done and smtp_replies.row_of(reply).status is DeliveryStatus.UNKNOWN_FAILURE
            )
            refused_cleanly = reply.code >= 400 and reply.code != 421 and not out_of_step
            keep = done or (refused_cleanly and reply.stage != "connect")
            connection.unfinished = not done
            again = out_of_step or (reply.code == 421 and reply.stage != "content")
            return smtp_replies.outcome(reply, letter.message_id), again
        finally:
            self._settle(connection, keep=keep)

    def _take(self) -> _Connection:
        """The connection used last: the others may then grow old and be closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.timer is not None:
                connection.timer.cancel()
            if connection.client.is_connected:
                return connection
        return self._new()

    def _new(self) -> _Connection:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            local_hostname=self._local_hostname,
            use_tls=self._security == "tls",
            start_tls={"starttls": True, "opportunistic": None}.get(self._security, False),
            tls_context=self._tls,
            timeout=None,  # `send` keeps the time
        )
        return _Connection(client)

    def _settle(self, connection: _Connection, *, keep: bool) -> None:
        if not keep:
            _abort(connection.client)
        elif self._closed or connection.used >= self._per_connection:
            self._hang_up(connection)
        else:
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(self._idle_seconds, self._hang_up, connection)
            self._idle.append(connection)

    def _hang_up(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.timer is not None:
            connection.timer.cancel()
        if connection.client.protocol is not None and connection.client.is_connected:
            connection.client.protocol.write(b"QUIT\r\n")
        _abort(connection.client)

    def _letter(self, delivery: Delivery) -> _Letter | Outcome:
        try:
            recipient = mime.addr_spec(delivery.address)
        except ValueError as error:
            return permanent(400, f"The recipient is {error}", fault=Fault.RECIPIENT)
        try:
            return _payload(delivery, recipient, self._from, self._return_path)
        except ValueError as error:
            return permanent(400, f"The email can not be sent: {error}", fault=Fault.MESSAGE)


def _payload(
    delivery: Delivery, recipient: str, default_sender: str | None, return_path: str | None
) -> _Letter:
    message = delivery.message
    if not isinstance(message, Email | RawEmail):
        raise ValueError("it is not an email")  # noqa: TRY004  # a verdict on the message
    sender = message.from_address
    if sender is None and isinstance(message, RawEmail):
        sender = mime.raw_sender(message.data)
    sender = sender or default_sender
    if sender is None:
        raise ValueError("it has no sender, and neither has the channel")
    _, address = mime.mailbox(sender)
    message_id = f"{delivery.id}@{address.rpartition('@')[2]}"
    now = datetime.now(UTC)
    if isinstance(message, RawEmail):
        raw = mime.prepare_raw(message.data, sender=sender, message_id=message_id, date=now)
        data, message_id = raw.data, raw.message_id
    else:
        data = mime.build(
            message,
            sender=sender,
            recipient=recipient,
            message_id=message_id,
            date=now,
            boundary=delivery.id,
        )
    bounces = message.feedback_address
    return _Letter(
        sender=mime.addr_spec(bounces) if bounces else return_path or address,
        recipient=recipient,
        message_id=message_id,
        data=(b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n",
    )


async def _envelope(connection: _Connection, letter: _Letter, deadline: float) -> Reply:
    """MAIL, RCPT and DATA: the first reply that refuses, or the 354 that asks for the content."""
    client = connection.client
    patience = None
    if connection.used > 1:
        # A kept connection may be dead without saying so: leave time for a fresh one.
        patience = (deadline - asyncio.get_running_loop().time()) / 2
        if connection.unfinished:
            await client.execute_command(b"RSET", timeout=patience)
    else:
        await _open(client)
    utf8 = not (letter.sender.isascii() and letter.recipient.isascii())
    if utf8 and not client.supports_extension("smtputf8"):
        stage: Stage = "mail" if letter.recipient.isascii() else "rcpt"
        return Reply(stage, 553, "5.6.7 The address needs SMTPUTF8, which the relay lacks")
    options = [b"SIZE=%d" % len(letter.data)] * client.supports_extension("size")
    if not letter.data.isascii() and client.supports_extension("8bitmime"):
        options.append(b"BODY=8BITMIME")
    if utf8:
        options.append(b"SMTPUTF8")
    mail = b"MAIL", b"FROM:<%b>" % letter.sender.encode(), *options
    rcpt = b"RCPT", b"TO:<%b>" % letter.recipient.encode()
    reply = _reply("mail", await client.execute_command(*mail, timeout=patience))
    if 200 <= reply.code < 300:
        reply = _reply("rcpt", await client.execute_command(*rcpt))
    if 200 <= reply.code < 300:
        reply = _reply("data", await client.execute_command(b"DATA"))
    if reply.code == 354 and not client.is_connected:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return reply


async def _open(client: aiosmtplib.SMTP) -> None:
    await client.connect()
    if client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()


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


def _abort(client: aiosmtplib.SMTP) -> None:
    """Close without waiting for what is still unsent: the peer may never read it."""
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


def _check(*, host: str, security: str, username: str | None, password: str | None) -> None:
    if not re.fullmatch(r"[!-~]+", host):
        raise ValueError("host must be a host name or an IP address")
    if security not in _PORTS:
        raise ValueError(f"security must be one of {', '.join(_PORTS)}")
    if (username is None) is not (password is None):
        raise ValueError("username and password go together")
    if password is not None and security == "opportunistic":
        raise ValueError("security must not be opportunistic with a password: use starttls or tls")


def _check_numbers(connections: int, messages: int, idle: float, port: int | None) -> None:
    if connections < 1:
        raise ValueError("connections must be at least 1")
    if messages < 1:
        raise ValueError("messages_per_connection must be at least 1")
    if idle < 0:
        raise ValueError("idle_seconds must not be negative")
    if port is not None and not 0 < port < 65536:
        raise ValueError("port must be between 1 and 65535")


def _checked(setting: str, value: str) -> str:
    try:
        return mime.mailbox(value)[1]
    except ValueError as error:
        raise ValueError(f"{setting} is {error}") from None


def _tls(security: Security, ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"ca_file can not be read: {error.strerror or 'not PEM'}") from None
    if security == "opportunistic":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
