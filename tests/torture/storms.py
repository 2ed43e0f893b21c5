"""Storms of the simulator, one seed after the other, and what they came to together.

    python -m tests.torture.storms --seeds 200
    python -m tests.torture.storms --seeds 100 --broad
    python -m tests.torture.storms --seeds 100 --repeats 3

The same seeds come to the same figures on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.torture import simulator

BROAD = {"recipients": 2000, "breadth": 100, "steps": 300}
"""Storms about batches; the others are about a dozen messages and every step of theirs."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.storms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many; default 200")
    parser.add_argument("--seed", type=int, default=0, help="the first of them; default 0")
    parser.add_argument("--broad", action="store_true", help="about batches of up to 100")
    parser.add_argument(
        "--repeats",
        type=int,
        default=0,
        help="of ten requests so many ask once more for what was asked for; default 0",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="begin none after so many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    give_up = time.monotonic() + 60.0 * options.minutes
    totals: Counter[str] = Counter()
    broken = []
    with tempfile.TemporaryDirectory() as directory:
        site = simulator.Site(f"sqlite:///{Path(directory) / 'storms.sqlite'}")
        for seed in range(options.seed, options.seed + options.seeds):
            if time.monotonic() > give_up:
                print(f"{options.minutes:g} minutes are over")
                break
            kind = (BROAD if options.broad else {}) | {"repeats": options.repeats}
            one = simulator.simulate(site, seed, **kind)
            most = max(totals["most_attempts"], one.report.most_attempts)
            totals.update(one.report.totals())
            totals.update(
                seeds=1,
                steps=one.steps,
                faults=one.faults,
                virtual_seconds=round(one.virtual_seconds),
            )
            totals["most_attempts"] = most
            broken += [(seed, found) for found in one.report.violations]
            for found in one.report.violations[:3]:
                print(f"seed {seed}: {found}", flush=True)
        site.close()
    print("\n".join(f"{value:>9}  {name}" for name, value in totals.items()))
    if options.json is not None:
        options.json.write_text(json.dumps(dict(totals), indent=2) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
