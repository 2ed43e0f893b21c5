"""`make torture`: break Sendpoint on a schedule, and say in Jepsen's words what came of it.

    python -m tests.torture --runs 6 --seed 1 --json torture.json
    python -m tests.torture --sum torture.json another.json

A seed is a run of its own; the same seed makes the same requests and breaks the same things at the
same times. The exit status is 1 if a promise was broken; the ledgers of that run are then kept.
The figures are written after each run, so that one which is cut short loses none before it.
Several such commands may run side by side.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests import servers
from tests.torture import scene, soak


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.sum:
        each = [one for file in options.sum for one in json.loads(file.read_text())["each"]]
        return _came_to(_summary(each))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and take all processes along
    directory = options.keep or Path(tempfile.mkdtemp(prefix="torture-"))
    directory.mkdir(parents=True, exist_ok=True)
    give_up = time.monotonic() + 60.0 * options.minutes
    try:
        each = _runs(options, directory, give_up)
    except servers.Missing as missing:
        print(f"{missing}: the fault suite needs it", file=sys.stderr)
        return 2
    status = _came_to(_summary(each))
    if status:
        print(f"The ledgers of what failed are in {directory}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=8, help="how many seeds; default 8")
    add("--seed", type=int, default=1, help="the first of them; default 1")
    add("--recipients", type=int, default=1500, help="of each run; default 1500")
    add("--seconds", type=float, default=15.0, help="of load in each run; default 15")
    add("--faults", type=int, default=14, help="in each run; default 14")
    add("--workers", type=int, default=2, help="worker processes; default 2")
    add("--minutes", type=float, default=10.0, help="begin no run after so many; default 10")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    add("--sum", type=Path, metavar="FILE", nargs="+", help="run nothing, and add up such files")
    add("--keep", type=Path, metavar="DIRECTORY", help="for logs and ledgers")
    return parser


def _runs(options: argparse.Namespace, directory: Path, give_up: float) -> list[dict]:
    """Run seed after seed, and say of each what it came to."""
    each: list[dict] = []
    with scene.opened(directory) as held:
        deployment = scene.Scene(held, workers=options.workers, directory=directory / "scene")
        try:
            deployment.start()
            for seed in range(options.seed, options.seed + options.runs):
                if time.monotonic() > give_up:
                    print(f"{options.minutes:g} minutes are over")
                    break
                one = soak.run(
                    deployment,
                    seed,
                    recipients=options.recipients,
                    seconds=options.seconds,
                    count=options.faults,
                )
                each.append(one.as_json())
                if options.json is not None:
                    _write(options.json, _summary(each))
                print(_line(one), flush=True)
        finally:
            broken = any(one["violations"] for one in each)
            deployment.close(keep=broken or options.keep is not None)
    return each


def _write(file: Path, summary: dict) -> None:
    """All or nothing, whenever it is cut short."""
    whole = file.with_name(f"{file.name}.new")
    whole.write_text(json.dumps(summary, indent=2) + "\n")
    whole.replace(file)


def _line(one: soak.Outcome) -> str:
    report = one.report
    return (
        f"seed {one.seed}: {report.attempted} recipients, {sum(one.faults.values())} faults, "
        f"{report.ok} ok, {report.failed} failed, {report.recovered} recovered, "
        f"{report.duplicated} doubled inside the window; recovery {one.recovery:.1f} s, "
        f"{one.seconds:.0f} s in all; "
        + ("valid" if report.valid else f"BROKEN: {report.violations[:3]}")
    )


def _summary(each: Sequence[dict]) -> dict:
    """The figures of all runs together: sums, but for what is a maximum."""
    totals: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for one in each:
        totals.update(one["report"])
        faults.update(one["faults"])
    most = max((one["report"]["most_attempts"] for one in each), default=0)
    return {
        "runs": len(each),
        "seeds": [one["seed"] for one in each],
        "totals": dict(totals) | {"most_attempts": most},
        "faults": dict(sorted(faults.items())),
        "longest_recovery": max((one["recovery"] for one in each), default=0.0),
        "most_rings": max((one["peak_rings"] for one in each), default=0),
        "restarts": sum(one["restarts"] for one in each),
        "violations": [
            {"seed": one["seed"]} | broken for one in each for broken in one["violations"]
        ],
        "each": list(each),
    }


def _came_to(summary: dict) -> int:
    """Say what it all came to; the exit status."""
    print(_report(summary))
    return 1 if summary["violations"] else 0


def _report(summary: dict) -> str:
    of = summary["totals"]
    faults = summary["faults"]
    ran = f"{summary['runs']} seeded runs on real processes, {summary['restarts']} restarts"
    broke = f"{sum(faults.values())} faults of {len(faults)} kinds"
    recovered = f"longest recovery {summary['longest_recovery']:.1f} s"
    lines = [
        f"{ran}, {broke}",
        "",
        *(
            f"{of.get(name, 0):>9}  {words}"
            for name, words in (
                ("attempted", "recipients attempted"),
                ("acknowledged", "acknowledged"),
                ("refused", "refused"),
                ("unknown", "never answered"),
                ("ok", "ok: acknowledged and delivered"),
                ("failed", "failed: acknowledged, and the row says why not"),
                ("recovered", "recovered: never answered, and delivered all the same"),
                ("lost", "LOST"),
                ("doubled_outside", "DOUBLED outside the window"),
                ("duplicated", "doubled inside it, each with its attempt on record"),
                ("stuck", "STUCK"),
                ("unexpected", "UNEXPECTED"),
                ("wrongly_reported", "WRONGLY REPORTED"),
                ("rescued", "taken back from a lost worker"),
                ("late_results", "late results, fenced off"),
                ("most_attempts", "attempts at most"),
            )
        ),
        "",
        f"{recovered}, at most {summary['most_rings']} rings in Redis",
    ]
    lines += [f"BROKEN {one}" for one in summary["violations"][:20]]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
