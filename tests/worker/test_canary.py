"""A canary that is silent for too long, and when that is nobody's fault."""

import pytest

from worker.canary import RING, Canary


class Broker:
    def __init__(self):
        self.rung = []
        self.away = False

    def ring(self, rings, *, lasting):
        assert lasting == 20
        if not self.away:
            self.rung += rings
        return not self.away


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def canary(broker, clock):
    return Canary(broker, "own", patience=10, on_stall=None, clock=lambda: clock[0])


def test_it_rings_for_itself_on_its_own_queue(canary, broker):
    assert canary.ring()
    assert [(one.id, one.queue) for one in broker.rung] == [(RING, "own")]


def test_an_answer_is_life(canary, clock):
    for _ in range(10):
        assert canary.ring()
        clock[0] += 9
        canary.answer()
    assert canary.silence() == 0


def test_silence_is_counted_from_the_first_ring_and_ends_patience(canary, clock):
    canary.ring()
    clock[0] += 6
    assert canary.ring()
    clock[0] += 6
    assert canary.silence() == 12
    assert not canary.ring()


def test_a_broker_that_is_away_is_not_the_workers_silence(canary, broker, clock):
    canary.ring()
    clock[0] += 9
    broker.away = True
    assert canary.ring()
    clock[0] += 100
    assert canary.ring()
    broker.away = False
    assert canary.ring()
    clock[0] += 9
    assert canary.ring()
    clock[0] += 2
    assert not canary.ring()


def test_the_watch_calls_once(broker):
    ticks = iter(range(0, 10_000, 5))
    stalled = []
    canary = Canary(
        broker,
        "own",
        patience=0.01,
        on_stall=lambda: stalled.append(True),
        clock=lambda: next(ticks),
    )
    broker.ring = lambda rings, *, lasting: True
    canary.start()
    canary._thread.join(10)
    assert stalled == [True]
