"""One contract for the turns that are counted in memory and for those in Redis, in time that is
moved by hand; and what comes of it for many messages that wait under one limit."""

import heapq
import itertools
import random
import socket
import time

import pytest
import redis

from worker.throttle import Alone, Ask, Count, Limiter, Shared, Turn, limiter

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
DAY = 86_400 * SECOND


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def move(self, seconds):
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["alone", "shared"])
def turns(request, clock):
    if request.param == "alone":
        yield Alone(clock)
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield Shared(client, clock)


def count(name="a", every=1.0, burst=1):
    return Count(name, round(every * SECOND), burst)


def ask(*counts, cost=1, **members):
    return Ask(costs=[(one, cost) for one in counts], **members)


def one(turns, asked):
    (turn,) = turns.ask([asked])
    return turn


def taken(turns, asked, times):
    return [turn.taken for turn in turns.ask([asked] * times)]


def test_a_burst_passes_at_once_and_then_one_an_interval(turns, clock):
    limit = count(every=0.1, burst=3)
    now = ask(limit, queues=False)
    assert taken(turns, now, 5) == [True, True, True, False, False]
    assert one(turns, now) == Turn(taken=False, wait=0.1, held_by="a")
    clock.move(0.09)
    assert one(turns, now).wait == pytest.approx(0.01)
    clock.move(0.01)
    assert taken(turns, now, 2) == [True, False]
    clock.move(10)
    assert taken(turns, now, 5) == [True, True, True, False, False]


def test_a_turn_is_of_all_counts_or_of_none(turns, clock):
    wide, narrow = count("wide", 0.1, 5), count("narrow", 10, 1)
    both = ask(narrow, wide, queues=False)
    assert taken(turns, both, 10) == [True] + [False] * 9
    assert one(turns, both).held_by == "narrow"
    assert taken(turns, ask(wide, queues=False), 5) == [True] * 4 + [False]


def test_who_is_held_gets_a_place_of_its_own(turns, clock):
    limit = count(every=0.1, burst=2)
    waits = [turn.wait for turn in turns.ask([ask(limit)] * 6)]
    assert waits == pytest.approx([0, 0, 0.1, 0.2, 0.3, 0.4])
    assert one(turns, ask(limit)).wait == pytest.approx(0.5)


def test_nobody_jumps_the_line_and_who_comes_back_gets_its_turn(turns, clock):
    limit = count(every=1, burst=1)
    assert [turn.wait for turn in turns.ask([ask(limit)] * 3)] == pytest.approx([0, 1, 2])
    clock.move(1.2)
    fresh = one(turns, ask(limit))
    assert not fresh.taken, "the turn is free, but others wait for it"
    assert fresh.wait == pytest.approx(1.8)
    assert one(turns, ask(limit, waited=True)).taken


def test_who_comes_back_in_vain_gets_a_place_near_by(turns, clock):
    limit = count(every=1, burst=1)
    turns.ask([ask(limit)] * 100)
    clock.move(1)
    back = turns.ask([ask(limit, waited=True)] * 3)
    assert [turn.wait for turn in back] == pytest.approx([0, 1, 2]), "and not behind 99 others"


def test_a_line_is_forgotten_when_its_time_has_passed(turns, clock):
    limit = count(every=1, burst=5)
    turns.ask([ask(limit)] * 8)
    clock.move(4)
    assert taken(turns, ask(limit), 5) == [True] * 4 + [False]


def test_the_second_lane_goes_behind_the_line_of_the_first(turns, clock):
    limit = count(every=1, burst=1)
    promotional = ask(limit, lane=1)
    assert [turn.wait for turn in turns.ask([promotional] * 3)] == pytest.approx([0, 1, 2])
    assert [turn.wait for turn in turns.ask([ask(limit)] * 3)] == pytest.approx([1, 2, 3])
    clock.move(1)
    back = one(turns, ask(limit, lane=1, waited=True))
    assert not back.taken
    assert back.wait == pytest.approx(3)
    assert one(turns, ask(limit, waited=True)).taken


def test_a_place_beyond_the_deadline_is_left_to_others(turns, clock):
    limit = count(every=10, burst=1)
    hasty = ask(limit, patience=5 * SECOND)
    waits = [turn.wait for turn in turns.ask([hasty] * 4)]
    assert waits == [0, 5, 5, 5]
    assert one(turns, ask(limit)).wait == 10


def test_the_door_gives_turns_ahead_and_never_more_than_the_rate(turns, clock):
    limit = count(every=0.1, burst=1)
    answers = turns.ask([ask(limit, door=300_000)] * 6)
    assert [turn.taken for turn in answers] == [True] * 4 + [False] * 2
    assert [turn.wait for turn in answers] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    clock.move(0.3)
    assert not one(turns, ask(limit, waited=True)).taken


def test_what_costs_more_takes_more(turns, clock):
    limit = count(every=0.01, burst=100)
    hundred = ask(limit, cost=100, queues=False)
    assert one(turns, hundred).taken
    assert one(turns, hundred).wait == pytest.approx(1)
    clock.move(0.5)
    assert one(turns, ask(limit, cost=50, queues=False)).taken
    assert not one(turns, ask(limit, queues=False)).taken


def test_a_changed_rate_holds_at_once_and_forgets_the_places(turns, clock):
    turns.ask([ask(count(every=60, burst=1))] * 50)
    faster = count(every=0.1, burst=2)
    assert [turn.wait for turn in turns.ask([ask(faster)] * 3)] == pytest.approx([0.1, 0.2, 0.3])


def test_a_clock_that_goes_back_neither_blocks_nor_opens(turns, clock):
    limit = count(every=1, burst=2)
    assert taken(turns, ask(limit, queues=False), 3) == [True, True, False]
    clock.move(-3600)
    assert one(turns, ask(limit, queues=False)) == Turn(taken=False, wait=1.0, held_by="a")
    clock.move(1)
    assert taken(turns, ask(limit, queues=False), 2) == [True, False]


def test_counts_are_apart(turns, clock):
    answers = turns.ask([ask(count("a")), ask(count("b")), ask(count("a"))])
    assert [turn.taken for turn in answers] == [True, True, False]


def test_both_answer_alike(redis_url, clock):
    """Whatever is asked, in whatever order, at whatever times."""
    drawn = random.Random(5)
    counts = [count(str(n), drawn.choice([0.001, 0.3, 5]), drawn.randint(1, 5)) for n in range(4)]
    alone = Alone(clock)
    with redis.Redis.from_url(redis_url) as client:
        shared = Shared(client, clock)
        for _ in range(300):
            for key in client.scan_iter():
                client.persist(key)  # Redis forgets by a clock that nobody moves
            clock.move(drawn.choice([0, 0.0001, 0.2, 3]) * drawn.random())
            if drawn.random() < 0.03:
                clock.move(-5)
            if drawn.random() < 0.03:
                changed = drawn.randrange(4)
                counts[changed] = count(str(changed), drawn.random(), drawn.randint(1, 5))
            asks = [
                ask(
                    *drawn.sample(counts, drawn.randint(1, 4)),
                    lane=drawn.randint(0, 1),
                    waited=drawn.random() < 0.4,
                    queues=drawn.random() < 0.9,
                    patience=drawn.choice([1, SECOND, DAY]),
                    door=drawn.choice([0, 300_000]),
                )
                for _ in range(drawn.randint(1, 8))
            ]
            assert alone.ask(asks) == shared.ask(asks)


def test_a_limit_is_never_exceeded_whoever_asks(turns, clock):
    """A GCRA's own promise, over every window: no more than burst + rate * time."""
    drawn = random.Random(3)
    limit = count(every=0.05, burst=4)
    passed = []
    for _ in range(400):
        clock.move(drawn.expovariate(30))
        asks = [
            ask(
                limit,
                lane=drawn.randint(0, 1),
                waited=drawn.random() < 0.5,
                door=drawn.choice([0, 100_000]),
            )
            for _ in range(drawn.randint(1, 4))
        ]
        passed += [clock.now + turn.wait * SECOND for turn in turns.ask(asks) if turn.taken]
    passed.sort()
    for first, then in itertools.combinations(range(len(passed)), 2):
        window = (passed[then] - passed[first]) / SECOND
        assert then - first + 1 <= 4 + window / 0.05 + 1e-6


# What comes of it for many.


class Crowd:
    """Messages under limits in virtual time: whoever is held comes back at its place, as late as
    feeding a queue makes it, until it has its turn."""

    def __init__(self, *, late=0.2, door=300_000):
        self.clock = Clock()
        self.turns = Limiter(alone=Alone(self.clock))
        self.drawn = random.Random(7)
        self.late = late
        self.door = door
        self.coming = []
        self.holds = {}
        self.went = {}

    def send(self, name, *counts, lane=0, at=0.0):
        self.holds[name] = 0
        heapq.heappush(self.coming, (START + round(at * SECOND), name, counts, lane))

    def run(self):
        while self.coming:
            self.clock.now = self.coming[0][0]
            batch = []
            while self.coming and self.coming[0][0] <= self.clock.now and len(batch) < 200:
                batch.append(heapq.heappop(self.coming))
            asks = [
                ask(*counts, lane=lane, waited=self.holds[name] > 0, door=self.door)
                for _, name, counts, lane in batch
            ]
            for (_, name, counts, lane), turn in zip(batch, self.turns.ask(asks), strict=True):
                at = self.clock.now + turn.wait * SECOND
                if turn.taken:
                    self.went[name] = (at - START) / SECOND
                else:
                    self.holds[name] += 1
                    back = round(at + self.drawn.uniform(0, self.late) * SECOND)
                    heapq.heappush(self.coming, (back, name, counts, lane))
        return self

    def mean_holds(self):
        return sum(self.holds.values()) / len(self.holds)


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (10, 1), (10, 10), (50, 50), (200, 20)])
def test_a_crowd_is_held_about_once_each_and_goes_at_the_full_rate(rate, burst):
    crowd = Crowd()
    limit = count(every=1 / rate, burst=burst)
    number = rate * 60
    for each in range(number):
        crowd.send(each, limit)
    crowd.run()
    assert crowd.mean_holds() <= 1.5
    assert max(crowd.holds.values()) <= 3
    assert max(crowd.went.values()) <= (number - burst) / rate / 0.95
    order = sorted(crowd.went, key=crowd.went.get)
    assert all(abs(place - name) <= rate + burst for place, name in enumerate(order))


def test_transactional_messages_pass_a_promotional_crowd():
    crowd = Crowd()
    limit = count(every=0.1, burst=10)
    for each in range(2000):
        crowd.send(("promotional", each), limit, lane=1)
    for each in range(100):
        crowd.send(("transactional", each), limit, at=20 + each * 0.01)
    crowd.run()
    transactional = [at for (kind, _), at in crowd.went.items() if kind == "transactional"]
    assert max(transactional) <= 20 + 100 / 10 + 1, "as if there were no others"
    assert max(crowd.went.values()) <= 2100 / 10 / 0.95
    assert crowd.mean_holds() <= 2.5


def test_limits_side_by_side_cost_a_crowd_no_more_than_a_few_holds():
    crowd = Crowd()
    everything, gmail = count("all", 0.1, 10), count("gmail", 0.2, 5)
    for each in range(2000):
        crowd.send(each, *([everything, gmail] if each % 2 else [everything]))
    crowd.run()
    assert max(crowd.went.values()) <= 2000 / 10 / 0.95 + 1
    assert crowd.mean_holds() <= 3


def test_a_narrow_limit_holds_up_nobody_else():
    crowd = Crowd()
    everything, narrow = count("all", 0.1, 10), count("narrow", 10, 1)
    for each in range(500):
        crowd.send(each, everything, narrow)
    crowd.send("other", everything, at=30)
    crowd.run()
    assert crowd.went["other"] == pytest.approx(30, abs=1)


# Redis, its clock, and its absence.


def test_redis_counts_by_its_own_clock_for_all_and_forgets(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        here, there = Shared(client), Shared(client)
        limit = count("secret", every=0.2, burst=2)
        assert taken(here, ask(limit, queues=False), 1) == [True]
        assert taken(there, ask(limit, queues=False), 2) == [True, False]
        (key,) = client.keys()
        assert key == b"sendpoint:limit:secret"
        assert 1000 < client.pttl(key) <= 1600
        assert len(client.get(key)) == 56


def test_nothing_but_a_script_is_sent_whatever_the_number_of_messages(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        shared = Shared(client)
        shared.ask([ask(count())])  # which loads it
        client.config_resetstat()
        shared.ask([ask(count(str(each % 3))) for each in range(200)])
        stats = client.info("commandstats")
        calls = {name: one["calls"] for name, one in stats.items() if "config" not in name}
        inside = {"cmdstat_time": 1, "cmdstat_get": 3, "cmdstat_set": 3}
        assert calls == {"cmdstat_evalsha": 1, **inside}


def test_without_redis_each_process_keeps_to_its_share_until_it_is_back(
    redis_server, redis_url, caplog
):
    clock = Clock()
    limits = limiter(redis_url)
    limits._alone, limits._clock = Alone(clock), lambda: clock() / SECOND
    limits.shares = 4
    limit = count(every=0.001, burst=40)
    assert all(taken(limits, ask(limit), 10))
    redis_server.crash()
    alone = taken(limits, ask(limit, queues=False), 40)
    assert alone == [True] * 10 + [False] * 30
    clock.move(1)
    assert sum(taken(limits, ask(limit, queues=False), 40)) == 10
    redis_server.start()
    clock.move(0.004)
    assert sum(taken(limits, ask(limit, queues=False), 40)) == 1, "Redis is not asked all the time"
    clock.move(2)
    assert sum(taken(limits, ask(limit, queues=False), 40)) == 40
    away, back = (one.getMessage() for one in caplog.records if one.name == "worker.throttle")
    assert away.startswith("Redis does not count the limits (ConnectionError)")
    assert away.endswith("this process keeps to 1/4 of each")
    assert back == "Redis counts the limits again"
    limits.close()


def test_a_redis_that_is_full_is_as_good_as_none(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        limits = Limiter(Shared(client))
        limits.shares = 2
        client.config_set("maxmemory", 1)
        try:
            assert sum(taken(limits, ask(count(every=60, burst=4), queues=False), 9)) == 2
        finally:
            client.config_set("maxmemory", 0)


def test_a_redis_that_hangs_is_as_good_as_none():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limits = limiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        limits.shares = 2
        assert sum(taken(limits, ask(count(every=60, burst=4), queues=False), 9)) == 2
        limits.close()


def test_the_first_lane_and_who_waited_are_served_first():
    limits = Limiter(alone=Alone(Clock()))
    limit = count(every=1, burst=1)
    answers = limits.ask(
        [ask(limit, lane=1), ask(limit), ask(limit, lane=1, waited=True), ask(limit, waited=True)]
    )
    assert [turn.taken for turn in answers] == [False, False, False, True]


def test_what_is_forgotten_made_no_difference(clock):
    alone = Alone(clock)
    alone.ask([ask(count(str(each), every=1, burst=1)) for each in range(100)])
    alone.ask([ask(count("long", every=3600))])
    clock.move(61)
    alone.ask([ask(count("new"))])
    assert set(alone._states) == {"long", "new"}


def test_a_broker_that_is_no_redis_is_not_asked():
    assert limiter("memory://").ask([ask(count())])[0].taken
    started = time.monotonic()
    assert limiter("amqp://127.0.0.1:1").ask([ask(count())])[0].taken
    assert time.monotonic() - started < 1
