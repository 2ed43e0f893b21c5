"""Mail as anybody may send it, taken apart: headers and parts. Pure, linear, and nothing is raised,
whatever the bytes are.

The standard library's parser is made for mail that means well: nested or folded in hostile ways, a
megabyte takes it minutes, or more levels than Python has. Here everything has a bound, and what
exceeds it is not looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEPTH = 8
_PARTS = 64
_HEADERS = 500  # of a part, with its lines
_VALUE = 4_000  # characters of a header's value
_HEAD = 256 * 1024  # bytes

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:[ \t]*(.*)")
_TYPE = re.compile(r"\s*([\w.+-]{1,60}/[\w.+-]{1,60})", re.ASCII)
_BOUNDARY = re.compile(
    r';[ \t\r\n]{0,80}boundary[ \t]{0,9}=[ \t]{0,9}(?:"([^"]{1,200})"|([^\s;"]{1,200}))',
    re.IGNORECASE,
)

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has no parts of its own. `kind` is its type in lower case; the names of `fields`
    are, too."""

    kind: str
    fields: Fields = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """What it says. Whatever its charset is, the words that matter here are ASCII."""
        return _decoded(self).decode(errors="replace")


def parse(mail: bytes) -> tuple[Fields, list[Part]]:
    """The header of a message, and its parts in order, those of multiparts within multiparts too.
    A message within a message is one part."""
    head, content = split(mail)
    fields = fields_of(head)
    parts: list[Part] = []
    for part in _walk(fields, content, _DEPTH):
        parts.append(part)
        if len(parts) == _PARTS:
            break
    return fields, parts


def split(mail: bytes) -> tuple[str, bytes]:
    """Header and content of a message."""
    # mbox, and Exim's pipe, put a line in front that is no header.
    start = mail.find(b"\n") + 1 if mail.startswith((b"From ", b">From ")) else 0
    if mail.startswith((b"\n", b"\r\n"), start):
        return "", mail[start:]
    found = _END_OF_HEAD.search(mail, start)
    end, after = (found.start(), found.end()) if found else (len(mail), len(mail))
    return mail[start : min(end, start + _HEAD)].decode(errors="replace"), mail[after:]


def fields_of(head: str) -> Fields:
    """The fields of a header, unfolded."""
    found: list[tuple[str, list[str]]] = []
    for line in head.split("\n", _HEADERS)[:_HEADERS]:
        if line[:1] in {" ", "\t"} and found:
            found[-1][1].append(line.strip())
        elif one := _FIELD.match(line[: _VALUE + 200]):
            found.append((one[1].lower(), [one[2].strip()]))
    return tuple((name, " ".join(lines)[:_VALUE]) for name, lines in found)


def first(fields: Fields, name: str) -> str:
    """The value of the first field with this name; empty without one."""
    return next((value for one, value in fields if one == name), "")


def all_of(fields: Fields, *names: str) -> Iterator[str]:
    """The values of the fields with these names, in the order of the names."""
    for name in names:
        yield from (value for one, value in fields if one == name)


def _walk(fields: Fields, content: bytes, depth: int) -> Iterator[Part]:
    kind = _kind(fields)
    found = _BOUNDARY.search(first(fields, "content-type"))
    if not kind.startswith("multipart/") or found is None or not depth:
        yield Part(kind, fields, content)
        return
    for inner in _between(content, found[1] or found[2].strip()):
        head, rest = split(inner)
        yield from _walk(fields_of(head), rest, depth - 1)


def _kind(fields: Fields) -> str:
    found = _TYPE.match(first(fields, "content-type"))
    return found[1].lower() if found else "text/plain"


def _between(content: bytes, boundary: str) -> Iterator[bytes]:
    """What is between the lines with the boundary. The last one may be missing: mail is cut off."""
    line = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    )
    start = None
    for number, found in enumerate(line.finditer(content)):
        if start is not None:
            yield content[start : found.start()]
        end_of_line = content.find(b"\n", found.end()) + 1
        start = end_of_line or len(content)
        if found[1] or number > _PARTS:
            return
    if start is not None:
        yield content[start:]


def _decoded(part: Part) -> bytes:
    encoding = first(part.fields, "content-transfer-encoding").lower()
    try:
        if encoding == "base64":
            whole = re.sub(rb"[^A-Za-z0-9+/]", b"", part.content)
            whole = whole[: len(whole) - (len(whole) % 4 == 1)]
            return base64.b64decode(whole + b"=" * (-len(whole) % 4))
        if encoding == "quoted-printable":
            return binascii.a2b_qp(part.content)
    except ValueError:
        pass  # what it says it is, it is not
    return part.content
