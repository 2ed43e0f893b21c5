"""How many messages wait, and how seldom they are counted for it."""

import threading

import pytest

from worker.backlog import AT_ONCE, Backlogs

QUEUE = "sendpoint.sms"


class Ledger:
    """What waits, a clock that is moved by hand, and how often and how slowly it was counted."""

    def __init__(self):
        self.waiting = 0
        self.time = 1000.0
        self.takes = 0.0
        self.bounds = []
        self.background = []

    def count(self, application_id, queue, most):
        assert (application_id, queue) == ("a", QUEUE)
        self.bounds.append(most)
        self.time += self.takes
        return min(self.waiting, most)

    def in_background(self):
        """Do what is to be done there."""
        while self.background:
            self.background.pop()()

    def clock(self):
        return self.time


def no_background(_):
    raise AssertionError


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def backlogs(ledger):
    return Backlogs(ledger.count, ledger.background.append, ledger.clock)


def test_many_requests_are_one_count(ledger, backlogs):
    for _ in range(1000):
        assert backlogs.full_for("a", QUEUE, 100_000) == 0
        backlogs.add("a", QUEUE, 1)
        ledger.time += 0.0005
    assert len(ledger.bounds) == 1
    ledger.time += 1
    assert backlogs.full_for("a", QUEUE, 100_000) == 0
    assert len(ledger.bounds) == 2


def test_what_this_process_adds_counts_at_once(ledger, backlogs):
    ledger.waiting = 90
    assert backlogs.full_for("a", QUEUE, 100) == 0
    backlogs.add("a", QUEUE, 10)
    assert 0 < backlogs.full_for("a", QUEUE, 100) < 0.1
    assert len(ledger.bounds) == 1


def test_there_is_room_again_soon_after_something_was_delivered(ledger, backlogs):
    ledger.waiting = 100
    assert backlogs.full_for("a", QUEUE, 100) > 0
    ledger.waiting = 99
    assert backlogs.full_for("a", QUEUE, 100) > 0, "nobody counts for each request that is refused"
    ledger.time += 0.06
    assert backlogs.full_for("a", QUEUE, 100) == 0
    assert len(ledger.bounds) == 2


def test_a_long_backlog_is_counted_in_the_background(ledger, backlogs):
    """And not by the request that finds out that it is long."""
    ledger.waiting = 900_000
    ledger.takes = 2.0
    assert backlogs.full_for("a", QUEUE, 500_000) == 0
    assert ledger.bounds == [AT_ONCE]
    ledger.in_background()
    assert ledger.bounds == [AT_ONCE, 500_000]
    assert backlogs.full_for("a", QUEUE, 500_000) == pytest.approx(20), "until the next whole count"
    ledger.waiting = 10
    ledger.time += 20
    assert backlogs.full_for("a", QUEUE, 500_000) == 0, "a short one is known without"
    assert ledger.background == []


def test_in_a_long_backlog_what_is_added_counts(ledger, backlogs):
    ledger.waiting = 99_000
    backlogs.full_for("a", QUEUE, 100_000)
    ledger.in_background()
    backlogs.add("a", QUEUE, 999)
    assert backlogs.full_for("a", QUEUE, 100_000) == 0
    backlogs.add("a", QUEUE, 1)
    assert backlogs.full_for("a", QUEUE, 100_000) > 0


@pytest.mark.parametrize("waiting", [0, 20_000, 1_000_000])
def test_to_count_takes_no_more_than_a_tenth_of_the_time_each(ledger, backlogs, waiting):
    ledger.takes, ledger.waiting = 2.0, waiting
    started = ledger.time
    while len(ledger.bounds) < 20:
        backlogs.full_for("a", QUEUE, 1_000_000)
        ledger.in_background()
        ledger.time += 0.05
    for bound in set(ledger.bounds):
        spent = ledger.bounds.count(bound) * ledger.takes
        assert spent <= (ledger.time - started) / 10 + ledger.takes


def test_a_bound_that_is_raised_is_seen(ledger, backlogs):
    ledger.waiting = 150
    assert backlogs.full_for("a", QUEUE, 100) > 0
    ledger.time += 1
    assert backlogs.full_for("a", QUEUE, 200) == 0
    assert backlogs.full_for("a", QUEUE, 151) == 0


def test_who_comes_while_another_counts_goes_by_the_last_count(ledger):
    """Only the first count of all makes the others wait."""
    counting, go_on = threading.Event(), threading.Event()

    def count(_, __, most):
        ledger.bounds.append(most)
        counting.set()
        assert go_on.wait(30)
        return 7

    backlogs = Backlogs(count, no_background, ledger.clock)
    answers = []

    def ask():
        answers.append(backlogs.full_for("a", QUEUE, 5))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for one in threads:
        one.start()
    assert counting.wait(30)
    go_on.set()
    for one in threads:
        one.join(30)
    assert (len(answers), len(ledger.bounds)) == (4, 1)
    assert all(one > 0 for one in answers)

    counting.clear()
    go_on.clear()
    ledger.time += 60
    slow = threading.Thread(target=ask, daemon=True)
    slow.start()
    assert counting.wait(30)
    assert backlogs.full_for("a", QUEUE, 5) > 0, "it does not wait for the one that counts"
    go_on.set()
    slow.join(30)
    assert len(ledger.bounds) == 2


def test_a_count_that_fails_is_told_and_tried_again(ledger):
    def count(_, __, most):
        ledger.bounds.append(most)
        if len(ledger.bounds) == 1:
            raise ConnectionError
        return 0

    backlogs = Backlogs(count, no_background, ledger.clock)
    with pytest.raises(ConnectionError):
        backlogs.full_for("a", QUEUE, 5)
    assert backlogs.full_for("a", QUEUE, 5) == 0
    assert len(ledger.bounds) == 2


def test_a_whole_count_that_fails_is_logged_and_tried_again(ledger, caplog):
    def count(_, __, most):
        ledger.bounds.append(most)
        if most > AT_ONCE and ledger.bounds.count(most) == 1:
            raise ConnectionError
        return most

    backlogs = Backlogs(count, lambda one: one(), ledger.clock)
    assert backlogs.full_for("a", QUEUE, 50_000) == 0
    assert "could not be counted: ConnectionError" in caplog.text
    ledger.time += 2
    assert backlogs.full_for("a", QUEUE, 50_000) > 0
    assert ledger.bounds == [AT_ONCE, 50_000] * 2
