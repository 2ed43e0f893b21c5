"""From a text to a program that can be rendered: read, and all its helpers known."""

from __future__ import annotations

from worker.render import arithmetic, helpers, nodes, syntax
from worker.render.errors import Unrenderable


def compiled(text: str) -> nodes.Nodes:
    """A text's program, all of whose helpers exist. Otherwise it is `Unrenderable`, 400."""
    try:
        program = syntax.read(text)
    except syntax.Wrong as wrong:
        raise Unrenderable(400, f"The text is not valid Handlebars: {wrong}") from None
    _check(program)
    return program


def _check(program: nodes.Nodes) -> None:
    """Raise unless all helpers exist and stand where they may."""
    for node in program:
        if isinstance(node, nodes.Output):
            _check_expression(node.expression)
        elif isinstance(node, nodes.Definition):
            _check(node.body)
        elif isinstance(node, nodes.Partial):
            _check_arguments(node.call)
        elif isinstance(node, nodes.Block):
            _check_block(node.call)
            _check(node.body)
            _check(node.inverse)


def _check_block(call: nodes.Call) -> None:
    if call.name != "each" and call.name not in arithmetic.CONDITIONS:
        raise _unknown(f"#{call.name}")
    if call.name == "each" and len(call.arguments) != 1:
        raise Unrenderable(400, "{{#each}} cannot be rendered: it takes one argument")
    _check_arguments(call)


def _check_expression(expression: nodes.Expression) -> None:
    if isinstance(expression, nodes.Call):
        if expression.name not in helpers.HELPERS and expression.name not in arithmetic.CONDITIONS:
            raise _unknown(expression.name)
        _check_arguments(expression)


def _check_arguments(call: nodes.Call) -> None:
    for argument in call.arguments:
        _check_expression(argument)
    for _, argument in call.named:
        _check_expression(argument)


def _unknown(name: str) -> Unrenderable:
    return Unrenderable(400, f"{{{{{name[:30]}}}}} cannot be rendered: there is no such helper")
