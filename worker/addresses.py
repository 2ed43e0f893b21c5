"""One way of writing an address, by which two can be told to be the same. Pure."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?:tel:)?\+?[0-9 \xa0()./-]+")
_BETWEEN = re.compile(r"\(0\)|[^0-9]")
"""What is not dialled: also the 0 of `+44 (0)20`, which is for callers from within."""


def plain(channel_type: str, address: str) -> str:
    """The address as a list of addresses keeps it: a phone number as + and digits, an email address
    in small letters, any other as it is."""
    text = address.strip()
    if channel_type in {"SMS", "VOICE"} and _NUMBER.fullmatch(text):
        return f"+{_BETWEEN.sub('', text)}"
    return text.lower() if channel_type == "EMAIL" else address
