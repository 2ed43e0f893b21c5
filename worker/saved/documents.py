"""JSON values out of a text of any size: one a line, pretty-printed, or one after the other.

Lists are taken apart while they are read, so that a document of a million opted-out numbers needs
no more memory than one of ten.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec

_PIECE = 1 << 20
"""How much of a line is read at once. Nothing that is one value has lines that long."""

_MOST = 16 << 20
"""The longest single value. The longest that Pinpoint has are email templates, of 600,000
characters."""

_TOO_LARGE = f"is a single value of more than {_MOST >> 20} MB"

LISTS = frozenset(
    {"Item", "OptedOutNumbers", "SuppressedDestinationSummaries", "Contacts", "phoneNumbers"}
)
"""The members of AWS's answers that hold a list of things."""

_WRAPS = ("Response", "Request")
"""How the names end of what AWS's clients put around a body. An attribute may be named Item."""

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\],:]')


@dataclass(frozen=True, slots=True)
class Value:
    """A value and the line that it begins at. `path` is the names of the members that the list it
    comes from was in; what is around a list comes last, with the list empty."""

    line: int
    path: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that is no value: where it begins and what is wrong with it."""

    line: int
    why: str


def values(stream: TextIO) -> Iterator[Value | Broken]:
    """Everything that is in the text. What is broken ends where the next whole line begins that is
    an object by itself, so that a bad line costs that line only."""
    line, whole = 0, True
    scanner: _Scanner | None = None
    while piece := stream.readline(_PIECE):
        starts_line = whole
        line += starts_line
        whole = piece.endswith(("\n", "\r"))
        # A line that is complete by itself needs no scanner, and most files have no others.
        complete = (
            _complete(piece) if starts_line and (scanner is None or scanner.ends(piece)) else None
        )
        if complete is None:
            scanner = yield from _scanned(scanner, piece, line, whole=whole)
            continue
        if scanner is not None:
            yield scanner.cut_off()
            scanner = None
        yield from taken_apart(line, complete)
    if scanner is not None:
        yield scanner.cut_off()


def _scanned(
    scanner: _Scanner | None, piece: str, line: int, *, whole: bool
) -> Generator[Value | Broken, None, _Scanner | None]:
    """What ends in a piece. Returns the scanner of the value that goes on after it."""
    while piece := piece if scanner else piece.lstrip():
        if scanner is None:
            if piece[0] not in "{[":
                yield Broken(line, "is not JSON")
                return None
            scanner = _Scanner(line)
        yield from scanner.feed(piece, line, whole=whole)
        if not scanner.done:
            return scanner
        piece, scanner = scanner.rest, None
    return scanner


def taken_apart(line: int, value: Any) -> Iterator[Value]:
    """The elements of the lists in a value that was read whole, then what is around them."""
    if isinstance(value, list):
        for element in value:
            yield from taken_apart(line, element)
        return
    if not isinstance(value, dict):
        yield Value(line, (), value)
        return
    emptied: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, list) and name in LISTS:
            for element in one:
                yield Value(line, (name,), element)
            emptied[name] = []
        elif isinstance(one, dict) and name.endswith(_WRAPS) and isinstance(one.get("Item"), list):
            for element in one["Item"]:
                yield Value(line, (name, "Item"), element)
            emptied[name] = {**one, "Item": []}
    yield Value(line, (), {**value, **emptied} if emptied else value)


def _complete(text: str) -> Any:
    """The object or array that a line is, or None."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


@dataclass(slots=True)
class _Scanner:
    """Follows one value through its pieces."""

    line: int
    done: bool = False
    rest: str = ""
    _opened: list[str] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _string: str = ""
    _tail: str = ""
    _list_depth: int = 0
    _element: list[str] = field(default_factory=list)
    _element_line: int = 0
    _element_size: int = 0
    _around: list[str] = field(default_factory=list)
    _around_size: int = 0
    _broken: str = ""

    def ends(self, line: str) -> bool:
        """Whether a line, if it is complete by itself, begins anew rather than being a part of what
        is under way: a member's value does not stand unindented on a line of its own."""
        return line[0] == "{" and not self._list_depth

    def cut_off(self) -> Broken:
        """What to say of a value that does not end."""
        return Broken(self.line, self._broken or "is cut off: the JSON that begins here never ends")

    def feed(self, piece: str, line: int, *, whole: bool) -> Iterator[Value | Broken]:
        """Read on. `whole` if the piece ends with its line, which no string goes beyond."""
        text, self._tail = self._tail + piece, ""
        start = 0
        for token in _TOKEN.finditer(text):
            mark = token.group()
            if mark[0] == '"':
                if not whole and token.end() == len(text):
                    # It may go on in the next piece.
                    self._keep(text[start : token.start()], line)
                    self._hold(mark)
                    return
                self._string = mark
            elif mark in "{[":
                self._opened.append(mark)
                self._names.append("")
                if mark == "[" and self._streams():
                    self._keep(text[start : token.end()], line)
                    start = token.end()
                    self._list_depth = len(self._opened)
            elif mark == ":":
                self._names[-1] = self._string[1:-1]
            elif self._list_depth == len(self._opened):
                # An element ends here.
                yield from self._end_element(text[start : token.start()], line)
                start = token.end() if mark == "," else token.start()
                self._list_depth *= mark == ","
            if mark in "}]":
                self._opened.pop()
                self._names.pop()
                if not self._opened:
                    self._keep(text[start : token.end()], line)
                    self.done, self.rest = True, text[token.end() :]
                    yield from self._end()
                    return
        self._keep(text[start:], line)

    def _hold(self, string: str) -> None:
        if len(string) > _MOST:
            self._broken, string = _TOO_LARGE, '"'
        self._tail = string

    def _streams(self) -> bool:
        """Whether the list that was just opened is one to take apart: a bare one, or one of `LISTS`
        in an answer or in the shape that an answer wraps."""
        if self._list_depth:
            return False
        *around, _ = self._opened
        if not around:
            return True
        if set(around) != {"{"} or self._names[-2] not in LISTS:
            return False
        return len(around) == 1 or (len(around) == 2 and self._names[0].endswith(_WRAPS))

    def _path(self) -> tuple[str, ...]:
        return tuple(self._names[: self._list_depth - 1])

    def _keep(self, text: str, line: int) -> None:
        if not self._list_depth:
            self._around_size += len(text)
            if self._around_size > _MOST:
                self._around.clear()
                self._broken = _TOO_LARGE
            else:
                self._around.append(text)
            return
        if not self._element and text.strip():
            self._element_line = line
        self._element_size += len(text)
        if self._element_size > _MOST:
            self._element.clear()
        elif self._element or text.strip():
            self._element.append(text)

    def _end_element(self, text: str, line: int) -> Iterator[Value | Broken]:
        self._keep(text, line)
        whole = "".join(self._element).strip()
        path, at, size = self._path(), self._element_line, self._element_size
        self._element.clear()
        self._element_size = 0
        if size > _MOST:
            yield Broken(at, _TOO_LARGE)
        elif whole:
            yield from _read(whole, at, path)

    def _end(self) -> Iterator[Value | Broken]:
        if self._broken:
            yield Broken(self.line, self._broken)
        else:
            yield from _read("".join(self._around), self.line, ())


def _read(text: str, line: int, path: tuple[str, ...]) -> Iterator[Value | Broken]:
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        yield Broken(line, "is nested too deeply")
    except UnicodeError:
        yield Broken(line, "is not valid Unicode")
    except msgspec.DecodeError:
        yield Broken(line, "is not valid JSON")
    else:
        if path:
            yield Value(line, path, value)
        else:
            yield from taken_apart(line, value)
