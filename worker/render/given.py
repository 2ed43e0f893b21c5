"""What a helper is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from worker.render import arithmetic
from worker.render.errors import Unrenderable
from worker.render.variables import one, written

_WIDEST = 10_000


@dataclass(frozen=True, slots=True)
class Given:
    """What a helper is given: its name, its arguments in order and by name, and the time."""

    name: str
    values: tuple[Any, ...]
    named: Mapping[str, Any]
    now: Callable[[], datetime]

    def value(self, position: int) -> Any:
        """An argument that there must be."""
        if position >= len(self.values):
            raise self.wrong("an argument is missing")
        return one(self.values[position])

    def text(self, position: int) -> str:
        return written(self.value(position))

    def option(self, position: int, name: str, default: str) -> str:
        """An argument that may be left out, given by its position or by its name."""
        if name in self.named:
            return written(self.named[name])
        return self.text(position) if position < len(self.values) else default

    def whole(self, position: int, name: str, most: int = _WIDEST) -> int:
        """An argument that is a whole number from 0 to `most`."""
        number = arithmetic.number(self.option(position, name, ""))
        if number is None or number != int(number) or not 0 <= number <= most:
            raise self.wrong(f"{name} must be a whole number from 0 to {most}")
        return int(number)

    def number(self, position: int) -> Decimal:
        number = arithmetic.number(self.value(position))
        if number is None:
            raise self.wrong("a value is not a number")
        return number

    def wrong(self, what: str) -> Unrenderable:
        return Unrenderable(400, f"{{{{{self.name}}}}} cannot be rendered: {what}")
