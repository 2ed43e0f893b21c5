"""Whose turn it is: how many of another's messages go before one's own, whatever waits. In turns of
a worker and not in time, so that it is the same on every machine."""

import asyncio
import contextlib

import pytest
from sqlalchemy import event

from adapters.contract import Fault, successful, temporary
from tests.worker.flow import Backend
from worker import dispatch, plan, rings, store, sweeping

WINDOW = 40
ROOM = 20  # messages in flight

SMS = {"SMSMessage": {"Body": "x", "MessageType": "TRANSACTIONAL"}}
PROMOTION = {"SMSMessage": {"Body": "x", "MessageType": "PROMOTIONAL"}}


class Shop(Backend):
    """A backend with one worker, which pops rings as the real one does (see `worker.rings`): from
    one queue at a time, in the order of its lanes, no more than it has room for."""

    def __init__(self, database_url):
        super().__init__(database_url, window=WINDOW, concurrency=ROOM)
        self.channels.application = None
        self.lanes = rings.Lanes(list(plan.QUEUES))
        self.loop = asyncio.new_event_loop()
        self.settled = {}
        self.answers = {}

    def close(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        super().close()

    def hang(self):
        """Have the application's provider answer nothing until `answer`."""
        self.answers[self.application] = asyncio.Event()
        self.adapter.by_address.default_factory = lambda: [self._send]

    def answer(self):
        """Have every provider answer again."""
        for one in self.answers.values():
            one.set()
        self.loop.run_until_complete(asyncio.wait(asyncio.all_tasks(self.loop)))

    async def _send(self, delivery):
        answers = self.answers.get(delivery.application_id)
        if answers is not None and not answers.is_set():
            self.settled[asyncio.current_task()].cancel()
            await answers.wait()
        return successful(message_id="m")

    def open(self, name):
        """Accept for a new application from now on."""
        self.application = store.create_application(self.runtime.db, name).id
        return self.application

    def fill(self, count, **members):
        """Accept so many messages for the application."""
        for start in range(0, count, 100):
            numbers = range(start, min(start + 100, count))
            self.accept(*(f"+1425555{number:04}" for number in numbers), **members)

    def turn(self):
        """One bulk of rings, and then what a worker does all the time."""
        self.deliver(self._pop())
        self.clock.move(0.02)
        sweeping.feed(self.runtime)

    def _pop(self):
        for queue in self.lanes.consume(len(plan.QUEUES)):
            found = [one for one in self.rings.rung if one.queue == queue]
            if found:
                self.lanes.rotate(queue)
                most = ROOM // 2 if queue == plan.PROMOTIONAL else ROOM
                self.rings.rung = [one for one in self.rings.rung if one not in found[:most]]
                return found[:most]
        return []

    def deliver(self, due):
        """Until each is done, or hangs: then the worker takes others, as its pool does."""
        for one in due:
            task = self.loop.create_task(dispatch.deliver(self.runtime, one.id, one.lane))
            self.settled[task] = self.loop.create_future()
            task.add_done_callback(self._ended)
        if due:
            self.loop.run_until_complete(asyncio.wait(self.settled.values()))

    def _ended(self, task):
        self.settled.pop(task).cancel()

    def in_flight(self):
        return 2 * ROOM - self.runtime.places.left

    def before(self, address):
        """How many messages go before one that was just accepted."""
        already = len(self.adapter.sent)
        for _ in range(200):
            sent = [one.address for one in self.adapter.sent[already:]]
            if address in sent:
                return sent.index(address)
            self.turn()
        raise AssertionError(f"{address} is not sent after {len(sent)} others")


@contextlib.contextmanager
def writes(db):
    """The statements of the block that change rows."""
    written = []

    def statement(_connection, _cursor, sql, *_):
        if "UPDATE message_result" in sql:
            written.append(sql)

    event.listen(db.engine, "before_cursor_execute", statement)
    yield written
    event.remove(db.engine, "before_cursor_execute", statement)


@pytest.fixture
def shop(database_url):
    shop = Shop(database_url)
    yield shop
    shop.close()


@pytest.mark.parametrize("bulk", [300, 2000])
def test_a_message_waits_for_a_window_and_not_for_anothers_backlog(shop, bulk):
    shop.fill(bulk, channel="SMS", MessageConfiguration=SMS)
    for _ in range(3):
        shop.turn()
    shop.open("other")
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550100") <= WINDOW + ROOM
    assert shop.rows_open() >= bulk - 3 * WINDOW - 2 * ROOM, "the backlog is still there"


def test_a_backlog_of_many_others_is_waited_for_no_longer(shop):
    for number in range(10):
        shop.open(f"bulk{number}")
        shop.fill(100, channel="SMS", MessageConfiguration=SMS)
    shop.open("other")
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550100") <= 100 + WINDOW + ROOM, "what had rung before, and a window"


def test_equal_shares_whatever_the_backlogs(shop):
    big = shop.application
    shop.fill(1000, channel="SMS", MessageConfiguration=SMS)
    small = shop.open("small")
    shop.fill(300, channel="SMS", MessageConfiguration=SMS)
    while len(shop.adapter.sent) < 400:
        shop.turn()
    sent = [one.application_id for one in shop.adapter.sent[200:]]
    assert abs(sent.count(big) - sent.count(small)) <= WINDOW


def test_promotion_waits_for_every_transactional_message(shop):
    shop.fill(1000, channel="SMS", MessageConfiguration=PROMOTION)
    for _ in range(3):
        shop.turn()
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550100") == 0, "although 1,000 of the same application are before it"
    shop.fill(100, channel="SMS", MessageConfiguration=SMS)
    already = len(shop.adapter.sent)
    for _ in range(100 // ROOM):
        shop.turn()
    assert not any(one.message.promotional for one in shop.adapter.sent[already:])
    while shop.rows_open() > 800:
        shop.turn()
    assert shop.adapter.sent[-1].message.promotional, "and goes when there is room again"


def test_a_limit_on_one_application_leaves_the_worker_to_the_others(shop):
    """What is held comes back when its time has come, and not before."""
    shop.limit("all", "1/m")
    shop.fill(600, channel="SMS", MessageConfiguration=SMS)
    for _ in range(60):
        shop.turn()
    assert len(shop.adapter.sent) == 1
    assert shop.rings.rung == []
    shop.open("other")
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550100") == 0


def test_without_a_broker_the_shares_are_the_same(shop):
    shop.fill(1000, channel="SMS", MessageConfiguration=PROMOTION)
    shop.fill(1000, channel="SMS", MessageConfiguration=SMS)
    shop.rings.broken = True
    shop.clock.move(60)
    other = shop.open("other")
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    here = sweeping.feed(shop.runtime, ROOM).here
    assert len(here) == ROOM
    shop.deliver(here)
    assert other in {one.application_id for one in shop.adapter.sent}
    assert not any(one.message.promotional for one in shop.adapter.sent)


def test_a_provider_that_fails_for_one_holds_up_nobody(shop):
    broken = shop.application
    down = temporary(503, "down", fault=Fault.PROVIDER)

    async def send(delivery):
        return down if delivery.application_id == broken else successful(message_id="m")

    for number in range(600):
        shop.adapter.says(f"+1425555{number:04}", send)
    shop.fill(600, channel="SMS", MessageConfiguration=SMS)
    for _ in range(40):
        shop.turn()
    shop.open("other")
    shop.accept("+15550100", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550100") <= WINDOW + ROOM


def test_a_provider_that_hangs_for_one_delays_nobody(shop):
    """Only its own, whatever waits of it: and the database is not asked for those again and again.
    Each of the others has places, too, if theirs hang as well; and all go when they answer."""
    shop.hang()
    shop.fill(1000, channel="SMS", MessageConfiguration=SMS)
    for _ in range(2 * WINDOW):
        shop.turn()
    assert shop.in_flight() == ROOM, "one alone may have as many as ever"
    shop.open("other")
    for number in range(20):
        shop.accept(f"+1555010{number:02}", channel="SMS", MessageConfiguration=SMS)
        assert shop.before(f"+1555010{number:02}") == 0
    with writes(shop.runtime.db) as written:
        for _ in range(50):
            shop.turn()
    assert not written, "nothing of it is rung for, nor claimed, while it has no room"
    shop.open("another")
    shop.hang()
    shop.fill(1000, channel="SMS", MessageConfiguration=SMS)
    for _ in range(WINDOW):
        shop.turn()
    assert shop.in_flight() == ROOM + (2 * ROOM - ROOM) // 2
    shop.open("third")
    shop.accept("+15550200", channel="SMS", MessageConfiguration=SMS)
    assert shop.before("+15550200") == 0
    shop.answer()
    for _ in range(2000 // ROOM * 4):
        shop.turn()
    assert shop.rows_open() == 0
    assert len(shop.adapter.sent) == 2021
