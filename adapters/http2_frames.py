"""HTTP/2 in octets (RFC 9113), and header blocks that need no table (RFC 7541): no state, no I/O.

What we write uses HPACK's static table and literals only, so a block means the same wherever it
stands, blocks can be kept and joined, and whoever writes thousands of nearly equal requests writes
what they share once. We ask the peer to do the same (SETTINGS_HEADER_TABLE_SIZE is 0).
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterable

from hpack import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = range(6)
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(6, 10)

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6

NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 0, 1, 7, 8

WINDOW = 65_535
"""Bytes of body that may be under way, on a stream and on a connection, before anything is said."""

FRAME = 16_384
"""Bytes in a frame, at most, before anything is said. We never say more."""

PING_SIZE = 8
"""Bytes of a PING."""

NO_TABLE = b"\x20"
"""What a connection's first block begins with: that we use no table, however small the peer's
becomes (RFC 9113, 4.3.1: whoever has said nothing of a table that shrinks is cut off)."""

_STATIC = HeaderTable.STATIC_TABLE
_BY_FIELD = {field: index for index, field in enumerate(_STATIC, 1)}
_BY_NAME = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC, 1)))}
_NEVER_IN_A_VALUE = re.compile(rb"[\x00\r\n]")
_NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_HEAD = struct.Struct(">BHBBI")
_BOUNDS = {INITIAL_WINDOW_SIZE: (0, 2**31 - 1), MAX_FRAME_SIZE: (FRAME, 2**24 - 1)}
_SHORT = 256  # bytes of a text that is worth to be kept decoded

_huffman = functools.lru_cache(maxsize=1024)(decode_huffman)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame with its head."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def length(buffer: bytes, at: int) -> int:
    """How long the payload is of the frame that begins there. ValueError if that is too much."""
    octets = int.from_bytes(buffer[at : at + 3], "big")
    if octets > FRAME:
        raise ValueError("a frame that is too long")
    return octets


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame's payload."""
    return b"".join([struct.pack(">HI", *each) for each in values])


def read_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says in the end. ValueError if it is none."""
    if len(payload) % 6:
        raise ValueError("SETTINGS of a wrong length")
    said = dict(struct.iter_unpack(">HI", payload))
    for key, (least, most) in _BOUNDS.items():
        if not least <= said.get(key, least) <= most:
            raise ValueError("a setting beyond its bounds")
    return said


def field(name: bytes, value: bytes) -> bytes:
    """One header field, as a literal that nobody on the way is to put into a table (RFC 7541,
    6.2.3), or as its place in the static table. ValueError if it could be taken for more than
    that."""
    if index := _BY_FIELD.get((name, value)):
        return _integer(index, 0x80, 0x7F)
    if _NEVER_IN_A_VALUE.search(value):
        raise ValueError("a header's value has more than a line")
    if index := _BY_NAME.get(name):
        return _integer(index, 0x10, 0x0F) + _integer(len(value), 0, 0x7F) + value
    if not _NAME.fullmatch(name):
        raise ValueError("not a header's name")
    written = _integer(len(name), 0, 0x7F) + name
    return b"\x10" + written + _integer(len(value), 0, 0x7F) + value


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The fields of a request, or of a part of it."""
    return b"".join([field(name, value) for name, value in fields])


def read_block(data: bytes) -> dict[bytes, bytes] | None:
    """The fields of a block that neither uses a table of the connection's nor adds to it; None for
    any other. ValueError for what is no block. Of fields with the same name the last one counts."""
    fields: dict[bytes, bytes] = {}
    at, end = 0, len(data)
    try:
        while at < end:
            first = data[at]
            if first & 0x80:
                index, at = _read_integer(data, at, 0x7F)
                if not 0 < index <= len(_STATIC):
                    return None
                name, value = _STATIC[index - 1]
            elif first & 0x60 == 0x20:  # how large the table is
                size, at = _read_integer(data, at, 0x1F)
                if size:
                    return None
                continue
            elif first & 0x40:  # a field for the table
                return None
            else:
                index, at = _read_integer(data, at, 0x0F)
                if index > len(_STATIC):
                    return None
                if index:
                    name = _STATIC[index - 1][0]
                else:
                    name, at = _read_text(data, at)
                value, at = _read_text(data, at)
            fields[name] = value
    except (IndexError, HPACKDecodingError):
        raise ValueError("not a block of header fields") from None
    return fields


def unpadded(flags: int, payload: bytes) -> bytes:
    """What is in a DATA or HEADERS frame beside padding and priority. ValueError if it is not."""
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload or payload[0] >= end:
            raise ValueError("more padding than payload")
        start, end = 1, end - payload[0]
    if flags & PRIORITISED:
        start += 5
    if start > end:
        raise ValueError("less payload than its flags say")
    return payload[start:end]


def _integer(value: int, pattern: int, mask: int) -> bytes:
    """RFC 7541, 5.1: `mask` are the bits of the first octet that are the integer's."""
    if value < mask:
        return bytes((pattern | value,))
    octets = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        octets.append(0x80 | value & 0x7F)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _read_integer(data: bytes, at: int, mask: int) -> tuple[int, int]:
    value = data[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        octet = data[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise IndexError


def _read_text(data: bytes, at: int) -> tuple[bytes, int]:
    coded = data[at] & 0x80
    size, at = _read_integer(data, at, 0x7F)
    end = at + size
    text = data[at:end]
    if len(text) != size:
        raise IndexError
    if coded:
        text = _huffman(text) if size <= _SHORT else decode_huffman(text)
    return text, end
