"""What breaks, and when: a schedule drawn from a seed, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` names it, `at` and `seconds` say when it begins and how long it lasts, from the start
    of the load. `draw` in [0, 1) is what else is left to chance: which process, which provider."""

    at: float
    kind: str
    seconds: float
    draw: float


# How long each lasts, from and to; 0 for one that is over at once. Where it lasts, a supervisor
# brings the process or the server back at its end.
LENGTHS: Mapping[str, tuple[float, float]] = {
    "worker-kill": (0.2, 1.5),
    "worker-pause": (0.3, 1.0),
    "worker-stall": (1.2, 1.8),  # times the lease: it comes back from the dead
    "worker-term": (0.0, 0.5),
    "api-kill": (0.2, 1.0),
    "api-pause": (0.3, 1.5),
    "redis-crash": (0.1, 1.5),
    "redis-flush": (0.0, 0.0),
    "redis-pause": (0.5, 3.0),
    "redis-cut": (0.0, 0.0),
    "redis-blackhole": (0.5, 3.0),
    "redis-refuse": (0.5, 2.0),
    "postgres-crash": (0.1, 1.0),
    "postgres-terminate": (0.0, 0.0),
    "postgres-pause": (0.3, 2.0),
    "provider-refuse": (0.3, 1.5),
    "provider-reset": (0.0, 0.0),
    "provider-blackhole": (0.5, 2.0),
    "provider-drop-answers": (0.3, 1.0),
    "provider-delay": (0.5, 2.0),
    "provider-cut": (0.0, 0.0),
    "weather-failing": (0.5, 2.0),
    "weather-busy": (0.3, 1.0),
    "weather-garbage": (0.3, 1.0),
    "weather-slow": (0.5, 2.0),
    "weather-storm": (0.5, 1.5),
    "clock-jump": (0.5, 1.5),
}

WEATHER: Mapping[str, Mapping[str, float]] = {
    "weather-failing": {"temporary-failure": 0.5},
    "weather-busy": {"throttled": 0.3},
    "weather-garbage": {"garbage": 0.3},
    "weather-slow": {"slow": 0.3},
    "weather-storm": {
        "temporary-failure": 0.1,
        "throttled": 0.1,
        "garbage": 0.05,
        "unknown-failure": 0.05,
        "slow": 0.1,
    },
}


def schedule(
    seed: int, *, seconds: float, count: int, kinds: Sequence[str] = tuple(LENGTHS)
) -> tuple[Fault, ...]:
    """So many faults within so many seconds, in the order in which they begin. A kind comes a
    second time only when all have come once, so that a few runs see every kind."""
    rng = random.Random(f"faults {seed}")
    deck: list[str] = []
    drawn = []
    for _ in range(count):
        if not deck:
            deck = rng.sample(sorted(kinds), len(kinds))
        kind = deck.pop()
        low, high = LENGTHS[kind]
        drawn.append(Fault(rng.uniform(0.0, seconds), kind, rng.uniform(low, high), rng.random()))
    return tuple(sorted(drawn, key=lambda one: one.at))
