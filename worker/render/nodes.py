"""What a Handlebars text is read into."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Path(NamedTuple):
    """A name to look up. `up` counts `../`; `data` is whether it is one of `@index` and the like,
    `this` whether it starts at the current item. `names` are the dotted names that it may stand
    for, the longest first, each with the parts that are then left to step through."""

    source: str
    up: int
    data: bool
    this: bool
    parts: tuple[str, ...]
    names: tuple[tuple[str, tuple[str, ...]], ...]


class Literal(NamedTuple):
    value: str | bool | None


class Call(NamedTuple):
    name: str
    arguments: tuple[Expression, ...]
    named: tuple[tuple[str, Expression], ...]


Expression: TypeAlias = "Path | Literal | Call"


class Output(NamedTuple):
    expression: Expression
    escaped: bool


class Block(NamedTuple):
    call: Call
    body: Nodes
    inverse: Nodes


class Definition(NamedTuple):
    """An inline partial."""

    name: str
    body: Nodes


class Partial(NamedTuple):
    call: Call


Node: TypeAlias = "str | Output | Block | Definition | Partial"
Nodes: TypeAlias = "tuple[Node, ...]"
