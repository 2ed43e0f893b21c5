"""Handlebars as Pinpoint documents it: its helpers, blocks and inline partials.

A template may be hostile, so a rendering is bounded in steps, in what its helpers read and write,
in depth and in output; steps are counted, not timed, so that the same message always ends the same
way. Values are never read as templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from worker.render import arithmetic, helpers, nodes
from worker.render.errors import Unrenderable
from worker.render.given import Given
from worker.render.variables import Scopes, Variables, written

MAX_STEPS = 50_000
"""What one message may take: each value, call and block is a step, and so are every hundred
characters that a helper reads or writes."""

MAX_ITEMS = 15
"""Pinpoint: `each` shows the first fifteen."""

_MAX_DEPTH = 40
_CHARACTERS_A_STEP = 100

COMMANDS = frozenset({"now", "uuid"})
"""Helpers that need no argument, and so look like variables. A variable of that name wins."""

_ABSENT_IS_FINE = frozenset({"each", "yesno", *arithmetic.CONDITIONS})


class _Frame(NamedTuple):
    """What `this` is, the `@index` and the like that go with it, and what a partial was given by
    name."""

    this: Any
    data: Mapping[str, Any]
    named: Mapping[str, Any]


class Rendering:
    """One message's rendering: all its texts share one allowance of steps."""

    __slots__ = ("_frames", "_partials", "_room", "_scopes", "_steps", "_variables")

    def __init__(self, scopes: Scopes, variables: Variables) -> None:
        self._scopes = scopes
        self._variables = variables
        self._steps = MAX_STEPS
        self._room = 0
        self._frames: list[_Frame] = []
        self._partials: dict[str, nodes.Nodes] = {}

    def text(self, program: nodes.Nodes, escape: Callable[[str], str], room: int) -> str:
        """The text. `Unrenderable` if it is longer than `room` (413), takes too many steps, or
        one of its helpers cannot work with what it is given (400)."""
        self._room = room
        self._frames, self._partials = [], {}
        return "".join(self._written(program, escape, 0))

    def _written(
        self, program: nodes.Nodes, escape: Callable[[str], str], depth: int
    ) -> Iterator[str]:
        if depth > _MAX_DEPTH:
            raise Unrenderable(400, f"Partials and blocks are deeper than {_MAX_DEPTH} levels")
        for node in program:
            self._step()
            if isinstance(node, str):
                yield self._fitting(node)
            elif isinstance(node, nodes.Output):
                text = written(self._output(node.expression))
                yield self._fitting(escape(text) if node.escaped else text)
            elif isinstance(node, nodes.Block):
                yield from self._block(node, escape, depth + 1)
            elif isinstance(node, nodes.Partial):
                yield from self._partial(node.call, escape, depth + 1)
            else:
                self._partials[node.name] = node.body

    def _fitting(self, text: str) -> str:
        self._room -= len(text)
        if self._room < 0:
            raise Unrenderable(413, "The message is over 10 MB once its variables are in")
        return text

    def _step(self, characters: int = 0) -> None:
        self._steps -= 1 + characters // _CHARACTERS_A_STEP
        if self._steps < 0:
            raise Unrenderable(400, f"The message takes more than {MAX_STEPS} steps to render")

    def _block(self, node: nodes.Block, escape: Callable[[str], str], depth: int) -> Iterator[str]:
        if node.call.name == "each":
            yield from self._each(node, escape, depth)
            return
        holds = _condition(node.call, self._values(node.call))
        yield from self._written(node.body if holds else node.inverse, escape, depth)

    def _each(self, node: nodes.Block, escape: Callable[[str], str], depth: int) -> Iterator[str]:
        (value,) = self._values(node.call)
        if not isinstance(value, list | tuple):
            value = () if value in (None, "", False) else (value,)
        items = value[:MAX_ITEMS]
        for index, item in enumerate(items):
            data = {"index": index, "first": index == 0, "last": index == len(items) - 1}
            self._frames.append(_Frame(item, data, {}))
            yield from self._written(node.body, escape, depth)
            self._frames.pop()
        if not items:
            yield from self._written(node.inverse, escape, depth)

    def _partial(self, call: nodes.Call, escape: Callable[[str], str], depth: int) -> Iterator[str]:
        body = self._partials.get(call.name)
        if body is None:
            raise Unrenderable(400, f"There is no partial {{{{> {call.name[:30]}}}}}")
        this = self._values(call)[0] if call.arguments else self._top().this
        named = {name: self._value(value) for name, value in call.named}
        self._frames.append(_Frame(this, self._top().data, named))
        yield from self._written(body, escape, depth)
        self._frames.pop()

    def _output(self, expression: nodes.Expression) -> Any:
        value = self._value(expression)
        if value is None and self._variables.strict and isinstance(expression, nodes.Path):
            raise missing(expression.source)
        return value

    def _value(self, expression: nodes.Expression) -> Any:
        self._step()
        if isinstance(expression, nodes.Literal):
            return expression.value
        if isinstance(expression, nodes.Path):
            value = self._looked_up(expression)
            if value is None and expression.source in COMMANDS:
                return self._called(nodes.Call(expression.source, (), ()))
            return value
        return self._called(expression)

    def _called(self, call: nodes.Call) -> Any:
        values = self._values(call)
        named = {name: self._read(self._value(value)) for name, value in call.named}
        if call.name in arithmetic.CONDITIONS:
            holds = _condition(call, values)
            return named.get("yes", True) if holds else named.get("no", False)
        given = Given(call.name, values, named, self._variables.now)
        result = helpers.HELPERS[call.name](given)
        self._step(len(result))
        return result

    def _values(self, call: nodes.Call) -> tuple[Any, ...]:
        strict = self._variables.strict and call.name not in _ABSENT_IS_FINE
        value_of = self._output if strict else self._value
        return tuple(self._read(value_of(argument)) for argument in call.arguments)

    def _read(self, value: Any) -> Any:
        self._step(_size(value))
        return value

    def _looked_up(self, path: nodes.Path) -> Any:
        frames = self._frames[: len(self._frames) - path.up]
        if path.data:
            return frames[-1].data.get(".".join(path.parts)) if frames else None
        if path.this:
            return _stepped(frames[-1].this if frames else None, path.parts)
        for name, rest in path.names:
            for scope in (*(frame.named for frame in reversed(frames)), *self._scopes):
                if name in scope:
                    return _stepped(scope[name], rest)
        return None

    def _top(self) -> _Frame:
        return self._frames[-1] if self._frames else _Frame(None, {}, {})


def missing(name: str) -> Unrenderable:
    """What a strict rendering raises for a variable without a value."""
    return Unrenderable(400, f"A variable of the message has no value: {{{{{name[:60]}}}}}")


def _condition(call: nodes.Call, values: tuple[Any, ...]) -> bool:
    least, holds = arithmetic.CONDITIONS[call.name]
    if len(values) < least:
        raise Unrenderable(400, f"{{{{{call.name}}}}} cannot be rendered: an argument is missing")
    return holds(*values)


def _stepped(value: Any, parts: tuple[str, ...]) -> Any:
    """Into lists by index. A scalar is as good as a list of one."""
    for part in parts:
        if not isinstance(value, list | tuple):
            value = (value,)
        if not (part.isdecimal() and len(part) < 10 and int(part) < len(value)):
            return None
        value = value[int(part)]
    return value


def _size(value: Any) -> int:
    """The characters that a helper has to read."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(20 + (len(item) if isinstance(item, str) else 0) for item in value)
    return 20
