"""What makes two messages the same: the channel, the recipient, and all that decides what is sent
to them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from worker import addresses, plan, render, wire

_OF_THE_RECORD = ("Address", "CreationDate", "EffectiveDate", "Id", "RequestId")
"""What changes with an endpoint's record, and makes a difference only where a text names it."""

_NAMES = "{{"  # what a text needs to name anything at all
_ESCAPED = "\\u"  # RawContent is JSON in JSON, so that its text may be written in escapes
_SIGNS = (_NAMES, _ESCAPED, *_OF_THE_RECORD)

_OVERRIDES = wire.EndpointSendConfiguration.__struct_fields__

# The same whatever the order in which a map's members were given.
_encode = msgspec.json.Encoder(order="deterministic").encode


def fingerprints(content: render.Content, recipients: Sequence[plan.Recipient]) -> list[str | None]:
    """A fingerprint of each recipient's message; None for one that will not be sent.

    Two are the same if the channel, the address (however a number or an email address is written)
    and all that is rendered are. A trace id is no part of it, nor is what no text names.
    """
    text = _encode(msgspec.structs.replace(content, TraceId=None))
    digest, signs = hashlib.sha256(text).hexdigest(), _signs(text)
    return [
        None
        if one.settled is not None or one.channel is None
        else _fingerprint(one, one.channel, digest, signs)
        for one in recipients
    ]


def _fingerprint(one: plan.Recipient, channel: str, digest: str, signs: AbstractSet[str]) -> str:
    own = _encode([getattr(one.configuration, name) for name in _OVERRIDES])
    variables = _named(one.variables or {}, signs | _signs(own))
    parts = [channel, addresses.plain(channel, one.address), digest, own.decode(), variables]
    return hashlib.sha256(_encode(parts)).hexdigest()


def _signs(text: bytes) -> frozenset[str]:
    return frozenset(sign for sign in _SIGNS if sign.encode() in text)


def _named(variables: Mapping[str, Any], signs: AbstractSet[str]) -> dict[str, Any]:
    """What the texts with these signs may name of the variables."""
    if not {_NAMES, _ESCAPED} & signs:
        return {}
    return {
        name: value
        for name, value in variables.items()
        if name not in _OF_THE_RECORD or name in signs or _ESCAPED in signs
    }
