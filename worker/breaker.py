"""Circuit breakers: a provider that keeps failing is left alone for a while, then probed.

Only faults of the provider or of its credentials count; a recipient's or a message's never does. A
breaker belongs to one process: each finds out for itself, which costs it a handful of attempts.

    closed     all messages pass; after `threshold` faults in a row it opens
    open       none pass until a pause is over, which doubles each time up to a cap
    half open  one message passes as a probe; it closes the breaker, or opens it again
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from adapters.contract import DeliveryStatus, Fault, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Pauses are in seconds."""

    threshold: int = 5
    pause: float = 5.0
    pause_cap: float = 300.0
    probe_timeout: float = 60.0


@dataclass(slots=True)
class _State:
    faults: int = 0
    pause: float = 0.0
    open_until: float = 0.0
    probing_until: float = 0.0


class Breakers:
    """One breaker for each key. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], policy: Policy | None = None) -> None:
        self._clock = clock
        self._policy = policy or Policy()
        self._states: dict[Hashable, _State] = {}

    def wait(self, key: Hashable) -> float:
        """Seconds until it is worth asking again; 0 if a message may pass now. Asking takes
        nothing."""
        state = self._states.get(key)
        if state is None or state.faults < self._policy.threshold:
            return 0.0
        now = self._clock()
        if state.open_until > now:
            return state.open_until - now
        # A probe mostly ends long before its time is up: nobody waits for all of that.
        return max(0.0, min(state.probing_until - now, self._policy.pause))

    def enter(self, key: Hashable) -> None:
        """A message is about to pass; if the breaker is half open, it is the probe."""
        state = self._states.get(key)
        if state is not None and state.faults >= self._policy.threshold:
            state.probing_until = self._clock() + self._policy.probe_timeout

    def record(self, key: Hashable, outcome: Outcome) -> bool:
        """Take note of what came of it. Says whether this opened the breaker."""
        if not is_fault(outcome):
            self._states.pop(key, None)
            return False
        state = self._states.setdefault(key, _State())
        state.faults += 1
        if state.faults < self._policy.threshold or self._clock() < state.open_until:
            return False  # still closed, or the word of one that passed before it opened
        state.probing_until = 0.0
        state.pause = min(max(self._policy.pause, state.pause * 2), self._policy.pause_cap)
        state.open_until = self._clock() + state.pause
        return True


def is_fault(outcome: Outcome) -> bool:
    """Whether an outcome says something against the provider. A provider that asks for fewer
    messages is well."""
    return (
        outcome.fault in {Fault.PROVIDER, Fault.CREDENTIALS}
        and outcome.status is not DeliveryStatus.THROTTLED
    )
