"""What the whole suite found, in Markdown: ratios first, then every part's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import (
    adapters,
    cost,
    end_to_end,
    features,
    growth,
    intake,
    latency,
    providers,
    running,
    surroundings,
)
from benchmarks.contenders import CHANNELS
from benchmarks.deployment import ADAPTERS

PARTS: Mapping[str, running.Part] = {
    one.NAME: one
    for one in (end_to_end, adapters, features, providers, intake, latency, growth, cost)
}

Known = Mapping[str, running.Figures]
"""Figures by part."""


def report(known: Known, parts: Sequence[str] = ()) -> str:
    """The summary and the tables of these parts, or all that there are figures of."""
    found = [name for name in PARTS if name in known and (not parts or name in parts)]
    sections = [] if parts else summary(known)
    sections += [PARTS[name].table(known[name]) for name in found]
    machines = dict.fromkeys(_machine(known[name]["machine"]) for name in found)
    took = sum(known[name]["took"] for name in found)
    return "\n\n".join([*sections, *machines, f"Measured in {took:.0f} s."])


def _machine(told: Mapping[str, Any]) -> str:
    known = {name: value for name, value in told.items() if name != "load_after"}
    return str(surroundings.Machine(**known))


def summary(known: Known) -> list[str]:
    """Ratios by channel, and what was to be reached, as far as it was measured."""
    channels = [[channel, _AIMS.get(channel), *_ratios(known, channel)] for channel in CHANNELS]
    aims = [[text, aim, value] for text, aim, value in _aims(known) if value is not None]
    found = []
    if any(value is not None for row in channels for value in row[2:]):
        head = ["channel", "aim", *_RATIOS]
        found.append(f"Sendpoint, times the others\n\n{running.markdown(head, channels)}")
    if aims:
        head = ["figure", "aim", "measured"]
        found.append(f"What was to be reached\n\n{running.markdown(head, aims)}")
    return found


_AIMS = {"GCM": "≥ 15", "APNS": "≥ 12", "EMAIL": "≥ 8", "SMS": "≥ 8"}
_RATIOS = (
    "plain Celery, both with 2 processes",
    "BullMQ, both with 2 processes (aim ≥ 1)",
    "the bare adapter, a process each (aim ≥ 0.40)",
    "the same, a second of CPU each",
)


def _ratios(known: Known, channel: str) -> Sequence[float | None]:
    rounds = known.get(end_to_end.NAME, {"rounds": []})["rounds"]
    bare = known.get(adapters.NAME, {"rounds": []})["rounds"]
    one = {"contender": end_to_end.SENDPOINT_1, "channel": channel}
    alone = {"adapter": ADAPTERS[channel], "library": ""}
    spent = running.middle(rounds, "worker_cpu", **one)
    return [
        *(
            end_to_end.ratio(rounds, "per_second", channel, end_to_end.SENDPOINT_2, other)
            for other in (end_to_end.CELERY, end_to_end.BULLMQ)
        ),
        _over(
            running.middle(rounds, "per_second", **one), running.middle(bare, "per_second", **alone)
        ),
        _over(1e6 / spent if spent else None, running.middle(bare, "per_cpu_second", **alone)),
    ]


def _aims(known: Known) -> Sequence[tuple[str, str, float | None]]:
    def one(part: str, name: str, **having: object) -> float | None:
        return running.middle(known.get(part, {"rounds": []})["rounds"], name, **having)

    def whole(channel: str) -> float | None:
        return one(end_to_end.NAME, "per_second", contender=end_to_end.SENDPOINT_1, channel=channel)

    def accepting(way: str, size: int) -> float | None:
        return one(intake.NAME, "p50", way=way, recipients=size)

    def more(size: int) -> float | None:
        http, function = accepting(intake.HTTP, size), accepting(intake.FUNCTION, size)
        return None if http is None or function is None else http - function

    smallest, *_, largest = (growth.DELIVERED.format(size) for size in growth.SIZES)
    return [
        ("deliveries a second of one worker process, GCM or APNS", "≥ 2,500", _best(whole)),
        (
            "GCM with limits and events, times plain Celery, both with 2 processes",
            "≥ 15",
            _over(
                one(features.NAME, "per_second", features=features.EVENTS),
                one(end_to_end.NAME, "per_second", contender=end_to_end.CELERY, channel="GCM"),
            ),
        ),
        ("accepting 100 recipients, function call, p50 (ms)", "≤ 20", accepting(_CALL, 100)),
        ("accepting 1 recipient, function call, p50 (ms)", "≤ 4", accepting(_CALL, 1)),
        ("more than that over HTTP, 100 recipients (ms)", "≤ 5", more(100)),
        ("more than that over HTTP, 1 recipient (ms)", "≤ 5", more(1)),
        (
            "accepted → provider at half load, p50 (ms)",
            "≤ 20",
            one(latency.NAME, "accepted_p50", load=0.5),
        ),
        (
            "accepted → provider at half load, p99 (ms)",
            "≤ 100",
            one(latency.NAME, "accepted_p99", load=0.5),
        ),
        (
            "throughput with 1,000,000 rows stored, times that with 1,000",
            "≥ 0.9",
            _over(
                one(growth.NAME, "per_second", situation=largest),
                one(growth.NAME, "per_second", situation=smallest),
            ),
        ),
        (
            "memory of a worker process (MiB)",
            "≤ 143",
            one(end_to_end.NAME, "memory", contender=end_to_end.SENDPOINT_1),
        ),
        ("of a core that the busiest provider's double used", "< 1", _busiest(known)),
    ]


_CALL = intake.FUNCTION


def _best(whole: Callable[[str], float | None]) -> float | None:
    found = [rate for rate in map(whole, ("GCM", "APNS")) if rate is not None]
    return max(found, default=None)


def _busiest(known: Known) -> float | None:
    """In any round of any contender: its CPU for a delivery, times deliveries a second."""
    rounds = known.get(end_to_end.NAME, {"rounds": []})["rounds"]
    return max((one["providers_cpu"] * one["per_second"] / 1e6 for one in rounds), default=None)


def _over(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None
