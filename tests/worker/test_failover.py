"""Several providers on a channel: shares by weight, failing over, and nobody sent to by two."""

import collections

import pytest
from sqlalchemy import func, select

from adapters.contract import Fault, indeterminate, permanent, successful, temporary
from tests.worker.flow import Backend, Script
from worker import retry, store, sweeping
from worker.store import tables


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    backend.one, backend.two = Script(), Script()
    backend.channels.providers = {"one": backend.one, "two": backend.two}
    yield backend
    backend.close()


class Failing(Script):
    """Says one thing to everybody."""

    def __init__(self, outcome):
        super().__init__()
        self.by_address = collections.defaultdict(lambda: [outcome])


def provider_of(backend, request_id, address="a"):
    ring_id = backend.results(request_id)[address].id
    with backend.runtime.db.reading() as connection:
        return connection.exec_driver_sql(
            f"SELECT provider FROM message_result WHERE id = '{ring_id.hex}'"
        ).scalar()


def addresses(count):
    return [f"a{number}" for number in range(count)]


def test_traffic_is_shared_by_weight_and_the_row_says_by_whom(backend):
    backend.channels.weights = {"one": 3, "two": 1}
    request_id = backend.accept(*addresses(100))
    backend.settle()
    assert len(backend.one.sent) + len(backend.two.sent) == 100
    assert 60 <= len(backend.one.sent) <= 90
    by = {provider_of(backend, request_id, one.address) for one in backend.two.sent}
    assert by == {"two"}


def test_a_spare_gets_nothing_while_the_others_are_well(backend):
    backend.channels.weights = {"two": 0}
    backend.accept(*addresses(50))
    backend.settle()
    assert (len(backend.one.sent), len(backend.two.sent)) == (50, 0)


@pytest.mark.parametrize(
    "outcome",
    [temporary(503, "down"), permanent(535, "password", fault=Fault.CREDENTIALS)],
)
def test_a_failing_provider_is_left_and_its_messages_go_by_the_other(backend, outcome):
    backend.one = backend.channels.providers["one"] = Failing(outcome)
    backend.channels.weights = {"two": 0}
    request_ids = [backend.accept(*addresses(20))]
    backend.work()
    assert len(backend.one.sent) == 20, "all were under way before it was known"
    request_ids += [backend.accept(*addresses(20)) for _ in range(4)]
    backend.settle()
    for request_id in request_ids:
        results = backend.results(request_id).values()
        assert {one.delivery_status for one in results} == {"SUCCESSFUL"}
    assert len(backend.two.sent) == 100
    assert len(backend.one.sent) < 25, "the breaker spared it all but probes"


def test_a_recipients_fault_moves_nothing(backend):
    nobody = permanent(550, "nobody", fault=Fault.RECIPIENT)
    backend.one = backend.channels.providers["one"] = Failing(nobody)
    backend.channels.weights = {"two": 0}
    request_id = backend.accept(*addresses(50))
    backend.settle()
    assert (len(backend.one.sent), len(backend.two.sent)) == (50, 0)
    results = backend.results(request_id).values()
    assert {one.delivery_status for one in results} == {"PERMANENT_FAILURE"}


def test_with_one_provider_a_pause_costs_time_and_no_attempts(backend):
    down = [temporary(503, "down")] * 8

    async def outage(_):
        return down.pop() if down else successful()

    backend.channels.providers = {"one": backend.one}
    backend.one.by_address = collections.defaultdict(lambda: [outage])
    request_id = backend.accept(*addresses(30))
    took = backend.settle(limit=500)
    results = backend.results(request_id).values()
    assert {one.delivery_status for one in results} == {"SUCCESSFUL"}
    assert sum(one.attempt for one in results) == 30 + 8, "each fault cost one attempt, no more"
    assert took > 5 + 10 + 20, "the pause doubled with each probe that failed"


def test_what_waits_for_a_provider_that_is_well_again_goes_soon(backend):
    """However long it was left alone; and until then the database is asked next to nothing."""
    times = []

    async def outage(_):
        times.append(backend.clock().timestamp())
        return temporary(503, "down") if times[-1] < until else successful()

    until = backend.clock().timestamp() + 120
    backend.runtime.policy = retry.Policy(max_attempts=100, backoff_base=0.1, backoff_cap=0.1)
    backend.channels.providers = {"one": backend.one}
    backend.one.by_address = collections.defaultdict(lambda: [outage])
    for _ in range(2):
        backend.accept(*addresses(100))
    backend.settle(limit=500)
    last, first = max(one for one in times if one < until), min(one for one in times if one > until)
    assert first - last > 60, "it was left alone for more than a minute"
    assert max(times) - first < 17
    claims = backend.scalar(select(func.sum(tables.message_result.c.lease_token)))
    assert claims < 3 * 200, "once to fail, once to go, and a few in between"


def test_another_channel_of_the_queue_goes_on(backend):
    backend.channels.providers = {"one": backend.one}

    async def firebase_is_down(delivery):
        return temporary(503, "down") if delivery.channel == "GCM" else successful()

    backend.one.by_address = collections.defaultdict(lambda: [firebase_is_down])
    for number in range(20):
        backend.accept(f"a{number}", channel="GCM")
        backend.work()
    assert not backend.runtime.places.paused
    request_id = backend.accept("b", channel="APNS")
    backend.work()
    assert backend.results(request_id)["b"].delivery_status == "SUCCESSFUL"


def test_what_one_may_have_goes_to_no_other(backend):
    backend.channels.weights = {"two": 0}
    backend.one.says("a", indeterminate("silence"), successful())
    request_id = backend.accept("a")
    backend.work()
    backend.channels.weights = {"one": 0, "two": 1}
    backend.settle()
    assert backend.results(request_id)["a"].delivery_status == "SUCCESSFUL"
    assert (len(backend.one.sent), len(backend.two.sent)) == (2, 0)


def test_after_a_crash_nobody_else_sends_it(backend):
    backend.channels.weights = {"two": 0}
    request_id = backend.accept("a")
    (ring,) = backend.rings.rung
    backend.rings.rung.clear()
    claimed = store.claim(backend.runtime.db, [ring.id], lease=60)[ring.id]
    assignment = store.Assignment(claimed.id, claimed.lease_token, "one")
    assert store.assign(backend.runtime.db, [assignment]) == [True]
    backend.channels.weights = {"one": 0, "two": 1}  # and the worker dies
    backend.settle()
    assert backend.results(request_id)["a"].delivery_status == "SUCCESSFUL"
    assert (len(backend.one.sent), len(backend.two.sent)) == (1, 0)


def test_a_message_whose_lease_is_lost_is_handed_to_nobody(backend):
    backend.accept("a")
    (ring,) = backend.rings.rung
    stale = store.claim(backend.runtime.db, [ring.id], lease=60)[ring.id]
    backend.clock.move(61)
    sweeping.sweep(backend.runtime)
    assignment = store.Assignment(stale.id, stale.lease_token, "one")
    assert store.assign(backend.runtime.db, [assignment]) == [False]


def test_a_provider_that_was_removed_leaves_an_unknown_outcome(backend):
    backend.channels.weights = {"two": 0}
    backend.one.says("a", indeterminate("silence"))
    request_id = backend.accept("a")
    backend.work()
    del backend.channels.providers["one"]
    backend.settle()
    result = backend.results(request_id)["a"]
    assert result.delivery_status == "UNKNOWN_FAILURE"
    assert "was removed" in result.status_message
    assert backend.two.sent == []


def test_a_provider_that_can_be_asked_is_asked_before_an_sms_is_given_up(backend):
    class Asked(Script):
        asked = 0

        async def find(self, delivery):
            self.asked += 1
            return successful(message_id="SM1") if delivery.address == "+14255550100" else None

    adapter = Asked()
    backend.channels.providers = {"one": adapter}
    for number in ("+14255550100", "+14255550101"):
        adapter.says(number, indeterminate("silence"))
    request_id = backend.accept("+14255550100", "+14255550101", channel="SMS")
    backend.settle()
    results = backend.results(request_id)
    assert results["+14255550100"].delivery_status == "SUCCESSFUL"
    assert results["+14255550100"].message_id == "SM1"
    assert results["+14255550101"].delivery_status == "UNKNOWN_FAILURE"
    assert adapter.asked == 2
    assert len(adapter.sent) == 2
