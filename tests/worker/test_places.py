"""Places: what each lane may have in flight, however many others hang."""

import random

import pytest

from worker.places import Places


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def places_of(count, clock=None):
    return Places(count, clock or Clock())


def take(places, lane, most=1000):
    """Take as many places as there are for the lane, and say how many."""
    return next(number for number in range(most + 1) if not places.take(lane))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 256])
def test_a_lane_alone_has_all_that_the_process_may_have_in_flight(count):
    places = places_of(count)
    assert places.room("bulk") == count
    assert take(places, "bulk") == count
    assert places.room("bulk") == 0


@pytest.mark.parametrize("count", [1, 2, 7, 256])
def test_whoever_comes_next_finds_a_place_until_there_are_twice_as_many_in_flight(count):
    places = places_of(count)
    hogs = []
    while places.left:
        hogs.append(take(places, len(hogs)))
        assert hogs[-1] >= 1
    assert sum(hogs) == 2 * count
    assert hogs[0] == count
    assert take(places, "one more") == 0


def test_of_many_whose_providers_hang_each_has_its_share():
    """Those that were there first come down to it as theirs end, if others want places."""
    places = places_of(60)
    lanes = range(5)
    drawn = random.Random(5)
    taken = dict.fromkeys(lanes, 0)
    for _ in range(5000):
        lane = drawn.choice(lanes)
        if drawn.random() < 0.3 and taken[lane]:
            places.leave(lane)
            taken[lane] -= 1
        elif places.take(lane):
            taken[lane] += 1
    for lane in lanes:  # and now nothing ends any more
        taken[lane] += take(places, lane)
    assert all(abs(one - 120 / 6) <= 4 for one in taken.values()), taken
    assert places.left == 120 - sum(taken.values())


def test_room_is_what_can_be_taken():
    drawn = random.Random(6)
    for _ in range(300):
        places = places_of(drawn.randint(1, 30))
        for _ in range(drawn.randint(0, 60)):
            places.take(drawn.choice("abc"))
        room = places.room("a")
        assert take(places, "a") == room


def test_who_is_quick_is_rung_for_without_end_and_who_was_turned_away_as_far_as_there_is_room():
    clock = Clock()
    places = places_of(100, clock)
    assert places.wanted("bulk", 500) == 500
    assert take(places, "bulk") == 100
    assert places.wanted("bulk", 500) == 0
    assert places.wanted("other", 500) == 500
    for left in range(1, 50):
        places.leave("bulk")
        assert places.wanted("bulk", 500) == left
    places.leave("bulk")
    assert places.wanted("bulk", 500) == 50, "half of them are free, which may be for a moment"
    clock.time = 9
    places.leave("bulk")
    assert places.wanted("bulk", 500) == 51
    clock.time = 10
    places.leave("bulk")
    assert places.wanted("bulk", 500) == 500, "they end, after all"


def test_nothing_is_remembered_of_who_has_nothing_in_flight():
    clock = Clock()
    places = places_of(3, clock)
    for lane in range(100):
        taken = take(places, lane)
        clock.time += 10
        for _ in range(taken):
            places.leave(lane)
    assert places._taken == places._full == {}
    assert places.left == 6


def test_a_paused_lane_waits_and_then_tries_one_at_a_time_until_one_goes():
    clock = Clock()
    places = places_of(10, clock)
    places.pause("down", 5.0)
    assert places.take("other")
    for at, goes in [(0, 0), (4.9, 0), (5, 1), (5.9, 0), (6, 1), (6.1, 0)]:
        clock.time = at
        assert places.room("down") == places.wanted("down", 500) == goes, at
        assert take(places, "down") == goes, at
        if goes:
            places.leave("down")
    places.go_on("down")
    assert places.wanted("down", 500) == 500
    assert take(places, "down") == 9
    assert not places.paused
