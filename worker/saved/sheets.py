"""Segments and opt-out lists as CSV. Pure but for the reading."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from worker import wire
from worker.saved import recognition
from worker.saved.items import Endpoint, Item, Problem

_PARTS = {
    "Demographic": frozenset(wire.EndpointDemographic.__struct_fields__),
    "Location": frozenset(wire.EndpointLocation.__struct_fields__),
}
_PLAIN = frozenset(wire.EndpointResponse.__struct_fields__) - {
    "Attributes",
    "Metrics",
    "User",
    *_PARTS,
}
_NUMBERS = frozenset({"Latitude", "Longitude"})
_LISTS = ("Attributes.", "User.UserAttributes.")
_METRICS = "Metrics."
_USER_ID = "User.UserId"
_DELIMITERS = ",;\t"


def delimiter(line: str) -> str | None:
    """What separates the columns if the line is the head of a table that is understood."""
    for one in _DELIMITERS:
        names = next(csv.reader([line], delimiter=one), [])
        if _is_head([name.strip() for name in names]):
            return one
    return None


def rows(stream: TextIO, separator: str) -> Iterator[tuple[int, Item]]:
    """The rows under the head, with their lines, and what is wrong with some of them."""
    lines = csv.reader(stream, delimiter=separator)
    names = [name.strip() for name in next(lines)]
    if "OptedOutNumber" in names or "EmailAddress" in names:
        read = _opt_out
    else:
        read = _endpoint
        unknown = [name for name in names if name and not _is_known(name)]
        if unknown:
            # No more is told than a head can hold that is none.
            shown = ", ".join(name for name in unknown[:5] if name.isprintable())
            yield 1, Problem(f"has columns that no endpoint has: {shown}")
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            yield lines.line_num, Problem(f"is not a row of CSV: {error}")
            continue
        if cells is None:
            return
        if not any(cells):
            continue
        if len(cells) > len(names):
            yield lines.line_num, Problem("has more cells than the head has columns")
            continue
        for item in read(names, cells):
            yield lines.line_num, item


def _opt_out(names: Sequence[str], cells: Sequence[str]) -> Iterator[Item]:
    value = dict(zip(names, cells, strict=False))
    if "OptedOutNumber" in value:
        return recognition.opted_out_number(value)
    return recognition.suppressed(value)


def _endpoint(names: Sequence[str], cells: Sequence[str]) -> Iterator[Item]:
    """Pinpoint: a column that stands there several times is an attribute with several values."""
    members: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=False):
        text = cell.strip()
        if not text:
            continue
        head, _, member = name.partition(".")
        if name in _PLAIN:
            members[name] = text
        elif name.startswith(_METRICS):
            members.setdefault("Metrics", {})[name.removeprefix(_METRICS)] = _number(text)
        elif name == _USER_ID:
            members.setdefault("User", {})["UserId"] = text
        elif name.startswith(_LISTS[1]):
            user = members.setdefault("User", {}).setdefault("UserAttributes", {})
            user.setdefault(name.removeprefix(_LISTS[1]), []).append(text)
        elif name.startswith(_LISTS[0]):
            attributes = members.setdefault("Attributes", {})
            attributes.setdefault(name.removeprefix(_LISTS[0]), []).append(text)
        elif member in _PARTS.get(head, ()):
            members.setdefault(head, {})[member] = _number(text) if member in _NUMBERS else text
    if members.keys() <= {"User"}:
        yield Problem("names a user and none of its endpoints", attention=False, kind="endpoint")
    else:
        yield Endpoint(members)


def _number(text: str) -> float | str:
    """The number, or what is none, for whoever reads the endpoint to say so."""
    try:
        return float(text)
    except ValueError:
        return text


def _is_head(names: Sequence[str]) -> bool:
    if "OptedOutNumber" in names or {"EmailAddress", "Reason"} <= {*names}:
        return True
    return bool({"Address", "ChannelType", _USER_ID} & {*names}) and sum(
        _is_known(name) for name in names
    ) * 2 >= len(names)


def _is_known(name: str) -> bool:
    head, _, member = name.partition(".")
    return (
        name in _PLAIN
        or name == _USER_ID
        or name.startswith((*_LISTS, _METRICS))
        or member in _PARTS.get(head, ())
    )
