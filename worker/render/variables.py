"""What a text may name, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

Scopes = Sequence[Mapping[str, Any]]


def utc_now() -> datetime:
    """The time, as the system's clock tells it."""
    return datetime.now(UTC)


class Variables(NamedTuple):
    """`named` are the variables that a recipient has whatever the message says: dotted names to a
    list or a scalar. `strict` is whether a name without a value is an error and not an empty text.
    `now` tells the time to whoever asks for it in a text."""

    named: Mapping[str, Any] = MappingProxyType({})
    strict: bool = False
    now: Callable[[], datetime] = utc_now


def one(value: Any) -> Any:
    """The value where only one can stand: of a list the first, None if it is empty."""
    if isinstance(value, list | tuple):
        return value[0] if value else None
    return value


def written(value: Any) -> str:
    """A value as text."""
    if isinstance(value, str):
        return value
    value = one(value)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
