"""A caller's own MIME message, made ready to be sent. Pure; what is not one is a ValueError."""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import datetime

from adapters import mime

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_ID = re.compile(rb"\s*<([!-;=?-~]{1,250})>\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A caller's own MIME message made ready to be sent, and the Message-ID it carries."""

    data: bytes
    message_id: str


def sender_of(data: bytes) -> str | None:
    """The addr-spec in the From header of a caller's MIME message; None without such a header."""
    fields, _ = split(_crlf(data))
    for name, value in fields:
        if name.lower() == b"from":
            text = value.replace(b"\r\n", b"").decode("utf-8", "replace")
            found = email.utils.getaddresses([text])
            return mime.addr_spec(found[0][1]) if found else None
    return None


def prepare(
    data: bytes, *, sender: str, message_id: str, date: datetime, headers: mime.Headers = ()
) -> Raw:
    """A caller's MIME message with CRLF line ends, without Bcc, and with the From, Date and
    Message-ID it lacks; everything else stays as it is, byte for byte.

    `headers` (ASCII) are added too, all of them or, if the message has any of these, none.
    A bare CR or LF would let one server read two messages where another reads one.
    """
    fields, body = split(_crlf(data))
    kept = [(name, value) for name, value in fields if name.lower() not in {b"bcc", b"resent-bcc"}]
    names = {name.lower(): value for name, value in kept}
    lacking = [
        (b"From", mime.addresses("From", (sender,))),
        (b"Date", f"Date: {email.utils.format_datetime(date)}"),
        (b"Message-ID", f"Message-ID: <{message_id}>"),
    ]
    lines = [line.encode() for name, line in lacking if name.lower() not in names]
    if not any(name.lower().encode() in names for name, _ in headers):
        lines += [mime.fold(name, value.split(" ")).encode() for name, value in headers]
    lines += [name + b":" + value for name, value in kept]
    own = _ID.fullmatch(names.get(b"message-id", b""))
    end = b"" if not body or body.endswith(b"\r\n") else b"\r\n"
    return Raw(
        data=b"\r\n".join(lines) + b"\r\n\r\n" + body + end,
        message_id=own[1].decode() if own else message_id,
    )


def split(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The header's fields, values as written, and the body. Every line must end in CRLF."""
    if data.startswith(b"\r\n"):
        return [], data[2:]
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.removesuffix(b"\r\n") + b"\r\n"
    fields = []
    at = 0
    while at < len(head):
        found = _FIELD.match(head, at)
        if found is None:
            raise ValueError("RawEmail.Data is not a MIME message: its header is malformed")
        fields.append((found[1], found[2]))
        at = found.end()
    return fields, body


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
