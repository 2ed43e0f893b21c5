"""What failed is found, explained and sent again: once, to those who still may get it."""

import itertools
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from adapters.contract import Fault, indeterminate, permanent, successful, temporary
from tests.worker.flow import Backend
from worker import replay, store, wire
from worker.store import tables

BAD = permanent(550, "no such user", fault=Fault.RECIPIENT)
DOWN = temporary(503, "down")


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url, max_attempts=2)
    yield backend
    backend.close()


@pytest.fixture
def failed(backend):
    """Sends to these addresses, in vain; from now on they can be sent to."""

    def fail(*addresses, outcomes=(BAD,), **members):
        for one in addresses:
            backend.adapter.says(one, *outcomes)
        request_id = backend.accept(*addresses, **members)
        backend.settle()
        backend.clock.move(1)
        backend.adapter.by_address.clear()
        backend.adapter.sent.clear()
        return request_id

    return fail


def wanted(backend, **filters):
    return store.Wanted(application_id=backend.application, **filters)


def failures(backend, **filters):
    return store.failures(backend.runtime.db, wanted(backend, **filters), size=100)


def again(backend, *, unsure=False, size=500, **filters):
    batches = replay.replay(backend.runtime, wanted(backend, **filters), unsure=unsure, size=size)
    return sum(batches, replay.Batch())


def sent(backend):
    """The addresses that are sent to from now on, each once."""
    backend.settle()
    addresses = [one.address for one in backend.adapter.sent]
    assert len(addresses) == len(set(addresses))
    return sorted(addresses)


def test_what_failed_is_told_with_whose_fault_it_was(backend, failed):
    request_id = failed("a", "b")
    backend.accept("fine")
    backend.settle()
    found = failures(backend)
    assert {one.address for one in found} == {"a", "b"}
    one = found[0]
    assert (one.request_id, one.provider, one.fault) == (request_id, "default", "RECIPIENT")
    assert (one.delivery_status, one.status_code) == ("PERMANENT_FAILURE", 550)
    assert (one.standing, one.replayed_as) == (store.Standing.READY, None)


def test_what_failed_at_intake_is_a_failure_too(backend):
    backend.accept("a", Endpoints={"nobody": {}})
    (one,) = failures(backend)
    assert (one.endpoint_id, one.status_code, one.fault) == ("nobody", 404, "RECIPIENT")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"channel_type": "SMS"}, "s"),
        ({"channel_type": "CUSTOM"}, "ad"),
        ({"status": "PERMANENT_FAILURE"}, "ads"),
        ({"status": "UNKNOWN_FAILURE"}, "u"),
        ({"code": 550}, "as"),
        ({"fault": "PROVIDER"}, "du"),
        ({"provider": "default"}, "adsu"),
        ({"provider": "other"}, ""),
        ({"standing": [store.Standing.UNSURE]}, "u"),
        ({"standing": [store.Standing.READY, store.Standing.REPLAYED]}, "ads"),
        ({"channel_type": "EMAIL", "code": 550}, ""),
    ],
)
def test_filters(backend, failed, filters, found):
    failed("a")
    failed("s", channel="SMS")
    failed("d", outcomes=[DOWN])
    failed("u", channel="VOICE", outcomes=[indeterminate("no answer")])
    got = failures(backend, **filters)
    assert sorted(one.address for one in got) == sorted(found)
    counted = store.count_failures(backend.runtime.db, wanted(backend, **filters))
    assert sum(one.count for one in counted) == len(found)


def test_filters_by_time_and_request(backend, failed):
    first = failed("a")
    backend.clock.move(60)
    at = backend.clock.time
    failed("b")
    assert [one.address for one in failures(backend, since=at)] == ["b"]
    assert [one.address for one in failures(backend, until=at)] == ["a"]
    assert [one.address for one in failures(backend, request_id=first)] == ["a"]


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_have_everything_once(backend, failed, oldest_first):
    names = [f"a{number}" for number in range(7)]
    failed(*names)  # at the same time, all of them
    pages, mark = [], None
    while page := store.failures(
        backend.runtime.db, wanted(backend), size=3, after=mark, oldest_first=oldest_first
    ):
        pages.append([one.address for one in page])
        mark = page[-1].mark
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(itertools.chain(*pages)) == names


def test_another_applications_failures_are_not_ours(backend, failed):
    failed("a")
    backend.application = store.create_application(backend.runtime.db, "other").id
    backend.channels.application = None
    assert failures(backend) == []
    assert again(backend) == replay.Batch()


def test_a_replay_is_a_new_request_and_changes_nothing_of_the_old(backend, failed):
    request_id = failed("a", "b", outcomes=[DOWN])
    before = backend.results(request_id)
    backend.clock.move(3 * 86400)
    assert again(backend) == replay.Batch(sent=2)
    assert sent(backend) == ["a", "b"]
    assert backend.results(request_id) == before
    replays = {one.replayed_as for one in failures(backend)}
    assert len(replays) == 1
    (new,) = replays
    assert [one.delivery_status for one in backend.results(new).values()] == ["SUCCESSFUL"] * 2
    assert {one.standing for one in failures(backend)} == {store.Standing.REPLAYED}


def test_a_replay_has_all_attempts_before_it_and_can_be_replayed_itself(backend, failed):
    failed("a", outcomes=[DOWN])
    backend.adapter.says("a", DOWN)
    assert again(backend).sent == 1
    backend.settle()
    assert [one.attempt for one in failures(backend)] == [2, 2]
    backend.clock.move(1)
    backend.adapter.by_address.clear()
    backend.adapter.sent.clear()
    assert again(backend).sent == 1, "the second, not the first again"
    assert sent(backend) == ["a"]


def test_a_replay_is_what_was_sent(backend, failed):
    failed(
        "a",
        MessageConfiguration={"DefaultMessage": {"Body": "Hello {{Name}}"}},
        Addresses={"a": {"ChannelType": "CUSTOM", "Substitutions": {"Name": ["Ann"]}}},
        TraceId="t",
    )
    again(backend)
    backend.settle()
    assert "Hello Ann" in str(backend.adapter.sent[0].message)


def test_a_replay_is_resumed_by_beginning_it_again(backend, failed):
    failed(*(f"a{number}" for number in range(10)))
    batches = replay.replay(backend.runtime, wanted(backend), size=4)
    assert next(batches) == replay.Batch(sent=4)
    batches.close()  # interrupted
    assert [one.sent for one in replay.replay(backend.runtime, wanted(backend), size=4)] == [4, 2]
    assert len(sent(backend)) == 10


@pytest.mark.parametrize("promotional", [False, True])
def test_a_replay_leaves_half_of_the_backlog_to_what_comes_now(backend, failed, promotional):
    """It waits until the workers have made room, and is not refused."""
    sms = {"SMSMessage": {"Body": "x", "MessageType": "PROMOTIONAL" if promotional else None}}
    numbers = [f"+142555501{number:02}" for number in range(30)]
    failed(*numbers, channel="SMS", MessageConfiguration=sms)
    store.set_limit(backend.runtime.db, backend.application, "backlog", None, 12)
    backend.runtime.rates.forget()
    waiting, waited = [], []

    def wait(seconds):
        waited.append(seconds)
        waiting.append(backend.rows_open())
        backend.accept("+14255550198", channel="SMS", MessageConfiguration=sms)  # finds room
        backend.settle()
        backend.clock.move(seconds)

    batches = replay.replay(backend.runtime, wanted(backend), size=2, wait=wait)
    assert sum(batches, replay.Batch()).sent == 30
    assert waiting == [6] * 4
    assert all(0 < one <= 1 for one in waited)
    backend.settle()
    assert set(numbers) <= {one.address for one in backend.adapter.sent}


def test_without_a_bound_a_replay_does_not_wait(backend, failed):
    failed("a", "b", "c")
    store.set_limit(backend.runtime.db, backend.application, "backlog", None, 0)
    backend.runtime.rates.forget()
    batches = replay.replay(backend.runtime, wanted(backend), size=1, wait=pytest.fail)
    assert len(list(batches)) == 3


def test_what_fails_again_at_once_is_not_replayed_for_ever(backend, failed):
    failed("a", "b")
    backend.channels.missing.add("CUSTOM")
    assert again(backend, size=1) == replay.Batch(settled=2)
    assert len(failures(backend)) == 4


def test_several_people_replay_at_once_and_everybody_is_sent_to_once(backend, failed):
    for batch in range(4):
        failed(*(f"a{batch}.{number}" for number in range(10)))
    barrier = threading.Barrier(8)
    tallies = []

    def run(size):
        barrier.wait()
        tallies.append(again(backend, size=size))

    threads = [threading.Thread(target=run, args=(size,)) for size in (3, 4, 5, 7, 11, 13, 40, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tallies) == 8
    assert sum(one.sent for one in tallies) == 40
    assert len(sent(backend)) == 40


def test_who_opted_out_since_gets_nothing(backend, failed):
    failed("a", "b", channel="SMS")
    store.add_opt_out(backend.runtime.db, backend.application, "SMS", "a")
    assert again(backend) == replay.Batch(sent=1, settled=1)
    assert sent(backend) == ["b"]
    (replayed,) = {one.replayed_as for one in failures(backend)}
    assert backend.results(replayed)["a"].delivery_status == "OPT_OUT"


def endpoint(backend, **members):
    new = {"Address": "old", "ChannelType": "CUSTOM", "User": {"UserId": "ann"}} | members
    request = wire.convert(new, wire.EndpointRequest)
    store.update_endpoints(backend.runtime.db, backend.application, [("e", request)])


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ({"OptOut": "ALL"}, "OPT_OUT"),
        ({"EndpointStatus": "INACTIVE"}, "PERMANENT_FAILURE"),
        ({"User": {"UserId": "bob"}}, "PERMANENT_FAILURE"),
        ({"Address": "new"}, "SUCCESSFUL"),
    ],
)
def test_an_endpoint_is_sent_to_as_it_is_now(backend, failed, now, status):
    endpoint(backend)
    backend.adapter.says("old", BAD)
    failed(Endpoints={"e": {}}, outcomes=[BAD])
    if not failures(backend):
        pytest.fail("it did not fail")
    endpoint(backend, **now)
    tally = again(backend)
    assert tally.total == 1
    assert sent(backend) == (["new"] if status == "SUCCESSFUL" else [])
    (one,) = [one for one in failures(backend) if one.replayed_as]
    assert backend.results(one.replayed_as)["e"].delivery_status == status


def test_an_endpoint_that_is_gone(backend, failed):
    endpoint(backend)
    backend.adapter.says("old", BAD)
    failed(Endpoints={"e": {}})
    store.delete_endpoint(backend.runtime.db, backend.application, "e")
    assert again(backend) == replay.Batch(settled=1)
    assert sent(backend) == []


@pytest.mark.parametrize("channel", ["SMS", "VOICE", "EMAIL"])
def test_what_may_have_been_delivered_is_left_alone_unless_asked_for(backend, failed, channel):
    failed("u", channel=channel, outcomes=[indeterminate("no answer")])
    assert again(backend) == replay.Batch()
    assert again(backend, unsure=True) == replay.Batch(sent=1)
    assert sent(backend) == ["u"]


def test_an_attempt_without_an_answer_before_the_last_one_counts_too(backend, failed):
    failed("u", channel="EMAIL", outcomes=[indeterminate("no answer"), BAD])
    (one,) = failures(backend)
    assert one.delivery_status == "PERMANENT_FAILURE"
    assert again(backend) == replay.Batch()


def test_what_turned_out_to_be_delivered_is_never_sent_again(backend):
    async def stall(_):
        backend.clock.move(61)
        backend.sweep()
        return successful(message_id="late")

    backend.adapter.says("u", stall)
    backend.accept("u", channel="SMS")
    backend.settle()
    (one,) = failures(backend)
    assert (one.delivery_status, one.standing) == ("UNKNOWN_FAILURE", store.Standing.DELIVERED)
    assert again(backend, unsure=True) == replay.Batch()


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("APNS", {"APNSMessage": {"Body": "x", "TimeToLive": 600}}),
        ("APNS_VOIP_SANDBOX", {"APNSMessage": {"Body": "x", "TimeToLive": 600}}),
        ("GCM", {"GCMMessage": {"Body": "x", "TimeToLive": 600}}),
        ("BAIDU", {"BaiduMessage": {"Body": "x", "TimeToLive": 600}}),
        ("ADM", {"ADMMessage": {"Body": "x", "ExpiresAfter": "600"}}),
    ],
)
def test_a_time_to_live_goes_on(backend, failed, channel, message):
    failed("a", channel=channel, MessageConfiguration=message)
    failed("b", channel=channel, MessageConfiguration=message)
    backend.clock.move(400)
    backend.adapter.says("b", BAD)
    assert again(backend) == replay.Batch(sent=2)
    backend.settle()
    ages = {one.address: one.age for one in backend.adapter.sent}
    assert all(400 <= age < 410 for age in ages.values())
    backend.clock.move(200)
    assert again(backend) == replay.Batch(expired=1), "the replay of the replay"


def test_now_or_never_is_never_replayed(backend, failed):
    failed("a", channel="GCM", MessageConfiguration={"GCMMessage": {"Body": "x", "TimeToLive": 0}})
    assert again(backend) == replay.Batch(expired=1)
    assert sent(backend) == []


def test_a_one_time_code_is_never_replayed(backend, failed):
    failed("a", channel="SMS")
    with backend.runtime.db.engine.begin() as connection:
        body = '{"MessageConfiguration":{"SMSMessage":{"Body":"1"}},"OneTimeCode":true}'
        connection.execute(update(tables.message_request).values(body=body))
    assert again(backend, unsure=True) == replay.Batch(expired=1)


def test_a_replay_of_an_application_that_is_gone(backend, failed):
    failed("a")
    backend.channels.application = "another"
    with pytest.raises(wire.NotFound):
        again(backend)


def test_a_deadline_begins_anew(backend, failed):
    request_id = failed("a", outcomes=[DOWN])
    backend.clock.move(10 * 86400)
    again(backend)
    (one,) = failures(backend)
    (new,) = backend.results(one.replayed_as).values()
    left = new.expires_at - backend.clock.time
    assert left == timedelta(seconds=backend.runtime.settings.message_ttl)
    assert request_id != one.replayed_as
