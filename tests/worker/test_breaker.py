"""A breaker opens on faults of the provider, lets a probe through, and never opens on others."""

import pytest

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
from worker import breaker

POLICY = breaker.Policy(threshold=3, pause=10, pause_cap=30, probe_timeout=5)
BUSY = temporary(503, "busy")


class Clock:
    time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breakers(clock):
    return breaker.Breakers(clock, POLICY)


def open_(breakers, key="a"):
    return [breakers.record(key, BUSY) for _ in range(3)]


def test_it_opens_after_so_many_faults_in_a_row(breakers):
    assert open_(breakers) == [False, False, True]
    assert breakers.wait("a") == 10
    assert breakers.wait("b") == 0, "each key has its own"


def test_those_that_passed_before_it_opened_do_not_make_it_longer(breakers):
    open_(breakers)
    assert open_(breakers) == [False, False, False]
    assert breakers.wait("a") == 10


def test_a_success_in_between_starts_the_count_again(breakers):
    for outcome in (BUSY, BUSY, successful(), BUSY, BUSY):
        assert not breakers.record("a", outcome)
    assert breakers.wait("a") == 0


def test_a_probe_passes_alone_and_closes_it(breakers, clock):
    open_(breakers)
    clock.time += 10
    assert breakers.wait("a") == 0
    breakers.enter("a")
    assert breakers.wait("a") == 5, "the others wait for the probe, and not for ever"
    clock.time += 5
    assert breakers.wait("a") == 0, "it has been given up: another may be the probe"
    breakers.enter("a")
    breakers.record("a", successful())
    assert breakers.wait("a") == 0
    breakers.enter("a")
    assert breakers.wait("a") == 0


def test_nobody_is_held_for_all_the_time_that_a_probe_may_take(clock):
    breakers = breaker.Breakers(clock, breaker.Policy(threshold=3, pause=10, probe_timeout=60))
    open_(breakers)
    clock.time += 10
    breakers.enter("a")
    assert breakers.wait("a") == 10
    clock.time += 55
    assert breakers.wait("a") == 5


def test_a_failed_probe_doubles_the_pause_up_to_a_cap(breakers, clock):
    open_(breakers)
    pauses = []
    for _ in range(4):
        clock.time += breakers.wait("a")
        breakers.enter("a")
        assert breakers.record("a", BUSY)
        pauses.append(breakers.wait("a"))
    assert pauses == [20, 30, 30, 30]


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (successful(), False),
        (BUSY, True),
        (indeterminate("silence"), True),
        (permanent(403, "key", fault=Fault.CREDENTIALS), True),
        (permanent(550, "nobody", fault=Fault.RECIPIENT), False),
        (permanent(413, "large", fault=Fault.MESSAGE), False),
        (throttled(429, "slow"), False),
        (Outcome(status=DeliveryStatus.OPT_OUT, status_code=400), False),
    ],
)
def test_whose_fault_it_was_decides(outcome, fault):
    assert breaker.is_fault(outcome) is fault
