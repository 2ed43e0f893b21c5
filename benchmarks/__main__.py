"""The whole suite: `python -m benchmarks`, or `make bench`, in under ten minutes.

It needs nothing but the `test` extra: servers are started for the run, on free ports of loopback.
Each part is a module that also runs by itself (`python -m benchmarks.end_to_end --help`). Figures
go to `benchmarks.json`, tables to standard output, how far it is to standard error.

`--table FILE` measures nothing: it prints the tables of a file that was written before.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from benchmarks import report, running, surroundings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(report.PARTS)}")
    parser.add_argument("--json", default=running.JSON, help=f"default {running.JSON}")
    parser.add_argument(
        "--quick", action="store_true", help="only see that all of it runs: figures are worthless"
    )
    parser.add_argument("--table", metavar="FILE", help="print the tables of this JSON file")
    options = parser.parse_args()
    if unknown := set(options.parts) - report.PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    failed: list[str] = []
    if options.table is None:
        given = _QUICK if options.quick else []
        failed = _measure(options.parts or list(report.PARTS), options.json, given)
    print(report.report(running.known(Path(options.table or options.json)), options.parts))
    if failed:
        sys.exit(f"These parts failed: {', '.join(failed)}")


_QUICK = ["--rounds", "1", "--seconds", "0.3"]


def _measure(parts: list[str], file: str, given: list[str]) -> list[str]:
    """Measure these parts, one after the other. A part that fails leaves the others their turn; the
    names of those that did."""
    failed = []
    machine = surroundings.machine()
    started = time.monotonic()
    for number, name in enumerate(parts, 1):
        running.say(f"{name}, part {number} of {len(parts)}, {time.monotonic() - started:.0f} s")
        part = report.PARTS[name]
        own = argparse.ArgumentParser()
        part.arguments(own)
        defaults = own.parse_args(given, argparse.Namespace(json=file))
        try:
            running.run(part, defaults, machine)
        except Exception:  # noqa: BLE001  # whatever it is, it is this part's
            traceback.print_exc()
            failed.append(name)
    running.say(f"measured in {time.monotonic() - started:.0f} s; the figures are in {file}")
    return failed


if __name__ == "__main__":
    main()
