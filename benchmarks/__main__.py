"""The whole suite: `python -m benchmarks`, or `make bench`, in under ten minutes.

It needs nothing but the `test` extra: servers are started for the run, on free ports of loopback.
Each part is a module that also runs by itself (`python -m benchmarks.end_to_end --help`). Figures
go to `benchmarks.json`, tables to standard output, how far it is to standard error.

`--table FILE` measures nothing: it prints the tables of a file that was written before.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
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
_MOST = 300.0  # seconds for a part, whatever hangs
_STOPPING = 60.0  # seconds for it to stop then


def _measure(parts: list[str], file: str, given: list[str]) -> list[str]:
    """Measure these parts, one after the other, each in a process of its own. One that fails leaves
    the others their turn; the names of those that did."""
    failed = []
    started = time.monotonic()
    # Asked later, it would tell of what ran before.
    given = [*given, "--json", file, "--load", str(surroundings.load())]
    for number, name in enumerate(parts, 1):
        running.say(f"{name}, part {number} of {len(parts)}, {time.monotonic() - started:.0f} s")
        if not _run([sys.executable, "-m", f"benchmarks.{name}", *given]):
            failed.append(name)
    running.say(f"measured in {time.monotonic() - started:.0f} s; the figures are in {file}")
    return failed


def _run(command: list[str]) -> bool:
    """Whether it ended well. However it ends, it has the time to stop the servers that it
    started."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        return process.wait(_MOST) == 0
    except subprocess.TimeoutExpired:
        running.say(f"no end after {_MOST:.0f} s")
        process.send_signal(signal.SIGINT)
        return False
    finally:  # after Ctrl-C, too, which it heard as well
        try:
            process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    main()
