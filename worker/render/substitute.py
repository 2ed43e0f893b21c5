r"""Variables in texts: `{{name}}`, `{{name.[0]}}`, `{{{name}}}`, and `\{{` for literal braces.

Whatever else stands in braces is left to `handlebars`; most texts need no more than variables, and
those are put in by a few string operations.

A name may be dotted, and a part with spaces stands in brackets: `{{User.UserAttributes.[Last
Name]}}`. Values are lists; without an index the first element counts. A missing variable renders
empty (Pinpoint: "omits all text for the variable"), unless the rendering is strict. Values are
never read as templates themselves.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from worker.render import compiling, errors, handlebars, nodes, syntax
from worker.render.variables import Scopes, Variables, written

_T = TypeVar("_T")

MAX_OUTPUT = 10_000_000
"""Characters that all texts of one message may have together once variables are in (Pinpoint:
10 MB for an email). Without it a 7 MB request could ask for terabytes."""

_SMALL = 16 * 1024
_LARGE = 700 * 1024  # longer ones are parsed each time, so that the caches stay small
_MAX_DEPTH = 64
_MAX_READ = 20_000  # tags that one message may have where there is more than variables
_CHARACTERS_A_TAG = 50  # and what takes as long to read as a tag

_NAME = rf"{syntax.PART}(?:\.{syntax.PART})*"
_TAG = re.compile(
    r"(?P<escape>\\\{\{)"
    rf"|\{{\{{\{{\s*(?P<bare>{_NAME})\s*\}}\}}\}}"
    rf"|\{{\{{(?!\{{)\s*(?P<name>{_NAME})\s*\}}\}}"
    r"|(?P<other>\{\{)"
)
_PARTS = re.compile(syntax.PART)
_INDEX = re.compile(r"\[(?P<index>[0-9]{1,9})\]")


class _Variable(NamedTuple):
    source: str
    name: str
    position: int
    escapable: bool


class _Template(NamedTuple):
    """Literals and variables in order. It is not `plain` if there was more than variables, whose
    text is kept as a literal."""

    pieces: tuple[str | _Variable, ...]
    plain: bool


class Fill:
    """Puts one recipient's variables into the texts of one message.

    `scopes` hold the variables, the ones that win first. Each method raises `Unrenderable` once
    the texts filled so far are larger than `MAX_OUTPUT`, for a text that is not Handlebars, and
    for one that asks for too much.
    """

    __slots__ = ("_rendering", "_room", "_scopes", "_unread", "_variables")

    def __init__(self, scopes: Scopes, variables: Variables) -> None:
        self._scopes = scopes
        self._variables = variables
        self._rendering: handlebars.Rendering | None = None
        self._room = MAX_OUTPUT
        self._unread = _MAX_READ

    def text(self, template: str) -> str:
        """The text with its variables filled in as they are."""
        return self._filled(template, _unchanged)

    def html(self, template: str) -> str:
        """The same for HTML: a value is escaped, unless it is asked for by `{{{name}}}`."""
        return self._filled(template, html.escape)

    def tree(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        """A copy of a JSON value with the variables in its strings filled in.

        Filling the parsed value and not its text is what keeps a value from ever changing the
        structure. Only known names are replaced, and what is not Handlebars stays as it is, since
        braces may mean something to the app.
        """
        if isinstance(value, str):
            if "{{" not in value:
                return value
            template = _template(value)
            if not template.plain and not isinstance(program := self._program(value), str):
                return self._rendered(program, _unchanged)
            return self._join(template.pieces, _unchanged, keep_unknown=True)
        if depth == 0:
            raise errors.Unrenderable(400, f"RawContent is nested deeper than {_MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {key: self.tree(inner, depth - 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.tree(inner, depth - 1) for inner in value]
        return value

    def _filled(self, text: str, escape: Callable[[str], str]) -> str:
        if "{{" not in text:
            return text
        template = _template(text)
        if template.plain:
            return self._join(template.pieces, escape, keep_unknown=False)
        program = self._program(text)
        if isinstance(program, str):
            raise errors.Unrenderable(400, program)
        return self._rendered(program, escape)

    def _program(self, text: str) -> nodes.Nodes | str:
        """The text as Handlebars, or why it is none. What was read before counts as well, so that
        the same message always ends the same way."""
        self._unread -= text.count("{{") + len(text) // _CHARACTERS_A_TAG
        if self._unread < 0:
            raise errors.Unrenderable(400, "The message has too many tags to render")
        return _program(text)

    def _rendered(self, program: nodes.Nodes, escape: Callable[[str], str]) -> str:
        if self._rendering is None:
            self._rendering = handlebars.Rendering(self._scopes, self._variables)
        text = self._rendering.text(program, escape, self._room)
        self._room -= len(text)
        return text

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
                    if self._variables.strict and not keep_unknown:
                        raise handlebars.missing(piece.name)
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
        _, name, position, _ = variable
        for scope in self._scopes:
            if name in scope:
                found = scope[name]
                values = found if isinstance(found, (list, tuple)) else (found,)
                return written(values[position]) if position < len(values) else ""
        return None


def _unchanged(value: str) -> str:
    return value


def _parse(text: str) -> _Template:
    pieces: list[str | _Variable] = []
    plain = True
    end = 0
    for tag in _TAG.finditer(text):
        pieces.append(text[end : tag.start()])
        end = tag.end()
        if tag["escape"]:
            pieces.append("{{")
        elif tag["other"]:
            pieces.append("{{")
            plain = False
        else:
            name = tag["bare"] or tag["name"]
            plain = plain and name not in handlebars.COMMANDS
            pieces.append(_variable(tag[0], name, escapable=not tag["bare"]))
    pieces.append(text[end:])
    kept = tuple(piece for piece in pieces if piece)
    return _Template(kept, plain)


def _compile(text: str) -> nodes.Nodes | str:
    try:
        return compiling.compiled(text)
    except errors.Unrenderable as error:
        return error.text


def _remembering(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """The function with its results kept, for few of the texts that are large."""
    small = functools.lru_cache(maxsize=512)(parse)
    large = functools.lru_cache(maxsize=8)(parse)

    def remembered(text: str) -> _T:
        if len(text) <= _SMALL:
            return small(text)
        return large(text) if len(text) <= _LARGE else parse(text)

    return remembered


_template = _remembering(_parse)
_program = _remembering(_compile)


def _variable(source: str, path: str, *, escapable: bool) -> _Variable:
    parts = _PARTS.findall(path)
    index = _INDEX.fullmatch(parts[-1]) if len(parts) > 1 else None
    if index:
        parts.pop()
    name = ".".join(part.removeprefix("[").removesuffix("]") for part in parts)
    return _Variable(source, name, int(index["index"]) if index else 0, escapable)
