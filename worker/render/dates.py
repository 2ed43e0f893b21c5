"""Dates in the words of Java's SimpleDateFormat, in English, as Pinpoint's helpers speak it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from worker.render.errors import Unrenderable

_STYLES = {
    "full": "EEEE, MMMM d, yyyy",
    "long": "MMMM d, yyyy",
    "medium": "MMM d, yyyy",
    "short": "M/d/yy",
}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_PIECES = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<text>[^A-Za-z']+)")
_LONGEST = 200
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,49}")
_MILLISECONDS = re.compile(r"-?[0-9]{11,14}")
_WIDEST = 9


def written(moment: datetime, style: str, zone: str | None) -> str:
    """A moment as `style` says: full, long, medium, short, or a pattern of SimpleDateFormat."""
    if zone is not None:
        try:
            moment = moment.astimezone(_zone(zone))
        except OverflowError:  # the first or the last hours that there are
            raise Unrenderable(400, "A date is not one in that time zone") from None
    pattern = _STYLES.get(style.lower(), style)
    return "".join(
        _LETTERS[kind](moment, len(text)) if kind else text for kind, text in _pieces(pattern)
    )


def read(text: str, style: str | None) -> datetime:
    """The moment that a text names: ISO 8601 or milliseconds since 1970, or as `style` says. UTC
    unless it says otherwise."""
    text = text.strip()
    try:
        if style is not None:
            moment = _parsed(text, _STYLES.get(style.lower(), style))
        elif _MILLISECONDS.fullmatch(text):
            moment = datetime.fromtimestamp(int(text) / 1000, UTC)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise Unrenderable(400, "dateFormat: the value is not a date in that format") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pieces(pattern: str) -> list[tuple[str, str]]:
    """A pattern as (letter, run of it) and, with no letter, literal text."""
    if len(pattern) > _LONGEST:
        raise Unrenderable(400, f"A date's format is longer than {_LONGEST} characters")
    pieces = []
    end = 0
    for found in _PIECES.finditer(pattern):
        letters = found["letters"]
        if found.start() != end or (letters and letters[0] not in _LETTERS):
            break
        end = found.end()
        if letters:
            pieces.append((letters[0], letters))
        else:
            quoted = found["quoted"]
            text = found["text"] if quoted is None else quoted.replace("''", "'") or "'"
            pieces.append(("", text))
    if end != len(pattern):
        raise Unrenderable(400, "A date's format is not one of SimpleDateFormat")
    return pieces


def _zone(name: str) -> tzinfo:
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # what there is for a name that is no zone
        pass
    raise Unrenderable(400, "A date's time zone is unknown")


def _digits(part: Callable[[datetime], int]) -> Callable[[datetime, int], str]:
    return lambda moment, width: str(part(moment)).zfill(min(width, _WIDEST))


def _year(moment: datetime, width: int) -> str:
    return f"{moment.year % 100:02}" if width == 2 else str(moment.year).zfill(min(width, _WIDEST))


def _month(moment: datetime, width: int) -> str:
    if width < 3:
        return str(moment.month).zfill(width)
    name = _MONTHS[moment.month - 1]
    return name if width > 3 else name[:3]


def _day(moment: datetime, width: int) -> str:
    name = _DAYS[moment.weekday()]
    return name if width > 3 else name[:3]


def _offset(moment: datetime, width: int) -> str:
    text = moment.strftime("%z")[:5]
    return f"{text[:3]}:{text[3:]}" if width == 3 else text


def _iso_offset(moment: datetime, width: int) -> str:
    text = moment.strftime("%z")[:5]
    if text == "+0000":
        return "Z"
    return (text[:3], text, f"{text[:3]}:{text[3:]}")[min(width, 3) - 1]


_LETTERS: Mapping[str, Callable[[datetime, int], str]] = {
    "y": _year,
    "M": _month,
    "d": _digits(lambda moment: moment.day),
    "D": _digits(lambda moment: moment.timetuple().tm_yday),
    "E": _day,
    "u": _digits(lambda moment: moment.isoweekday()),
    "a": lambda moment, _: "AM" if moment.hour < 12 else "PM",
    "H": _digits(lambda moment: moment.hour),
    "k": _digits(lambda moment: moment.hour or 24),
    "h": _digits(lambda moment: moment.hour % 12 or 12),
    "K": _digits(lambda moment: moment.hour % 12),
    "m": _digits(lambda moment: moment.minute),
    "s": _digits(lambda moment: moment.second),
    "S": _digits(lambda moment: moment.microsecond // 1000),
    "z": lambda moment, _: moment.strftime("%Z"),
    "Z": lambda moment, _: _offset(moment, 2),
    "X": _iso_offset,
}


def _parsed(text: str, pattern: str) -> datetime:
    """`ValueError` if the text is not as the pattern says."""
    directives = [
        text.replace("%", "%%") if not letter else _directive(letter, len(text))
        for letter, text in _pieces(pattern)
    ]
    if len(text) > _LONGEST:
        raise ValueError
    return datetime.strptime(text, "".join(directives))  # noqa: DTZ007 - `read` adds UTC


def _directive(letter: str, width: int) -> str:
    """A run of a letter as strptime's directive."""
    if letter == "y":
        return "%y" if width == 2 else "%Y"
    if letter == "M":
        return "%m" if width < 3 else "%b" if width == 3 else "%B"
    if letter == "E":
        return "%a" if width < 4 else "%A"
    if letter not in _DIRECTIVES:
        raise Unrenderable(400, "A date's inputFormat is not one that can be read")
    return _DIRECTIVES[letter]


_DIRECTIVES = {
    "d": "%d",
    "D": "%j",
    "H": "%H",
    "h": "%I",
    "m": "%M",
    "s": "%S",
    "S": "%f",
    "a": "%p",
    "Z": "%z",
    "X": "%z",
}
