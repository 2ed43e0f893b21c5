"""Reading Handlebars.

Reading takes time linear in the text and is bounded in nesting. Nothing is evaluated here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from worker.render import nodes

MAX_NESTING = 32
_MAX_PARTS = 16

PART = r"(?:[^\s{}\[\]().#/>!&^~=|\"'`\\@%,;<*]+|\[[^\[\]{}]*\])"

_OPEN = re.compile(r"\\\{\{|\{\{")
_COMMENT = re.compile(r"!--.*?--(~?)\}\}|!(?!--).*?(~?)\}\}", re.DOTALL)
_PARTS = re.compile(PART)
_TOKEN = re.compile(
    r"\s*(?:(?P<close>~?\}\}\}?)"
    r"|(?P<paren>[()])"
    r"|(?P<string>\"[^\"]*\"|'[^']*')"
    r"|(?P<number>-?[0-9]{1,28}(?:\.[0-9]{1,28})?(?=[\s)}~]))"
    rf"|(?P<key>{PART})=(?!=)"
    rf"|(?P<path>@?(?:\.\./)*(?:this\b[./]?|\./)?{PART}(?:[./]{PART})*|@?(?:\.\./)*\.\.?|this))"
)
_INLINE = re.compile(r"#\s*\*\s*inline\s")
_KIND = re.compile(r"\s*(?P<kind>[#/^&>]?)\s*")
_ELSE = re.compile(r"\s*else(?=[\s~}])\s*")


class Wrong(Exception):
    """The text is not Handlebars as it is spoken here; the text says why and where."""


@dataclass(slots=True)
class _Open:
    """A block that is not closed yet. `chained` is whether `{{else if}}` opened it, so that the
    block around it closes it too."""

    call: nodes.Call
    chained: bool = False
    body: list[nodes.Node] = field(default_factory=list)
    inverse: list[nodes.Node] | None = None

    @property
    def content(self) -> list[nodes.Node]:
        return self.body if self.inverse is None else self.inverse

    def node(self) -> nodes.Node:
        body, inverse = tuple(self.body), tuple(self.inverse or ())
        if self.call.name == "*inline":
            (name,) = self.call.arguments
            assert isinstance(name, nodes.Literal)
            return nodes.Definition(str(name.value), body)
        if self.call.name == "^":
            (call,) = self.call.arguments
            return nodes.Block(nodes.Call("if", (call,), ()), inverse, body)
        return nodes.Block(self.call, body, inverse)


def read(text: str) -> nodes.Nodes:
    """The nodes of a text. Raises `Wrong`."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._strip_next = False
        self._open = [_Open(nodes.Call("", (), ()))]

    def read(self) -> nodes.Nodes:
        while tag := _OPEN.search(self._text, self._at):
            self._literal(self._text[self._at : tag.start()])
            self._at = tag.end()
            if tag[0] == "\\{{":
                self._add("{{")
                continue
            self._tag()
        self._literal(self._text[self._at :])
        if len(self._open) > 1:
            raise self._wrong(f"{{{{#{self._open[-1].call.name[:30]}}}}} is not closed")
        return tuple(self._open[0].body)

    def _literal(self, text: str) -> None:
        if self._strip_next:
            text, self._strip_next = text.lstrip(), False
        self._add(text)

    def _add(self, node: nodes.Node) -> None:
        if node != "":
            self._open[-1].content.append(node)

    def _tag(self) -> None:
        """What stands behind `{{`."""
        bare = self._took("{")
        if self._took("~"):
            before = self._open[-1].content
            if before and isinstance(before[-1], str):
                before[-1] = before[-1].rstrip()
        bare = bare or self._took("{")
        if self._text.startswith("!", self._at):
            self._comment()
        elif inline := _INLINE.match(self._text, self._at):
            self._at = inline.end()
            call = self._call("*inline")
            if len(call.arguments) != 1 or not isinstance(call.arguments[0], nodes.Literal):
                raise self._wrong("an inline partial needs a name in quotes")
            self._begin(_Open(call))
        elif found := _ELSE.match(self._text, self._at):
            self._at = found.end()
            self._else()
        else:
            self._other(bare)

    def _other(self, bare: bool) -> None:
        kind = _KIND.match(self._text, self._at)
        assert kind is not None
        self._at = kind.end()
        match kind["kind"]:
            case "#":
                self._begin(_Open(self._call()))
            case "^":
                call = self._call()
                condition = call if call.arguments else self._path(call.name)
                self._begin(_Open(nodes.Call("^", (condition,), ())))
            case "/":
                self._end(self._call().name)
            case ">":
                self._add(nodes.Partial(self._call()))
            case sign:
                self._add(nodes.Output(self._output(bare), escaped=not bare and sign != "&"))

    def _output(self, bare: bool) -> nodes.Expression:
        """What is to be put in: a value, or a call if arguments follow."""
        first = self._expression(self._next())
        if isinstance(first, nodes.Path):
            call = self._call(first.source, closing="}}}" if bare else "}}")
            if call.arguments or call.named:
                return call
            return first
        self._close(self._next(), "}}}" if bare else "}}")
        return first

    def _begin(self, block: _Open) -> None:
        if len(self._open) > MAX_NESTING:
            raise self._wrong(f"blocks are nested deeper than {MAX_NESTING} levels")
        self._open.append(block)

    def _else(self) -> None:
        block = self._open[-1]
        if len(self._open) == 1 or block.inverse is not None:
            raise self._wrong("{{else}} stands outside of a block")
        block.inverse = []
        token = self._next()
        if token["close"]:
            self._close(token, "}}")
        else:
            self._begin(_Open(self._call(self._name(token)), chained=True))

    def _end(self, name: str) -> None:
        while self._open[-1].chained:
            chained = self._open.pop().node()
            self._add(chained)
        block = self._open[-1]
        opened = block.call.name.removeprefix("*")
        if opened == "^":
            first = block.call.arguments[0]
            opened = first.source if isinstance(first, nodes.Path) else getattr(first, "name", "")
        if len(self._open) == 1 or opened != name:
            raise self._wrong(f"{{{{/{name[:30]}}}}} closes nothing")
        self._open.pop()
        self._add(block.node())

    def _comment(self) -> None:
        found = _COMMENT.match(self._text, self._at)
        if found is None:
            raise self._wrong("a comment is not closed")
        self._at = found.end()
        self._strip_next = bool(found[1] or found[2])

    def _call(self, name: str | None = None, closing: str = "}}") -> nodes.Call:
        """A helper's name, unless it was read already, and what follows it up to `closing`."""
        if name is None:
            name = self._name(self._next())
        arguments: list[nodes.Expression] = []
        named: list[tuple[str, nodes.Expression]] = []
        while True:
            token = self._next()
            if token["close"] or token["paren"] == ")":
                self._close(token, closing)
                return nodes.Call(name, tuple(arguments), tuple(named))
            if token["key"]:
                named.append((token["key"], self._expression(self._next())))
            else:
                arguments.append(self._expression(token))

    def _name(self, token: re.Match[str]) -> str:
        if token["path"]:
            return token["path"]
        if token["string"]:
            return token["string"][1:-1]
        raise self._wrong("a name is missing")

    def _expression(self, token: re.Match[str]) -> nodes.Expression:
        if token["paren"] == "(":
            if self._depth >= MAX_NESTING:
                raise self._wrong(f"calls are nested deeper than {MAX_NESTING} levels")
            self._depth += 1
            call = self._call(closing=")")
            self._depth -= 1
            return call
        if token["string"]:
            return nodes.Literal(token["string"][1:-1])
        if token["number"]:
            return nodes.Literal(token["number"])
        if token["path"] in _WORDS:
            return nodes.Literal(_WORDS[token["path"]])
        if token["path"]:
            return self._path(token["path"])
        raise self._wrong("a value is missing")

    def _path(self, source: str) -> nodes.Path:
        rest = source.removeprefix("@")
        up = 0
        while rest.startswith(".."):
            rest, up = rest[2:].removeprefix("/"), up + 1
        this = rest in {"", ".", "this"} or rest.startswith(("./", "this.", "this/"))
        parts = tuple(one.strip("[]") for one in _PARTS.findall(rest))
        if this and parts[:1] == ("this",):
            parts = parts[1:]
        if len(parts) > _MAX_PARTS:
            raise self._wrong(f"a name has more than {_MAX_PARTS} parts")
        names = tuple((".".join(parts[:n]), parts[n:]) for n in range(len(parts), 0, -1))
        return nodes.Path(source, up, source.startswith("@"), this, parts, names)

    def _close(self, token: re.Match[str], closing: str) -> None:
        end = token["close"] or token["paren"]
        if end is not None and closing == "}}" and end.removeprefix("~") == "}}}":
            self._at -= 1  # a brace that is text
            end = end[:-1]
        if end is None or end.removeprefix("~") != closing:
            raise self._wrong(f"{closing} is missing")
        self._strip_next = end.startswith("~")

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self._text, self._at)
        if token is None:
            raise self._wrong("a tag cannot be read")
        self._at = token.end()
        return token

    def _took(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _wrong(self, what: str) -> Wrong:
        return Wrong(f"{what}, at character {self._at}")


_WORDS = {"true": True, "false": False, "null": None, "undefined": None}
