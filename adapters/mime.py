"""MIME by hand: an `Email` in, the bytes an SMTP server gets out. Pure, and twenty to fifty times
as fast as `email.message.EmailMessage`, which would take most of the time of a send. A caller's own
MIME message is made ready in `adapters.mime_raw`.

Every body is quoted-printable or base64, so no line is longer than 76 octets and nothing but CRLF
ends a line (RFC 5321 allows 998; strict servers refuse more). What a caller wrote can not start a
header line or add a recipient: whatever could is a ValueError, whose text never quotes an address.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import email.utils
import functools
import re
from collections.abc import Iterable
from datetime import datetime

import idna

from adapters.messages import Email, Part

Headers = tuple[tuple[str, str], ...]

_WIDTH = 76
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_ADDR_SPEC = re.compile(rf'({_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*")@([^@\s]+)')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[(?:[0-9.]{{7,15}}|IPv6:[0-9A-Fa-f:.]{{2,45}})\]")
_MAILBOX = re.compile(r'("(?:[^"\\]|\\.)*"[ \t]*|[^<>]*)<([^<>]*)>')
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ENCODED_WORDS = re.compile(
    r"=\?[!->@-~]+\?[bBqQ]\?[!->@-~]*\?=(?: =\?[!->@-~]+\?[bBqQ]\?[!->@-~]*\?=)*"
)
# What ends a line for some reader somewhere, and what no header may hold. A tab is harmless.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# Text that may stand in a header as it is: words a line can hold, and spaces a fold can keep.
_PLAIN_TEXT = re.compile(r"[!-~]{1,800}(?: {1,8}[!-~]{1,800})*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,125}")
_OWN_HEADERS = re.compile(
    r"from|to|bcc|reply-to|subject|date|message-id|mime-version|content-.*|return-path|received"
    r"|resent-.*",
    re.IGNORECASE,
)
_CHARSET = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{1,19}")
_PYTHON_ONLY = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "palmos"}


def build(
    message: Email, *, sender: str, recipient: str, message_id: str, date: datetime, boundary: str
) -> bytes:
    """The whole message, every line ended by CRLF.

    `sender` may carry a display name, `recipient` is one addr-spec, `message_id` comes without its
    angle brackets, `date` is aware. `boundary` is any token: what is put in front of it can not
    occur in an encoded body. ValueError says what of the message can not be sent.
    """
    head = [
        addresses("From", (sender,)),
        f"To: {addr_spec(recipient)}",
        _text("Subject", message.subject.data, message.subject.charset),
        f"Date: {email.utils.format_datetime(date)}",
        f"Message-ID: <{message_id}>",
        *((addresses("Reply-To", message.reply_to),) if message.reply_to else ()),
        *(_extra(name, value) for name, value in message.headers),
        "MIME-Version: 1.0",
    ]
    return "\r\n".join(head).encode() + b"\r\n" + _content(message, f"=_{boundary}")


def addr_spec(text: str) -> str:
    """The address, checked to be exactly one `local@domain` of at most 254 octets, with its domain
    in ASCII (IDNA 2008). The local part may still be non-ASCII, which needs SMTPUTF8.
    """
    found = _ADDR_SPEC.fullmatch(text)
    if found is None or not text.isprintable() or len(text) > 254:
        raise ValueError("not an email address")
    try:
        address = f"{found[1]}@{_host(found[2])}"
    except ValueError as error:
        raise ValueError(f"not an email address: its domain is {error}") from None
    if len(found[1].encode()) > 64 or len(address.encode()) > 254:
        raise ValueError("not an email address")
    return address


def domain(text: str) -> str:
    """The domain name in ASCII (IDNA 2008); ValueError if it is none. An IP address is none."""
    ascii_form = _host(text)
    if ascii_form.startswith("["):
        raise ValueError("not a domain name")
    return ascii_form


def _host(text: str) -> str:
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError("not a domain name") from None
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise ValueError("not a domain name")
    return text


@functools.lru_cache(maxsize=256)  # a sender has many messages
def mailbox(text: str) -> tuple[str, str]:
    """Display name and addr-spec of `a@b`, `<a@b>`, `Name <a@b>` or `"Name, quoted" <a@b>`."""
    text = text.strip(" \t")
    found = _MAILBOX.fullmatch(text)
    if found is None:
        return "", addr_spec(text)
    name, address = found[1].strip(" \t"), found[2]
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name, addr_spec(address)


def _content(message: Email, boundary: str) -> bytes:
    parts = [
        _part(part, subtype)
        for part, subtype in ((message.text, "plain"), (message.html, "html"))
        if part is not None
    ]
    if not parts:
        raise ValueError("the email has neither a text nor an HTML part")
    if len(parts) == 1:
        return parts[0]
    mark = boundary.encode()
    # RFC 2046: the line end before a boundary belongs to the boundary.
    return b"".join(
        (
            b'Content-Type: multipart/alternative; boundary="' + mark + b'"\r\n',
            *(b"\r\n--" + mark + b"\r\n" + part for part in parts),
            b"\r\n--" + mark + b"--\r\n",
        )
    )


def _part(part: Part, subtype: str) -> bytes:
    """One text in its own charset. A text that does not end its last line gets that end."""
    charset, ascii_compatible = _codec(part.charset)
    text = part.data.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    data = _encode(text, charset, f"the {subtype} part")
    body = binascii.b2a_qp(data, istext=True) if ascii_compatible else b""
    transfer = "quoted-printable"
    if not body or len(body) * 3 > len(data) * 4 + 300:
        body = base64.encodebytes(_encode(text.replace("\n", "\r\n"), charset, subtype))
        transfer = "base64"
    head = (
        f'Content-Type: text/{subtype}; charset="{charset}"\r\n'
        f"Content-Transfer-Encoding: {transfer}\r\n\r\n"
    )
    return head.encode() + body.replace(b"\n", b"\r\n")


@functools.lru_cache(maxsize=64)
def _codec(charset: str) -> tuple[str, bool]:
    """The charset's name for the wire, and whether its line ends are those of ASCII."""
    try:
        known = codecs.lookup(charset).name.replace("_", "-")
        ascii_compatible = "\n".encode(charset) == b"\n"
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        known = "undefined"
        ascii_compatible = False
    if known in _PYTHON_ONLY or not _CHARSET.fullmatch(charset):
        raise ValueError("unknown charset: use a name of the IANA registry, such as UTF-8")
    return ("utf-8" if known == "utf-8" else charset), ascii_compatible


def _encode(text: str, charset: str, what: str) -> bytes:
    try:
        return text.encode(charset)
    except UnicodeError:
        raise ValueError(f"{what} has characters that {charset} does not have") from None


def _extra(name: str, value: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header's name is made of letters, digits, - and _ only")
    if _OWN_HEADERS.fullmatch(name):
        raise ValueError(f"the header {name} is written by the channel and can not be set")
    return _text(name, value, "utf-8")


def _text(name: str, text: str, charset: str) -> str:
    """An unstructured header: as it is if it can be, else as encoded-words (RFC 2047)."""
    if _CONTROL.search(text):
        raise ValueError(f"{name} has control characters or line ends in it")
    if not text or (_PLAIN_TEXT.fullmatch(text) and "=?" not in text):
        return fold(name, text.split(" "))
    return fold(name, _encoded_words(text, charset, name))


def _encoded_words(text: str, charset: str, what: str) -> list[str]:
    """Each word encodes whole characters, and fits on a line of its own behind a short name."""
    charset, _ = _codec(charset)
    data = _encode(text, charset, what)
    if len(data) > 36 and len(text) > 1:
        middle = len(text) // 2
        return _encoded_words(text[:middle], charset, what) + _encoded_words(
            text[middle:], charset, what
        )
    return [f"=?{charset}?B?{binascii.b2a_base64(data, newline=False).decode()}?="]


def addresses(name: str, mailboxes: Iterable[str]) -> str:
    words: list[str] = []
    for text in mailboxes:
        words[-1:] = [f"{words[-1]},"] if words else []
        display, address = mailbox(text)
        words += [*_display_name(display, name), f"<{address}>"] if display else [address]
    return fold(name, words)


def _display_name(display: str, what: str) -> list[str]:
    """SES: a display name may come as encoded-words already; those are left alone."""
    if _CONTROL.search(display):
        raise ValueError(f"{what} has control characters or line ends in it")
    if _ENCODED_WORDS.fullmatch(display):
        return display.split(" ")
    if not display.isascii() or "=?" in display or "\t" in display or len(display) > 500:
        return _encoded_words(display, "utf-8", what)
    if _PLAIN_NAME.fullmatch(display):
        return display.split(" ")
    quoted = re.sub(r'(["\\])', r"\\\1", display)
    return f'"{quoted}"'.split(" ")


def fold(name: str, words: list[str]) -> str:
    """The header, broken before a word that would not fit; unfolding gives the words back."""
    line = f"{name}: {words[0]}"
    lines = []
    if words[0].startswith("=?") and len(line) > _WIDTH:
        lines.append(f"{name}:")
        line = f" {words[0]}"
    for word in words[1:]:
        if word and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = f" {word}"
        else:
            line += f" {word}"
    return "\r\n".join((*lines, line))
