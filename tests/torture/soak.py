"""One seeded run: load flows, faults come and go, everything heals, the ledgers are compared."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture import checker, faults, load
from tests.torture.ledgers import Ledgers
from tests.torture.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to. Times are in seconds; `recovery` is from the last fault's end until every
    row was settled."""

    seed: int
    report: checker.Report
    faults: dict[str, int]
    seconds: float
    recovery: float
    peak_rings: int
    restarts: int
    ended_by_themselves: int

    def as_json(self) -> dict[str, object]:
        return (
            dataclasses.asdict(self)
            | {"report": self.report.totals()}
            | {"violations": [dataclasses.asdict(one) for one in self.report.violations]}
        )


def run(
    scene: Scene,
    seed: int,
    *,
    recipients: int,
    seconds: float,
    count: int,
    kinds: Sequence[str] = tuple(faults.LENGTHS),
    rings_bound: int | None = None,
) -> Outcome:
    """Run one seed in a deployment that is up. The ledgers are kept if a promise was broken."""
    started = time.monotonic()
    scene.begin(seed)
    before = sum(slot.starts for slot in scene.slots)
    callers = scene.load()
    breaking = scene.break_(faults.schedule(seed, seconds=seconds, count=count, kinds=kinds))
    callers.run(load.plans(seed, recipients=recipients, seconds=seconds))
    for thread in breaking:
        thread.join()
    scene.heal()
    recovery = scene.settle()
    scene.hush()
    callers.close()
    ledgers = scene.ledgers(callers, rings_bound=rings_bound)
    report = checker.check(ledgers)
    if not report.valid:
        _keep(scene.directory / f"seed-{seed}", ledgers, report)
    return Outcome(
        seed=seed,
        report=report,
        faults=dict(scene.done),
        seconds=time.monotonic() - started,
        recovery=recovery,
        peak_rings=scene.peak_rings,
        restarts=sum(slot.starts for slot in scene.slots) - before,
        ended_by_themselves=sum(slot.ended_by_itself for slot in scene.slots),
    )


def _keep(directory: Path, ledgers: Ledgers, report: checker.Report) -> None:
    directory.mkdir(exist_ok=True)
    for name in ("calls", "rows", "attempts", "changes", "receipts"):
        with (directory / f"{name}.json").open("w") as file:
            json.dump([dataclasses.asdict(one) for one in getattr(ledgers, name)], file, indent=0)
    (directory / "violations.txt").write_text(
        "\n".join(f"{one.invariant} {one.word}: {one.what}" for one in report.violations)
    )
