"""The table of outcomes, row by row, and the shape of the backoff."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import (
    DeliveryStatus,
    Fault,
    Outcome,
    indeterminate,
    permanent,
    successful,
    temporary,
    throttled,
)
from worker import retry

POLICY = retry.Policy(max_attempts=3, backoff_base=2, backoff_cap=60)
OPT_OUT = Outcome(status=DeliveryStatus.OPT_OUT, status_code=400)
UNREADABLE = Outcome(status=DeliveryStatus.UNKNOWN_FAILURE, status_code=500)


class Longest(random.Random):
    """Draws the upper end."""

    def uniform(self, low, high):
        return high


def decide(outcome, *, channel="EMAIL", attempt=1, remaining=1e6, rng=None):
    return retry.decide(
        outcome,
        channel=channel,
        attempt=attempt,
        remaining=remaining,
        policy=POLICY,
        rng=rng or Longest(),
    )


@pytest.mark.parametrize(
    "outcome",
    [successful(), permanent(550, "no", fault=Fault.RECIPIENT), OPT_OUT, UNREADABLE],
    ids=lambda outcome: outcome.status,
)
def test_final_outcomes_settle_the_row(outcome):
    assert decide(outcome) == retry.Decision(outcome=outcome, done=True)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 2), (2, 4)])
def test_a_temporary_failure_is_tried_again_later_and_later(attempt, delay):
    outcome = temporary(451, "busy")
    assert decide(outcome, attempt=attempt) == retry.Decision(
        outcome=outcome, done=False, delay=delay
    )


def test_attempts_used_up_are_a_permanent_failure_that_names_the_cause():
    decision = decide(temporary(451, "busy"), attempt=3)
    assert decision.done
    assert decision.outcome.status is DeliveryStatus.PERMANENT_FAILURE
    assert decision.outcome.status_code == 451
    assert decision.outcome.status_message == "Gave up after 3 attempts; the last said: busy"
    assert not decision.outcome.dead_address


def test_retry_after_is_a_lower_bound_within_reason():
    assert decide(temporary(503, "", retry_after=30)).delay == 30
    assert decide(temporary(503, "", retry_after=1)).delay == 2
    assert decide(temporary(503, "", retry_after=1e9)).delay == POLICY.retry_after_cap


def test_a_throttled_attempt_does_not_count():
    outcome = throttled(429, "slow down", retry_after=90)
    assert decide(outcome, attempt=99) == retry.Decision(
        outcome=outcome, done=False, counted=False, delay=90
    )
    assert decide(throttled(429, "slow down")).delay == 2 * POLICY.throttle_pause


@pytest.mark.parametrize("outcome", [temporary(451, "busy"), throttled(429, "busy")])
def test_what_cannot_be_tried_before_its_deadline_times_out_now(outcome):
    decision = decide(outcome, remaining=1)
    assert decision.done
    assert decision.outcome.status is DeliveryStatus.TIMEOUT
    assert "busy" in decision.outcome.status_message


@pytest.mark.parametrize("channel", ["SMS", "VOICE"])
def test_a_message_that_may_have_been_sent_is_not_doubled_where_that_is_worse(channel):
    outcome = indeterminate("gone")
    assert decide(outcome, channel=channel) == retry.Decision(outcome=outcome, done=True)


@pytest.mark.parametrize("channel", ["GCM", "APNS", "EMAIL", "CUSTOM"])
def test_elsewhere_it_is_sent_again_and_ends_as_unknown(channel):
    outcome = indeterminate("gone")
    again = decide(outcome, channel=channel)
    assert (again.done, again.counted, again.outcome) == (False, True, outcome)
    last = decide(outcome, channel=channel, attempt=3)
    assert last.done
    assert last.outcome.status is DeliveryStatus.UNKNOWN_FAILURE
    late = decide(outcome, channel=channel, remaining=0.5)
    assert (late.done, late.outcome) == (True, outcome)


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_full_jitter_stays_within_the_backoff(attempt, seed):
    policy = retry.Policy(max_attempts=100_000)
    decision = retry.decide(
        temporary(451, ""),
        channel="EMAIL",
        attempt=attempt,
        remaining=1e9,
        policy=policy,
        rng=random.Random(seed),
    )
    assert 0 <= decision.delay <= retry.backoff(attempt, policy) <= policy.backoff_cap
