"""What is told of one message, step by step."""

import pytest

from adapters.contract import Fault, indeterminate, permanent, successful, temporary, throttled
from tests.worker.flow import Backend
from worker import replay, store, story


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url, max_attempts=3)
    yield backend
    backend.close()


def told(backend, request_id):
    (message,) = store.histories(backend.runtime.db, request_id)
    return story.steps(message, backend.clock.time)


def test_an_eventful_life(backend):
    backend.adapter.says(
        "a",
        temporary(451, "greylisted"),
        throttled(429, "slower", retry_after=7),
        successful(message_id="m7"),
    )
    request_id = backend.accept("a", channel="EMAIL")
    backend.settle()
    steps = told(backend, request_id)
    assert [(one.what, one.provider, one.status, one.code, one.text) for one in steps] == [
        ("accepted", None, None, None, "queue sendpoint.email"),
        ("attempt 1", "default", "TEMPORARY_FAILURE", 451, "greylisted"),
        ("throttled", "default", "THROTTLED", 429, "slower"),
        ("settled", "default", "SUCCESSFUL", 200, ""),
        ("known to the provider", None, None, None, "as m7"),
    ]
    times = [one.at for one in steps if one.at]
    assert times == sorted(times)
    assert steps[1].fault == Fault.PROVIDER


def test_what_was_settled_at_intake(backend):
    store.add_opt_out(backend.runtime.db, backend.application, "SMS", "a")
    steps = told(backend, backend.accept("a", channel="SMS"))
    assert [one.what for one in steps] == ["accepted", "settled at once"]
    assert steps[1].status == "OPT_OUT"


def test_what_waits_and_what_is_held(backend):
    request_id = backend.accept("a")
    assert [one.what for one in told(backend, request_id)] == ["accepted", "due", "deadline"]
    (ring,) = backend.rings.rung
    for _ in range(2):
        held = store.claim(backend.runtime.db, [ring.id], lease=60)[ring.id]
        store.finish(
            backend.runtime.db,
            [store.Finish(id=ring.id, lease_token=held.lease_token, state="QUEUED", counted=False)],
        )
    steps = told(backend, request_id)
    assert [one.what for one in steps] == ["accepted", "held 2 times", "due", "deadline"]
    assert steps[2].text == "it waits for a worker"


def test_a_lost_worker_and_its_late_word(backend):
    async def stall(_):
        backend.clock.move(61)
        (now,) = store.histories(backend.runtime.db, request_id)
        assert "the next sweep" in story.steps(now, backend.clock.time)[-1].text
        backend.sweep()
        return successful(message_id="late")

    backend.adapter.says("a", stall)
    request_id = backend.accept("a", channel="SMS")
    backend.settle()
    steps = told(backend, request_id)
    assert [one.what for one in steps] == [
        *("accepted", "attempt 1", "attempt 1, too late", "settled"),
    ]
    assert [one.status for one in steps[1:]] == ["UNKNOWN_FAILURE", "SUCCESSFUL", "UNKNOWN_FAILURE"]


def test_a_failure_and_its_replay_name_each_other(backend):
    backend.adapter.says("a", permanent(550, "no", fault=Fault.RECIPIENT))
    first = backend.accept("a")
    backend.settle()
    backend.clock.move(1)
    list(replay.replay(backend.runtime, store.Wanted(application_id=backend.application)))
    (failed,) = store.histories(backend.runtime.db, first)
    (new,) = store.histories(backend.runtime.db, failed.replayed_as)
    assert str(new.request_id) in told(backend, first)[-1].text
    assert str(failed.id) in told(backend, new.request_id)[1].text
    assert store.history(backend.runtime.db, new.id) == new


def test_an_attempt_without_an_answer(backend):
    backend.adapter.says("a", indeterminate("no answer"), successful())
    request_id = backend.accept("a", channel="EMAIL")
    backend.settle()
    assert told(backend, request_id)[1].status == "UNKNOWN_FAILURE"
