"""How each part of the suite runs: by itself or with the others, to one JSON file."""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from benchmarks import surroundings

JSON = "benchmarks.json"
Figures = Mapping[str, Any]


class Part(Protocol):
    """A module of the suite."""

    NAME: str
    __doc__: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def measure(self, options: argparse.Namespace) -> Figures:
        """What it found, as JSON can say it."""

    def table(self, figures: Figures) -> str:
        """The same for people, in Markdown."""


def main(part: Part) -> None:
    """Run one part, print its table and put its figures into the JSON file, beside the others'."""
    parser = argparse.ArgumentParser(description=part.__doc__.split("\n\n", maxsplit=1)[0])
    part.arguments(parser)
    parser.add_argument("--json", default=JSON, help=f"where figures go (default {JSON})")
    parser.add_argument(
        "--load", type=float, default=surroundings.load(), help="of the machine before this began"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # aioapns writes two lines a connection
    machine = surroundings.machine(options.load)
    started = time.monotonic()
    path = Path(options.json)
    others = {name: one for name, one in known(path).items() if name != part.NAME}
    _write(path, others)  # should it fail, nobody takes the figures of another run for its own
    figures = dict(part.measure(options))
    figures["machine"] = asdict(machine) | {"load_after": surroundings.load()}
    figures["took"] = time.monotonic() - started
    _write(path, {**others, part.NAME: figures})
    print(f"\n{part.table(figures)}\n\n{machine}")


def known(path: Path) -> dict[str, Figures]:
    """The figures in a file, by part; none if there is no file."""
    if not path.exists():
        return {}
    found: dict[str, Figures] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, figures: Mapping[str, Figures]) -> None:
    path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def bounds(parser: argparse.ArgumentParser, *, rounds: int, budget: float) -> None:
    """Add the options that bound how long a part takes."""
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--budget",
        type=float,
        default=budget,
        metavar="SECONDS",
        help="begin no round that would not be over by then (but the first)",
    )


def turns(options: argparse.Namespace) -> Iterator[int]:
    """The numbers of the rounds that there is time for."""
    started = time.monotonic()
    longest = 0.0
    for number in range(options.rounds):
        began = time.monotonic()
        if number and began + longest > started + options.budget:
            say(f"no time for more than {number} of {options.rounds} rounds")
            return
        yield number
        longest = max(longest, time.monotonic() - began)


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{text} …", file=sys.stderr, flush=True)


def middle(rounds: Iterable[Mapping[str, Any]], name: str, **having: object) -> float | None:
    """The median of a figure over the rounds that have these values; None if there are none."""
    found = [one[name] for one in rounds if having.items() <= one.items()]
    return statistics.median(found) if found else None


def percentile(found: Sequence[float], part: float) -> float:
    """The value that this part of them (0 to 1) does not exceed."""
    return sorted(found)[max(0, math.ceil(part * len(found)) - 1)]


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table. What is None is a dash; numbers are rounded to what they are worth."""
    lines = [head, ["---"] * len(head), *([_cell(one) for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
