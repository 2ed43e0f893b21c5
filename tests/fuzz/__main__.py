"""`python -m tests.fuzz [--seconds N] [TARGET …]`: fuzz each target for so long, and say how many
inputs it had and what was found. Ends with 1 if anything was."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS

_ROUND = 200  # inputs before the clock is looked at, and the seed changed


def fuzz(target, seconds, first_seed):
    """How many inputs there were, and what was found first, as text."""
    inputs = 0

    def counted(value):
        nonlocal inputs
        inputs += 1
        target.holds(value)

    give_up = time.monotonic() + seconds
    number = first_seed
    while time.monotonic() < give_up:
        run = settings(
            max_examples=_ROUND,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )(seed(number)(given(target.inputs)(counted)))
        try:
            run()
        except Exception:  # noqa: BLE001 - a finding
            return inputs, f"seed {number}:\n{traceback.format_exc()}"
        number += 1
    return inputs, None


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))
    parser.add_argument("target", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given_ = parser.parse_args()
    findings = 0
    print(f"{'target':<16} {'inputs':>9} {'findings':>9}   (from seed {given_.seed})")
    for name in given_.target or TARGETS:
        inputs, found = fuzz(TARGETS[name], given_.seconds, given_.seed)
        print(f"{name:<16} {inputs:>9,} {int(found is not None):>9}", flush=True)
        if found is not None:
            findings += 1
            print(found, file=sys.stderr)
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
