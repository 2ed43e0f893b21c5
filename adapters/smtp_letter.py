"""From a `Delivery` to the bytes and the envelope that go to the relay."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters import dkim, mime, mime_raw
from adapters.contract import Delivery, Fault, Outcome, permanent
from adapters.messages import Email, RawEmail
from adapters.smtp_options import Dsn, ReturnPath
from adapters.unsubscribe import Unsubscribe


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationery:
    """What the settings say about every message."""

    from_address: str | None
    return_path: ReturnPath | None
    dsn: Dsn | None
    unsubscribe: Unsubscribe | None
    signer: dkim.Signer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message ready for the wire. `data` is dot-stuffed and ends with the final dot, which
    `size` does not count (RFC 1870); it wants 8BITMIME unless `ascii_only`. Its header or envelope
    wants SMTPUTF8 if `utf8`, and can not go without if `utf8_needed`.
    """

    delivery_id: str
    sender: str
    recipient: str
    message_id: str
    size: int
    data: bytes
    ascii_only: bool
    utf8: bool
    utf8_needed: bool
    dsn: Dsn | None


async def write(delivery: Delivery, stationery: Stationery) -> Letter | Outcome:
    """The letter, or the verdict that there can be none."""
    try:
        recipient = mime.addr_spec(delivery.address)
    except ValueError as error:
        return permanent(400, f"The recipient is {error}", fault=Fault.RECIPIENT)
    try:
        return await _written(delivery, recipient, stationery)
    except ValueError as error:
        return permanent(400, f"The email can not be sent: {error}", fault=Fault.MESSAGE)


async def _written(delivery: Delivery, recipient: str, stationery: Stationery) -> Letter:
    message = delivery.message
    if not isinstance(message, Email | RawEmail):
        raise ValueError("it is not an email")  # noqa: TRY004  # a verdict on the message
    sender = _sender(message, stationery.from_address)
    _, address = mime.mailbox(sender)
    return_path = stationery.return_path
    bounces = return_path.of(delivery.id) if return_path is not None else address
    if message.feedback_address:
        bounces = mime.addr_spec(message.feedback_address)
    now = datetime.now(UTC)
    data, message_id = _composed(delivery, sender, recipient, stationery.unsubscribe, now)
    if stationery.signer is not None:
        data = await _signed(data, stationery.signer, int(now.timestamp()))
    utf8_header = not data[: data.index(b"\r\n\r\n")].isascii()
    utf8_envelope = not (bounces.isascii() and recipient.isascii())
    return Letter(
        delivery_id=delivery.id,
        sender=bounces,
        recipient=recipient,
        message_id=message_id,
        size=len(data),
        data=(b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n",
        ascii_only=data.isascii(),
        utf8=utf8_header or utf8_envelope,
        # A caller's own header has always travelled as it is; what we write keeps to the rules.
        utf8_needed=utf8_envelope or (utf8_header and isinstance(message, Email)),
        dsn=stationery.dsn,
    )


def _sender(message: Email | RawEmail, default: str | None) -> str:
    sender = message.from_address
    if sender is None and isinstance(message, RawEmail):
        sender = mime_raw.sender_of(message.data)
    sender = sender or default
    if sender is None:
        raise ValueError("it has no sender, and neither has the channel")
    return sender


def _composed(
    delivery: Delivery, sender: str, recipient: str, leave: Unsubscribe | None, now: datetime
) -> tuple[bytes, str]:
    message = delivery.message
    assert isinstance(message, Email | RawEmail)
    message_id = f"{delivery.id}@{mime.mailbox(sender)[1].rpartition('@')[2]}"
    added = leave.headers(delivery, recipient) if leave is not None else ()
    if isinstance(message, RawEmail):
        raw = mime_raw.prepare(
            message.data, sender=sender, message_id=message_id, date=now, headers=added
        )
        return raw.data, raw.message_id
    built = mime.build(
        _with_headers(message, added),
        sender=sender,
        recipient=recipient,
        message_id=message_id,
        date=now,
        boundary=delivery.id,
    )
    return built, message_id


def _with_headers(message: Email, added: mime.Headers) -> Email:
    """All of them, or none if the caller wrote one of them."""
    given = {name.lower() for name, _ in message.headers}
    if not added or any(name.lower() in given for name, _ in added):
        return message
    return dataclasses.replace(message, headers=(*message.headers, *added))


async def _signed(data: bytes, signer: dkim.Signer, now: int) -> bytes:
    if dkim.is_slow(data, signer):
        return await asyncio.to_thread(dkim.signed, data, signer, now=now)
    return dkim.signed(data, signer, now=now)
