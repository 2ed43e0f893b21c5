"""Pinpoint's helpers for text: names and behaviour are those of handlebars.java.

A helper takes what was given to it, evaluated, and returns a value. Whatever it cannot work with is
`Unrenderable`. A list that stands where one text is wanted is its first element. What a helper
makes is never larger than what came in but for the sizes that are checked here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from worker.render import arithmetic, dates
from worker.render.errors import Unrenderable
from worker.render.given import Given
from worker.render.variables import written

MAX_TEXT = 10_000_000


def _abbreviate(given: Given) -> str:
    text, width = given.text(0), given.whole(1, "width", MAX_TEXT)
    if len(text) <= width:
        return text
    if width < 4:
        raise given.wrong("width must be at least 4")
    return text[: width - 3] + "..."


def _capitalize(given: Given) -> str:
    """Each word's first letter; with fully=true the others become small."""
    text = given.text(0)
    if given.option(1, "fully", "false") == "true":
        text = text.lower()
    return re.sub(r"(^|\s)(\S)", lambda found: found[1] + found[2].title(), text)


def _capitalize_first(given: Given) -> str:
    text = given.text(0)
    return text[:1].title() + text[1:]


def _padding(given: Given, length: int) -> str:
    """So much of the pad, which is a space unless it is given."""
    pad = given.option(2, "pad", " ") or " "
    return (pad * (length // len(pad) + 1))[:length] if length > 0 else ""


def _center(given: Given) -> str:
    text = given.text(0)
    missing = max(0, given.whole(1, "size") - len(text))
    return _padding(given, missing // 2) + text + _padding(given, missing - missing // 2)


def _ljust(given: Given) -> str:
    text = given.text(0)
    return text + _padding(given, given.whole(1, "size") - len(text))


def _rjust(given: Given) -> str:
    text = given.text(0)
    return _padding(given, given.whole(1, "size") - len(text)) + text


def _replaced(given: Given, old: str, new: str) -> str:
    text = given.text(0)
    if not old:
        return text
    if len(text) + text.count(old) * len(new) > MAX_TEXT:
        raise Unrenderable(413, "The message is over 10 MB once its variables are in")
    return text.replace(old, new)


def _substring(given: Given) -> str:
    """Unlike Java's it takes positions beyond the end: a short name is no reason not to send."""
    text, start = given.text(0), given.whole(1, "start", MAX_TEXT)
    if len(given.values) < 3:
        return text[start:]
    return text[start : given.whole(2, "end", MAX_TEXT)]


def _join(given: Given) -> str:
    """The elements of a list, or the arguments before the last, which stands between them."""
    if len(given.values) < 2:
        raise given.wrong("an argument is missing")
    first = given.values[0]
    items = first if isinstance(first, list | tuple) else given.values[:-1]
    between = written(given.values[-1])
    texts = [written(item) for item in items]
    if sum(map(len, texts)) + len(texts) * len(between) > MAX_TEXT:
        raise Unrenderable(413, "The message is over 10 MB once its variables are in")
    edges = (written(given.named.get(name)) for name in ("prefix", "suffix"))
    return between.join(texts).join(edges)


def _slugify(given: Given) -> str:
    text = re.sub(r"\s", "-", given.text(0).strip().lower())
    return "".join(letter for letter in text if letter.isalnum() or letter == "-")


def _strip_tags(given: Given) -> str:
    text = given.text(0)
    kept = []
    end = 0
    while (start := text.find("<", end)) >= 0 and (close := text.find(">", start)) >= 0:
        kept.append(text[end:start])
        end = close + 1
    return "".join([*kept, text[end:]])


def _yesno(given: Given) -> str:
    """yes, no, or maybe for what has no value."""
    value = given.value(0)
    if value is None or value == "":
        return given.option(3, "maybe", "maybe")
    if arithmetic.truth(value) and written(value).lower() != "false":
        return given.option(1, "yes", "yes")
    return given.option(2, "no", "no")


def _inflect(given: Given) -> str:
    number = given.number(0)
    word = given.text(1) if number == 1 else given.text(2)
    counted = given.option(3, "includeCount", "false") == "true"
    return f"{arithmetic.shown(number)} {word}" if counted else word


def _ordinalize(given: Given) -> str:
    number = given.number(0)
    if number != int(number):
        raise given.wrong("a value is not a whole number")
    rest = abs(int(number)) % 100
    ending = "th" if 10 < rest < 14 else {1: "st", 2: "nd", 3: "rd"}.get(rest % 10, "th")
    return f"{int(number)}{ending}"


def _date_format(given: Given) -> str:
    """Arguments: value [[inputFormat] outputFormat] [tz]. No value is no text."""
    text = given.text(0)
    if not text.strip():
        return ""
    both = len(given.values) > 2
    read = given.option(1, "inputFormat", "") if both or "inputFormat" in given.named else ""
    style = given.option(2 if both else 1, "outputFormat", written(given.named.get("format")))
    moment = dates.read(text, read or None)
    return dates.written(moment, style or "medium", given.option(3, "tz", "") or None)


def _now(given: Given) -> str:
    style = given.option(0, "format", "") or "medium"
    return dates.written(given.now(), style, given.option(1, "tz", "") or None)


def _decode64(given: Given) -> str:
    try:
        return base64.b64decode(given.text(0).encode()).decode(errors="replace")
    except (binascii.Error, ValueError):
        raise given.wrong("the value is not base64") from None


def _digest(name: str) -> Callable[[Given], str]:
    return lambda given: hashlib.new(
        name, given.text(0).encode(), usedforsecurity=False
    ).hexdigest()


def _binary(operation: Callable[..., Any]) -> Callable[[Given], str]:
    def helper(given: Given) -> str:
        try:
            return arithmetic.shown(operation(given.number(0), given.number(1)))
        except ArithmeticError:
            raise given.wrong("there is no such number") from None

    return helper


def _unary(operation: Callable[..., Any]) -> Callable[[Given], str]:
    return lambda given: arithmetic.shown(operation(given.number(0)))


HELPERS: Mapping[str, Callable[[Given], str]] = {
    "abbreviate": _abbreviate,
    "add": _binary(arithmetic.CONTEXT.add),
    "capitalize": _capitalize,
    "capitalizeFirst": _capitalize_first,
    "ceiling": _unary(arithmetic.ceiling),
    "center": _center,
    "cut": lambda given: _replaced(given, given.option(1, "value", " "), ""),
    "dateFormat": _date_format,
    "decode64": _decode64,
    "divide": _binary(arithmetic.CONTEXT.divide),
    "encode64": lambda given: base64.b64encode(given.text(0).encode()).decode(),
    "floor": _unary(arithmetic.floor),
    "inflect": _inflect,
    "join": _join,
    "ljust": _ljust,
    "lower": lambda given: given.text(0).lower(),
    "md5": _digest("md5"),
    "modulo": _binary(arithmetic.CONTEXT.remainder),
    "multiply": _binary(arithmetic.CONTEXT.multiply),
    "now": _now,
    "ordinalize": _ordinalize,
    "replace": lambda given: _replaced(given, given.text(1), given.text(2)),
    "rjust": _rjust,
    "round": _unary(arithmetic.rounded),
    "sha256": _digest("sha256"),
    "sha512": _digest("sha512"),
    "slugify": _slugify,
    "stripTags": _strip_tags,
    "substring": _substring,
    "subtract": _binary(arithmetic.CONTEXT.subtract),
    "upper": lambda given: given.text(0).upper(),
    "uuid": lambda _: str(uuid.uuid4()),
    "yesno": _yesno,
}
