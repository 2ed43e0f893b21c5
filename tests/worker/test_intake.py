"""What is accepted, what is refused, and that what is refused leaves nothing."""

import threading
import uuid

import pytest

from adapters.contract import permanent, temporary
from tests.worker.flow import Backend
from worker import intake, store, wire
from worker.store import tables


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    yield backend
    backend.close()


def stored(backend):
    return backend.count(tables.message_request), backend.count(tables.message_result)


def addresses(count):
    return {f"a{number}": {"ChannelType": "CUSTOM"} for number in range(count)}


def test_a_request_is_stored_and_rung_for_in_one_batch(backend):
    request_id = backend.accept(*(f"a{number}" for number in range(100)))
    assert stored(backend) == (1, 100)
    assert len(backend.rings.rung) == 100
    assert {ring.queue for ring in backend.rings.rung} == {"sendpoint.custom"}
    assert request_id.version == 7
    assert [one.address for one in backend.results(request_id).values()] == [
        f"a{number}" for number in range(100)
    ]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"Addresses": {}}, "at least one recipient"),
        ({"Addresses": addresses(101)}, "101 recipients are more than 100"),
        (
            {"Addresses": addresses(60), "Endpoints": {f"e{n}": {} for n in range(41)}},
            "101 recipients are more than 100",
        ),
        ({"TraceId": "a\0b"}, "TraceId: contains NUL"),
        ({"Context": {"a\0b": "x"}}, "Context: contains NUL"),
        ({"Context": {"ab": "x\0"}}, "Context.ab: contains NUL"),
        ({"TraceId": "\ud800"}, "TraceId: is not valid Unicode"),
        (
            {"Addresses": {"a": {"ChannelType": "CUSTOM", "Substitutions": {"x": ["\0"]}}}},
            "Addresses.a.Substitutions.x[0]: contains NUL",
        ),
    ],
)
def test_a_refused_request_names_the_member_and_stores_nothing(backend, members, says):
    with pytest.raises(wire.BadRequest) as caught:
        backend.accept("a", **members)
    assert says in caught.value.message
    assert stored(backend) == (0, 0)
    assert backend.rings.rung == []


def test_what_only_looks_like_nul_is_fine(backend):
    backend.accept("a", TraceId="\\u0000")
    assert stored(backend) == (1, 1)


def test_100_recipients_over_both_maps_are_fine(backend):
    backend.accept(
        "a", Addresses=addresses(60), Endpoints={f"e{number}": {} for number in range(40)}
    )
    assert stored(backend) == (1, 100)


def test_an_unknown_application_is_not_found_and_stores_nothing(backend):
    backend.application = "f" * 32
    with pytest.raises(wire.NotFound):
        backend.accept("a")
    assert stored(backend) == (0, 0)


def test_recipients_settled_at_intake_are_not_rung_for(backend):
    endpoint = wire.EndpointRequest(Address="a", ChannelType=wire.ChannelType.CUSTOM, OptOut="ALL")
    store.put_endpoint(backend.runtime.db, backend.application, "e1", endpoint)
    store.add_opt_out(backend.runtime.db, backend.application, "CUSTOM", "gone")
    request_id = backend.accept("a", "gone", Endpoints={"e1": {}, "nobody": {}})
    assert len(backend.rings.rung) == 1
    results = backend.results(request_id)
    assert {name: (one.state, one.delivery_status) for name, one in results.items()} == {
        "a": ("QUEUED", None),
        "gone": ("DONE", "OPT_OUT"),
        "e1": ("DONE", "OPT_OUT"),
        "nobody": ("DONE", "PERMANENT_FAILURE"),
    }


def test_the_answer_is_pinpoints(backend):
    endpoint = wire.EndpointRequest(Address="b", ChannelType=wire.ChannelType.CUSTOM)
    store.put_endpoint(backend.runtime.db, backend.application, "e1", endpoint)
    backend.adapter.says("b", permanent(410, "gone", fault=None))
    request_id = backend.accept("a", Endpoints={"e1": {}})
    pending = intake.answer(backend.runtime, backend.application, request_id)
    assert pending.Result == {
        "a": wire.MessageResult(
            DeliveryStatus=wire.DeliveryStatus.SUCCESSFUL,
            StatusCode=202,
            StatusMessage=intake.PENDING,
        )
    }
    backend.settle()
    assert intake.answer(backend.runtime, backend.application, request_id) == wire.MessageResponse(
        ApplicationId=backend.application,
        RequestId=str(request_id),
        Result={
            "a": wire.MessageResult(
                DeliveryStatus=wire.DeliveryStatus.SUCCESSFUL,
                StatusCode=200,
                StatusMessage="",
                MessageId="m",
            )
        },
        EndpointResult={
            "e1": wire.EndpointMessageResult(
                Address="b",
                DeliveryStatus=wire.DeliveryStatus.PERMANENT_FAILURE,
                StatusCode=410,
                StatusMessage="gone",
            )
        },
    )


def test_a_map_that_nobody_asked_for_is_left_out(backend):
    answer = intake.answer(backend.runtime, backend.application, backend.accept("a"))
    assert b"EndpointResult" not in wire.encode(answer)


def test_a_failed_attempt_that_will_be_repeated_is_still_pending_for_the_caller(backend):
    backend.adapter.says("a", temporary(451, "busy"))
    request_id = backend.accept("a")
    backend.work()
    answer = intake.answer(backend.runtime, backend.application, request_id)
    assert answer.Result["a"].StatusCode == 202
    assert backend.results(request_id)["a"].delivery_status == "TEMPORARY_FAILURE"


def test_waiting_ends_with_the_last_outcome_or_with_the_time(backend):
    request_id = backend.accept("a")
    assert not intake.wait_until_settled(backend.runtime, request_id, 0.01)
    waiter = threading.Thread(
        target=lambda: intake.wait_until_settled(backend.runtime, request_id, 60), daemon=True
    )
    waiter.start()
    backend.settle()
    waiter.join(30)
    assert not waiter.is_alive()


def test_request_ids_sort_by_time():
    ids = [intake.uuid7() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert [one.int >> 80 for one in ids] == sorted(one.int >> 80 for one in ids)
