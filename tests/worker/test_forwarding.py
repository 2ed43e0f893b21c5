"""From the database to the sink: in order, by one process at a time, at least once, never lost."""

import asyncio
import json

import pytest

from tests.worker.flow import Backend
from worker import forwarding, sinks, store
from worker.store import tables

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
OTHER = "arn:aws:kinesis:eu-central-1:123456789012:stream/other"


class Sink:
    """A sink that keeps what it takes; `trouble` is what it says instead, or after it has."""

    def __init__(self):
        self.taken = []
        self.portions = []
        self.trouble = None
        self.after = None
        self.closed = 0

    async def put(self, destination, events):
        if self.trouble is not None:
            raise self.trouble
        self.taken += [(destination, json.loads(one.record)["n"]) for one in events]
        self.portions.append(len(events))
        if self.after is not None:
            raise self.after

    async def aclose(self):
        self.closed += 1


@pytest.fixture
def backend(database_url):
    one = Backend(database_url, sweep_interval=0.01)
    one.runtime.sink = Sink()
    stream(one, one.application, STREAM)
    yield one
    one.close()


def stream(backend, application, destination):
    store.put_event_stream(
        backend.runtime.db, application, destination=destination, role="r", by=None
    )


def write(backend, *numbers, application=None, **more):
    application = application or backend.application
    store.add_events(
        backend.runtime.db,
        [store.Event(application, json.dumps({"n": one, **more})) for one in numbers],
    )


def forward(backend):
    async def all_there_is():
        while await forwarding.forward(backend.runtime):
            pass

    asyncio.run(all_there_is())


def waiting(backend):
    return backend.count(tables.event)


def test_events_are_told_in_order_and_forgotten(backend):
    write(backend, *range(1200))
    forward(backend)
    assert backend.runtime.sink.taken == [(STREAM, n) for n in range(1200)]
    assert backend.runtime.sink.portions == [500, 500, 200]
    assert waiting(backend) == 0
    write(backend, 1200)
    forward(backend)
    assert backend.runtime.sink.taken[-1] == (STREAM, 1200)


def test_it_goes_on_at_once_only_while_more_than_it_takes_at_a_time_is_waiting(backend):
    """A round costs as much for one event as for a full portion."""
    write(backend, *range(forwarding.BATCH + 1))
    assert asyncio.run(forwarding.forward(backend.runtime))
    assert not asyncio.run(forwarding.forward(backend.runtime))
    assert not asyncio.run(forwarding.forward(backend.runtime))
    assert len(backend.runtime.sink.taken) == forwarding.BATCH + 1


def test_a_round_that_takes_long_ends_where_the_turn_is_anothers(backend, monkeypatch):
    """The turn is taken once a round, and again once another portion might outlast it."""
    now = [0.0]
    monkeypatch.setattr(forwarding.time, "monotonic", lambda: now[0])
    sink = backend.runtime.sink

    async def put(destination, events):
        await Sink.put(sink, destination, events)
        now[0] += sinks.SECONDS + 1
        backend.clock.move(forwarding._TURN_SECONDS + 1)
        assert store.take_turn(backend.runtime.db, forwarding._TURN, holder="other", seconds=60)

    sink.put = put
    write(backend, *range(4), text="x" * 600_000)
    forward(backend)
    assert sink.portions == [1]
    assert waiting(backend) == 3


def test_each_stream_is_told_its_own(backend):
    other = store.create_application(backend.runtime.db, "other").id
    stream(backend, other, OTHER)
    for n in range(3):
        write(backend, n)
        write(backend, n, application=other)
    forward(backend)
    taken = backend.runtime.sink.taken
    assert [n for name, n in taken if name == STREAM] == [0, 1, 2]
    assert [n for name, n in taken if name == OTHER] == [0, 1, 2]


def test_large_events_go_in_portions(backend):
    write(backend, *range(5), text="x" * 400_000)
    forward(backend)
    assert backend.runtime.sink.portions == [2, 2, 1]
    write(backend, 5, text="x" * 2_000_000)
    forward(backend)
    assert backend.runtime.sink.portions[-1] == 1


def test_what_a_sink_does_not_take_waits(backend):
    write(backend, 1, 2)
    backend.runtime.sink.trouble = sinks.NotTaken("full")
    for _ in range(2):
        with pytest.raises(sinks.NotTaken):
            forward(backend)
    assert waiting(backend) == 2
    backend.runtime.sink.trouble = None
    forward(backend)
    assert backend.runtime.sink.taken == [(STREAM, 1), (STREAM, 2)]


def test_a_sink_that_hangs_is_left(backend, monkeypatch):
    async def hang(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(sinks, "SECONDS", 0.01)
    backend.runtime.sink.put = hang
    write(backend, 1)
    with pytest.raises(sinks.NotTaken, match="No answer"):
        forward(backend)
    assert waiting(backend) == 1


def test_what_was_taken_without_an_answer_is_told_again(backend):
    write(backend, 1, 2)
    backend.runtime.sink.after = sinks.NotTaken("the answer was lost")
    with pytest.raises(sinks.NotTaken):
        forward(backend)
    backend.runtime.sink.after = None
    forward(backend)
    assert backend.runtime.sink.taken == [(STREAM, 1), (STREAM, 2)] * 2


def test_one_process_at_a_time_tells(backend, monkeypatch):
    write(backend, 1)
    forward(backend)
    write(backend, 2)
    first = backend.runtime.name
    backend.runtime.name = "another"
    forward(backend)
    assert waiting(backend) == 1, "it is not its turn"
    backend.clock.move(forwarding._TURN_SECONDS + 1)
    forward(backend)
    assert waiting(backend) == 0, "the first is gone"
    write(backend, 3)
    backend.runtime.name = first
    forward(backend)
    assert waiting(backend) == 1, "and has lost its turn"


def test_a_process_that_stops_tells_what_is_left_and_leaves_its_turn(backend):
    write(backend, 1)
    asyncio.run(forwarding.finish(backend.runtime))
    assert backend.runtime.sink.taken == [(STREAM, 1)]
    assert backend.runtime.sink.closed == 1
    backend.runtime.name = "another"
    write(backend, 2)
    forward(backend)
    assert backend.runtime.sink.taken == [(STREAM, 1), (STREAM, 2)]


def test_a_process_that_stops_leaves_what_the_sink_does_not_take(backend, caplog):
    write(backend, 1)
    backend.runtime.sink.trouble = sinks.NotTaken("away")
    asyncio.run(forwarding.finish(backend.runtime))
    assert "left to another process" in caplog.text
    assert (waiting(backend), backend.runtime.sink.closed) == (1, 1)


def test_a_stream_that_was_deleted_is_told_nothing_more(backend):
    write(backend, 1)
    store.delete_event_stream(backend.runtime.db, backend.application)
    forward(backend)
    assert backend.runtime.sink.taken == []
    assert waiting(backend) == 0


def test_events_that_wait_for_too_long_are_given_up(backend, caplog):
    write(backend, *range(5))
    backend.clock.move(backend.runtime.settings.events_keep - 1)
    write(backend, 5)
    assert forwarding.give_up(backend.runtime) == 0
    backend.clock.move(2)
    assert forwarding.give_up(backend.runtime) == 5
    assert "5 events are given up" in caplog.text
    forward(backend)
    assert backend.runtime.sink.taken == [(STREAM, 5)]


def test_of_too_many_events_the_oldest_are_given_up(database_url):
    backend = Backend(database_url, events_most=10)
    try:
        backend.runtime.sink = Sink()
        stream(backend, backend.application, STREAM)
        write(backend, *range(25))
        assert forwarding.give_up(backend.runtime) == 15
        forward(backend)
        assert [n for _, n in backend.runtime.sink.taken] == [*range(15, 25)]
    finally:
        backend.close()


def test_it_goes_on_after_trouble_and_says_so_once(backend, caplog):
    """The loop itself, in real time: from trouble of every kind back to telling."""
    write(backend, 1)
    sink = backend.runtime.sink
    troubles = [sinks.NotTaken("away"), RuntimeError("a bug"), sinks.NotTaken("away"), None]

    async def put(destination, events):
        sink.trouble = troubles.pop(0)
        await Sink.put(sink, destination, events)

    sink.put = put

    async def until_told():
        task = asyncio.ensure_future(forwarding.keep_forwarding(backend.runtime))
        while "Events are told again" not in caplog.text:  # noqa: ASYNC110 - a log sets no event
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(asyncio.wait_for(until_told(), 30))
    assert sink.taken == [(STREAM, 1)]
    assert caplog.text.count("Events wait until they can be told") == 1
    assert caplog.text.count("Events could not be told") == 1


def test_without_a_sink_there_is_nothing_to_do(backend):
    backend.runtime.sink = None
    write(backend, 1)
    asyncio.run(forwarding.keep_forwarding(backend.runtime))
    asyncio.run(forwarding.finish(backend.runtime))
    assert waiting(backend) == 1
