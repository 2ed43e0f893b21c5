"""Numbers and truth, as templates mean them: what looks like a number is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Any

from worker.render.variables import one, written

CONTEXT = Context(prec=28, Emax=60, Emin=-60, traps=[DivisionByZero, InvalidOperation, Overflow])
"""28 digits, and no number so large that to write it out would cost anything."""

_NUMBER = re.compile(r"\s*-?[0-9]{1,60}(?:\.[0-9]{1,60})?\s*", re.ASCII)


def number(value: Any) -> Decimal | None:
    """The number that a value is or looks like; None for everything else."""
    text = written(value) if not isinstance(value, bool) else ""
    if len(text) > 130 or not _NUMBER.fullmatch(text):
        return None
    return CONTEXT.create_decimal(text.strip())


def shown(value: Decimal) -> str:
    """Without an exponent, and without zeros that say nothing."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ceiling(value: Decimal) -> Decimal:
    return value.to_integral_value(ROUND_CEILING)


def floor(value: Decimal) -> Decimal:
    return value.to_integral_value(ROUND_FLOOR)


def rounded(value: Decimal) -> Decimal:
    """Halves go up, those of negative numbers too, as Java's do."""
    return (value + Decimal("0.5")).to_integral_value(ROUND_FLOOR)


def truth(value: Any) -> bool:
    """What `{{#if}}` takes for true: all but nothing, false, 0, "" and the empty list."""
    return bool(value)


def _compared(value: Any, other: Any) -> int | None:
    """-1, 0 or 1: as numbers if both are, else as texts; None if one of them is missing."""
    value, other = one(value), one(other)
    if value is None or other is None:
        return 0 if value is other else None
    numbers = number(value), number(other)
    if numbers[0] is not None and numbers[1] is not None:
        return (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])
    texts = written(value), written(other)
    return (texts[0] > texts[1]) - (texts[0] < texts[1])


def _comparison(holds: Callable[[int | None], bool]) -> tuple[int, Callable[..., bool]]:
    return 2, lambda value, other, *_: holds(_compared(value, other))


CONDITIONS: Mapping[str, tuple[int, Callable[..., bool]]] = {
    "if": (1, lambda value, *_: truth(value)),
    "unless": (1, lambda value, *_: not truth(value)),
    "not": (1, lambda value, *_: not truth(value)),
    "and": (2, lambda *values: all(map(truth, values))),
    "or": (2, lambda *values: any(map(truth, values))),
    "eq": _comparison(lambda order: order == 0),
    "neq": _comparison(lambda order: order != 0),
    "gt": _comparison(lambda order: order == 1),
    "gte": _comparison(lambda order: order in {0, 1}),
    "lt": _comparison(lambda order: order == -1),
    "lte": _comparison(lambda order: order in {-1, 0}),
}
"""The conditions, with how many values each needs."""
