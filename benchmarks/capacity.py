"""What a number of messages a day needs, by arithmetic from what a delivery was measured to cost.

`python -m benchmarks.capacity` prints it from the costs in docs/capacity.json; `--write FILE` first
takes the costs from a FILE that `python -m benchmarks` wrote, and renews docs/capacity.json and the
tables in docs/capacity.md. Every assumption is an option. Nothing here measures anything.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks import running

PART = "cost"
"""The part of the suite that measures."""

DOCS = Path(__file__).parents[1] / "docs"
VOLUMES = (10_000_000, 1_000_000_000)
CHANNELS = ("GCM", "EMAIL")
BEGIN, END = "<!-- python -m benchmarks.capacity -->\n", "<!-- end -->\n"

_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one delivery, accepted 100 at a time: CPU in microseconds, how often, bytes.
    `memory` is a worker process's peak in MiB."""

    worker_cpu: float
    accept_cpu: float
    postgresql_cpu: float
    redis_cpu: float
    transactions: float
    wal_bytes: float
    stored_bytes: float
    redis_commands: float
    redis_bytes: float
    memory: float


NAMES: Mapping[str, str] = {
    "worker_cpu": "CPU of the worker (µs)",
    "accept_cpu": "CPU of who accepts (µs)",
    "postgresql_cpu": "CPU of PostgreSQL (µs)",
    "redis_cpu": "CPU of Redis (µs)",
    "transactions": "transactions of PostgreSQL",
    "wal_bytes": "written to PostgreSQL's log (bytes)",
    "stored_bytes": "stored, indexes included (bytes)",
    "redis_commands": "commands of Redis",
    "redis_bytes": "to and from Redis (bytes)",
    "memory": "memory of a worker process (MiB)",
}


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is not measured: how traffic comes, and what one server can do."""

    peak: float = 4.0
    """The busiest second, as a multiple of the average one."""
    busy: float = 0.6
    """The part of a core that is used at the peak; above it, waits grow."""
    days: float = 30.0
    """How long results are kept."""
    slack: float = 1.3
    """The room that tables take, as a multiple of what is in them: dead versions of rows."""
    sessions: float = 8.0
    """Sessions that one process has with PostgreSQL."""
    postgresql_cores: float = 32.0
    commits: float = 20_000.0
    """Transactions a second that one primary makes durable."""
    log_bytes: float = 200e6
    """Bytes a second that its disk takes of the log, for hours."""
    disk_bytes: float = 8e12
    most_sessions: float = 500.0
    redis_cores: float = 1.0
    """Redis runs commands on one."""
    redis_bytes: float = 500e6
    """Bytes a second through its network."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What so many messages a day need, at the peak unless it says otherwise."""

    average_per_second: float
    peak_per_second: float
    worker_processes: int
    accepting_processes: int
    worker_memory: float
    """GiB of all."""
    postgresql_cores: float
    transactions: float
    log_bytes: float
    stored_a_day: float
    stored_bytes: float
    """Of all days that are kept."""
    sessions: int
    redis_cores: float
    redis_commands: float
    redis_bytes: float


@dataclass(frozen=True)
class Limit:
    """How many messages a day a part that cannot simply be multiplied stands."""

    part: str
    messages_a_day: float
    then: str
    """What to change once it does not."""


def needs(cost: Cost, messages_a_day: float, assumed: Assumptions) -> Needs:
    """What this volume needs."""
    average = messages_a_day / _DAY
    peak = average * assumed.peak

    def cores(microseconds: float) -> float:
        return peak * microseconds / 1e6 / assumed.busy

    workers = math.ceil(cores(cost.worker_cpu))
    accepting = math.ceil(cores(cost.accept_cpu))
    stored = messages_a_day * cost.stored_bytes * assumed.slack
    return Needs(
        average_per_second=average,
        peak_per_second=peak,
        worker_processes=workers,
        accepting_processes=accepting,
        worker_memory=workers * cost.memory / 1024,
        postgresql_cores=cores(cost.postgresql_cpu),
        transactions=peak * cost.transactions,
        log_bytes=peak * cost.wal_bytes,
        stored_a_day=stored,
        stored_bytes=stored * assumed.days,
        sessions=math.ceil((workers + accepting) * assumed.sessions),
        redis_cores=cores(cost.redis_cpu),
        redis_commands=peak * cost.redis_commands,
        redis_bytes=peak * cost.redis_bytes,
    )


def limits(cost: Cost, assumed: Assumptions) -> Sequence[Limit]:
    """The parts of which there is one, the first to be full first."""
    a_day = _DAY / assumed.peak

    def by_cpu(cores: float, microseconds: float) -> float:
        return _per(cores * assumed.busy * 1e6, microseconds) * a_day

    process_cpu = (cost.worker_cpu + cost.accept_cpu) * assumed.sessions
    found = [
        Limit(
            "PostgreSQL's disk",
            _per(assumed.disk_bytes / assumed.days, cost.stored_bytes * assumed.slack),
            "partitions by month, dropped when they are old; keep results for fewer days",
        ),
        Limit(
            "PostgreSQL's sessions",
            by_cpu(assumed.most_sessions, process_cpu),
            "PgBouncer",
        ),
        Limit(
            "PostgreSQL's CPU",
            by_cpu(assumed.postgresql_cores, cost.postgresql_cpu),
            "a read replica for what callers ask; then a deployment per group of applications",
        ),
        Limit(
            "PostgreSQL's log",
            _per(assumed.log_bytes, cost.wal_bytes) * a_day,
            "a disk of its own for the log; then a deployment per group of applications",
        ),
        Limit(
            "PostgreSQL's commits",
            _per(assumed.commits, cost.transactions) * a_day,
            "a disk with a cache that survives; then a deployment per group of applications",
        ),
        Limit(
            "Redis's core",
            by_cpu(assumed.redis_cores, cost.redis_cpu),
            "a Redis per lane",
        ),
        Limit(
            "Redis's network",
            _per(assumed.redis_bytes, cost.redis_bytes) * a_day,
            "a Redis per lane",
        ),
    ]
    return sorted(found, key=lambda one: one.messages_a_day)


def _per(amount: float, each: float) -> float:
    return amount / each if each else math.inf


_NEEDS: Mapping[str, tuple[str, float]] = {
    "average_per_second": ("messages a second, on average", 1),
    "peak_per_second": ("messages a second, at the peak", 1),
    "worker_processes": ("worker processes, a core each", 1),
    "accepting_processes": ("API processes, a core each", 1),
    "worker_memory": ("memory of the workers (GiB)", 1),
    "postgresql_cores": ("cores of PostgreSQL", 1),
    "transactions": ("transactions a second", 1),
    "log_bytes": ("PostgreSQL's log (MB a second)", 1e6),
    "stored_a_day": ("stored a day (GB)", 1e9),
    "stored_bytes": ("stored in all (GB)", 1e9),
    "sessions": ("sessions with PostgreSQL", 1),
    "redis_cores": ("of Redis's core", 1),
    "redis_commands": ("commands of Redis a second", 1),
    "redis_bytes": ("through Redis's network (MB a second)", 1e6),
}


def measured(figures: running.Figures) -> dict[str, Cost]:
    """What a delivery cost, by channel: the medians of the rounds of `benchmarks.cost`."""
    rounds = figures["rounds"]
    found = {}
    for channel in dict.fromkeys(one["channel"] for one in rounds):
        middles = {name: running.middle(rounds, name, channel=channel) for name in NAMES}
        found[channel] = Cost(**{name: one for name, one in middles.items() if one is not None})
    return found


def tables(costs: Mapping[str, Cost], assumed: Assumptions) -> str:
    """Everything, in Markdown."""
    shown = {channel: costs[channel] for channel in CHANNELS if channel in costs}
    parts = (
        ("What a delivery costs", ["of one delivery", *costs], cost_rows(costs)),
        (
            "What so many messages a day need",
            ["", *(f"{volume / 1e6:,.0f} M of {one}" for volume in VOLUMES for one in shown)],
            _need_rows(shown, assumed),
        ),
        (
            "How many million messages a day each part stands of which there is one",
            ["part", *shown, "then"],
            _limit_rows(shown, assumed),
        ),
    )
    return "\n\n".join(f"{title}:\n\n{running.markdown(*rest)}" for title, *rest in parts)


def cost_rows(costs: Mapping[str, Cost]) -> list[list[object]]:
    """A row for each thing that a delivery costs, with a column for each channel."""
    return [[text, *(getattr(one, name) for one in costs.values())] for name, text in NAMES.items()]


def _need_rows(costs: Mapping[str, Cost], assumed: Assumptions) -> list[list[object]]:
    found = [asdict(needs(cost, volume, assumed)) for volume in VOLUMES for cost in costs.values()]
    return [
        [text, *(_shown(one[name], unit) for one in found)] for name, (text, unit) in _NEEDS.items()
    ]


def _limit_rows(costs: Mapping[str, Cost], assumed: Assumptions) -> list[list[object]]:
    """In the order in which the first channel's parts are full."""
    by_part = [{one.part: one for one in limits(cost, assumed)} for cost in costs.values()]
    return [
        [part, *(_millions(found[part].messages_a_day) for found in by_part), one.then]
        for part, one in by_part[0].items()
    ]


def _shown(value: float, unit: float) -> object:
    return value if isinstance(value, int) else value / unit


def _millions(messages: float) -> float | None:
    return None if math.isinf(messages) else messages / 1e6


def written(text: str, block: str) -> str:
    """A document with this block in the place of the one that is between the marks."""
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError("the document has no place for the tables")
    return f"{before}{BEGIN}\n{block}\n\n{END}{after}"


def stored() -> dict[str, Cost]:
    """The costs in docs/capacity.json."""
    known = json.loads((DOCS / "capacity.json").read_text(encoding="utf-8"))
    return {channel: Cost(**one) for channel, one in known.items()}


def _renew(figures: running.Figures, assumed: Assumptions) -> None:
    costs = measured(figures)
    known = {
        channel: {name: float(f"{value:.4g}") for name, value in asdict(cost).items()}
        for channel, cost in costs.items()
    }
    (DOCS / "capacity.json").write_text(f"{json.dumps(known, indent=1)}\n", encoding="utf-8")
    document = DOCS / "capacity.md"
    text = written(document.read_text(encoding="utf-8"), tables(stored(), assumed))
    document.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    for one in fields(Assumptions):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    parser.add_argument("--write", metavar="FILE", type=Path)
    options = vars(parser.parse_args())
    file = options.pop("write")
    assumed = Assumptions(**options)
    if file is not None:
        _renew(json.loads(file.read_text(encoding="utf-8"))[PART], assumed)
    print(tables(stored(), assumed))


if __name__ == "__main__":
    main()
