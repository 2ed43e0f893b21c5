"""What follows from an outcome: the table of `docs/architecture.md`, as a pure function."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from adapters.contract import DeliveryStatus, Fault, Outcome

AT_MOST_ONCE = frozenset({"SMS", "VOICE"})
"""Channels on which a message that may have been delivered is not sent again: a doubled SMS or
call is worse than a missing one."""

CODE_ATTEMPTS = 2
"""Attempts at a one-time code until one that came to nobody knows what is the last: the same code
twice does less harm than none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how soon to try again. Times are in seconds."""

    max_attempts: int = 8
    backoff_base: float = 2.0
    backoff_cap: float = 900.0
    throttle_pause: float = 5.0
    retry_after_cap: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`done` settles the row; else it is due again in `delay` seconds. An attempt that is not
    `counted` does not use up the row's attempts."""

    outcome: Outcome
    done: bool
    counted: bool = True
    delay: float = 0.0


def decide(
    outcome: Outcome,
    *,
    channel: str,
    attempt: int,
    remaining: float,
    policy: Policy,
    rng: random.Random,
    one_time_code: bool = False,
) -> Decision:
    """What to do after attempt number `attempt` (from 1), with `remaining` seconds to the
    message's deadline.

    Full jitter (a delay drawn between nothing and the whole backoff) spreads the retries of
    messages that failed together.
    """
    if outcome.status is DeliveryStatus.THROTTLED:
        delay = policy.throttle_pause * rng.uniform(1, 2)
        return _later(outcome, _at_least(outcome, delay, policy), remaining, counted=False)
    again = one_time_code and attempt < CODE_ATTEMPTS
    if outcome.indeterminate and channel in AT_MOST_ONCE and not again:
        return Decision(outcome=outcome, done=True)
    if outcome.status is DeliveryStatus.TEMPORARY_FAILURE or outcome.indeterminate:
        if attempt >= policy.max_attempts:
            return Decision(outcome=_exhausted(outcome, attempt), done=True)
        delay = rng.uniform(0, backoff(attempt, policy))
        return _later(outcome, _at_least(outcome, delay, policy), remaining)
    return Decision(outcome=outcome, done=True)


def backoff(attempt: int, policy: Policy) -> float:
    """The longest pause after attempt number `attempt`: doubling, up to a cap."""
    return float(min(policy.backoff_cap, policy.backoff_base * 2 ** min(attempt - 1, 32)))


def _at_least(outcome: Outcome, delay: float, policy: Policy) -> float:
    """A provider's Retry-After is a lower bound, within reason: one that asks for a year is
    asked again in an hour."""
    return max(delay, min(outcome.retry_after or 0.0, policy.retry_after_cap))


def _later(outcome: Outcome, delay: float, remaining: float, *, counted: bool = True) -> Decision:
    if delay < remaining:
        return Decision(outcome=outcome, done=False, counted=counted, delay=delay)
    if outcome.indeterminate:
        return Decision(outcome=outcome, done=True)
    late = replace(
        outcome,
        status=DeliveryStatus.TIMEOUT,
        status_code=408,
        status_message=_text("The message's deadline comes before its next attempt", outcome),
    )
    return Decision(outcome=late, done=True, counted=counted)


def _exhausted(outcome: Outcome, attempt: int) -> Outcome:
    attempts = f"{attempt} attempt" + ("s" if attempt > 1 else "")
    if outcome.indeterminate:
        return replace(
            outcome, status_message=_text(f"Gave up after {attempts} without an answer", outcome)
        )
    return replace(
        outcome,
        status=DeliveryStatus.PERMANENT_FAILURE,
        status_message=_text(f"Gave up after {attempts}", outcome),
        fault=outcome.fault or Fault.PROVIDER,
    )


def _text(what: str, last: Outcome) -> str:
    return f"{what}; the last said: {last.status_message}" if last.status_message else what
