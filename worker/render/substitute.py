r"""Variables in texts: `{{name}}`, `{{name.[0]}}`, `{{{name}}}`, and `\{{` for literal braces.

A name may be dotted, and a part with spaces stands in brackets: `{{User.UserAttributes.[Last
Name]}}`. Values are lists; without an index the first element counts. A missing variable renders
empty (Pinpoint: "omits all text for the variable"). Values are never read as templates themselves.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from worker.render import errors

Scopes = tuple[Mapping[str, Any], ...]

MAX_OUTPUT = 10_000_000
"""Characters that all texts of one message may have together once variables are in (Pinpoint:
10 MB for an email). Without it a 7 MB request could ask for terabytes."""

_CACHED_LENGTH = 128 * 1024  # longer templates are parsed each time, so that the cache stays small
_MAX_DEPTH = 64

_PART = r"(?:[^\s{}\[\]().#/>!&^~=|\"'`\\@%,;<*]+|\[[^\[\]{}]*\])"
_NAME = rf"{_PART}(?:\.{_PART})*"
_TAG = re.compile(
    r"(?P<escape>\\\{\{)"
    rf"|\{{\{{\{{\s*(?P<bare>{_NAME})\s*\}}\}}\}}"
    rf"|\{{\{{(?!\{{)\s*(?P<name>{_NAME})\s*\}}\}}"
    r"|(?P<other>\{\{)"
)
_PARTS = re.compile(_PART)
_HELPER = re.compile(r"\{*\s*(?P<word>[#/^>&~*]?\s?[A-Za-z][\w.-]{0,29})(?=[^{}]*\}\})")
_INDEX = re.compile(r"\[(?P<index>[0-9]{1,9})\]")


class _Variable(NamedTuple):
    source: str
    name: str
    position: int
    escapable: bool


class _Template(NamedTuple):
    """Literals and variables in order. `problem` says what was met that is no variable; its text
    is kept as a literal."""

    pieces: tuple[str | _Variable, ...]
    problem: str | None


class Fill:
    """Puts one recipient's variables into the texts of one message.

    `scopes` hold the variables, the ones that win first. Each method raises `Unrenderable` once
    the texts filled so far are larger than `MAX_OUTPUT`.
    """

    __slots__ = ("_room", "_scopes")

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._room = MAX_OUTPUT

    def text(self, template: str) -> str:
        """The text with its variables filled in as they are."""
        return self._strictly(template, _unchanged)

    def html(self, template: str) -> str:
        """The same for HTML: a value is escaped, unless it is asked for by `{{{name}}}`."""
        return self._strictly(template, html.escape)

    def tree(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        """A copy of a JSON value with the variables in its strings filled in.

        Filling the parsed value and not its text is what keeps a value from ever changing the
        structure. Only known names are replaced, since braces may mean something to the app.
        """
        if isinstance(value, str):
            if "{{" not in value:
                return value
            return self._join(_template(value).pieces, _unchanged, keep_unknown=True)
        if depth == 0:
            raise errors.Unrenderable(400, f"RawContent is nested deeper than {_MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {key: self.tree(inner, depth - 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.tree(inner, depth - 1) for inner in value]
        return value

    def _strictly(self, template: str, escape: Callable[[str], str]) -> str:
        if "{{" not in template:
            return template
        pieces, problem = _template(template)
        if problem is not None:
            raise errors.Unrenderable(400, problem)
        return self._join(pieces, escape, keep_unknown=False)

    def _join(
        self,
        pieces: tuple[str | _Variable, ...],
        escape: Callable[[str], str],
        *,
        keep_unknown: bool,
    ) -> str:
        texts = []
        for piece in pieces:
            if isinstance(piece, str):
                text = piece
            else:
                value = self._value(piece)
                if value is None:
                    text = piece.source if keep_unknown else ""
                else:
                    text = escape(value) if piece.escapable else value
            self._room -= len(text)
            if self._room < 0:
                raise errors.Unrenderable(
                    413, "The message is over 10 MB once its variables are in"
                )
            texts.append(text)
        return "".join(texts)

    def _value(self, variable: _Variable) -> str | None:
        """The variable's text; None if nobody knows the name."""
        for scope in self._scopes:
            if variable.name in scope:
                found = scope[variable.name]
                values = found if isinstance(found, list | tuple) else (found,)
                return (
                    _written(values[variable.position]) if variable.position < len(values) else ""
                )
        return None


def _unchanged(value: str) -> str:
    return value


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _template(text: str) -> _Template:
    return _remembered(text) if len(text) <= _CACHED_LENGTH else _parse(text)


def _parse(text: str) -> _Template:
    pieces: list[str | _Variable] = []
    problem = None
    end = 0
    for tag in _TAG.finditer(text):
        pieces.append(text[end : tag.start()])
        end = tag.end()
        if tag["escape"]:
            pieces.append("{{")
        elif tag["other"]:
            pieces.append("{{")
            problem = problem or _problem(text, tag.start())
        else:
            pieces.append(_variable(tag[0], tag["bare"] or tag["name"], escapable=not tag["bare"]))
    pieces.append(text[end:])
    return _Template(tuple(piece for piece in pieces if piece), problem)


_remembered = functools.lru_cache(maxsize=128)(_parse)


def _variable(source: str, path: str, *, escapable: bool) -> _Variable:
    parts = _PARTS.findall(path)
    index = _INDEX.fullmatch(parts[-1]) if len(parts) > 1 else None
    if index:
        parts.pop()
    name = ".".join(part.removeprefix("[").removesuffix("]") for part in parts)
    return _Variable(source, name, int(index["index"]) if index else 0, escapable)


def _problem(text: str, start: int) -> str:
    """What is wrong there, naming the helper, if it is one, and nothing after it."""
    word = _HELPER.match(text, start)
    what = f"{{{{{word['word']}}}}}" if word else "{{"
    return f"{what} cannot be rendered: only {{{{variable}}}} is supported"
