"""How phone networks count a text (3GPP TS 23.038): in GSM's own alphabet, of which some characters
take two places, or else in UTF-16."""

from __future__ import annotations

from collections.abc import Iterator

_EXTENSION = frozenset("^{}\\[~]|€\f")  # each takes two
_ALPHABET = _EXTENSION.union(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def is_gsm(text: str) -> bool:
    """Whether a text can be written in GSM's alphabet."""
    return _ALPHABET.issuperset(text)


def length(text: str) -> int:
    """How many places a text takes. An emoji takes two, as UTF-16 has it."""
    if is_gsm(text):
        return len(text) + sum(map(text.count, _EXTENSION))
    return len(text.encode("utf-16-le")) // 2


def parts(text: str) -> int:
    """How many messages a phone network makes of a text: 160 GSM characters or 70 others fit one,
    153 or 67 each of several. A character that takes two places is not cut in half."""
    if is_gsm(text):
        sizes, alone, each = [1 + (char in _EXTENSION) for char in text], 160, 153
    else:
        sizes, alone, each = [1 + (char > "\uffff") for char in text], 70, 67
    if sum(sizes) <= alone:
        return 1
    return 1 + sum(_cuts(sizes, each))


def _cuts(sizes: list[int], each: int) -> Iterator[bool]:
    """For each character, whether it begins another part."""
    room = each
    for size in sizes:
        full = size > room
        room = (each if full else room) - size
        yield full
