"""SIGKILL at each word that the API and a worker speak with their callers, PostgreSQL, Redis and
the providers: what was accepted is delivered by those who come after, what was not leaves nothing.

`SENDPOINT_CRASH_POINTS=1` visits all of them, else those that say most.
"""

from __future__ import annotations

import contextlib
import os
import signal
from uuid import UUID

import pytest
from sqlalchemy import inspect, text

from tests.conftest import or_skip
from tests.torture import points, scene, speech, tapped, testimony
from tests.torture.tap import Moment, Word, tapping
from tests.torture.tapped import API, POSTGRESQL, SWEEP, WORKER
from worker import store

ALL = bool(os.environ.get("SENDPOINT_CRASH_POINTS"))
TELLING = {
    "intake: the request stored, the answer lost",
    "delivery: recorded, the answer lost",
}
"""Those that are visited every time."""

_STRUCK_WITHIN = _ENDED_WITHIN = 30.0  # seconds

pytestmark = pytest.mark.timeout(120)
all_only = pytest.mark.skipif(not ALL, reason="SENDPOINT_CRASH_POINTS=1 visits it")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    directory = tmp_path_factory.mktemp("points")
    with (
        or_skip(scene.opened(directory)) as held,
        tapped.deployed(held, directory / "scene") as deployment,
    ):
        yield deployment


def cases(visited, channels=("EMAIL", "SMS")):
    """Each point on each channel that it is visited on."""
    return [
        pytest.param(point, channel, id=f"{point.name}-{channel}")
        for point in visited
        for channel in channels
        if ALL or (point.name in TELLING and channel == channels[-1])
    ]


def strike(deployment, point, channel="EMAIL"):
    """Let the process of the point die at its word; wait for that with the result's `struck`."""
    peer = channel if point.peer == points.PROVIDER else point.peer
    tap = deployment.taps[point.process, peer]
    tap.arm(point.word(channel), deployment.slots[point.process].take_down)
    return tap.struck


def comes_to_it(struck, deployment):
    assert struck.wait(_STRUCK_WITHIN), f"nobody came to it: {deployment.last_words()}"


@pytest.mark.parametrize(("point", "channel"), cases(points.INTAKE, ["EMAIL"]))
def test_a_request_is_stored_whole_or_not_and_is_asked_again_to_no_harm(deployment, point, channel):
    if point.fresh:
        deployment.slots[API].take_down()
    deployment.begin()
    struck = strike(deployment, point)
    caller = deployment.call(["EMAIL", "EMAIL", "SMS"])
    comes_to_it(struck, deployment)
    stored = deployment.rows()
    deployment.slots[API].release()
    report = deployment.judged(caller)
    assert len(stored) == point.rows
    assert report.violations == ()
    assert (report.acknowledged, report.ok, report.duplicated) == (3, 3, 0)
    assert {row.id for row in deployment.rows()} >= {row.id for row in stored}
    assert deployment.sent() == 3


@pytest.mark.parametrize(("point", "channel"), cases(points.DELIVERY))
def test_a_message_ends_and_is_doubled_only_after_it_may_have_been_taken(
    deployment, point, channel
):
    deployment.begin()
    if point.fresh:
        deployment.slots[WORKER].take_down()
    struck = strike(deployment, point, channel)
    caller = deployment.call([channel])
    if point.fresh:
        deployment.slots[WORKER].release()
    comes_to_it(struck, deployment)
    (found,), sent = deployment.rows(), deployment.sent()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    assert (found.state, sent) == (point.state, point.sent)
    assert report.violations == ()
    (row,) = deployment.rows()
    lost = point.state == "SENDING"
    again = point.state != "DONE" and not (lost and channel == "SMS")
    assert row.status == ("UNKNOWN_FAILURE" if lost and channel == "SMS" else "SUCCESSFUL")
    assert deployment.sent() == sent + again
    on_record = [one.status for one in testimony.attempts(deployment.db)]
    assert on_record == ["UNKNOWN_FAILURE"] * lost


@pytest.mark.parametrize(("point", "channel"), cases(points.FAILURE, ["EMAIL"]))
def test_what_was_refused_for_now_is_sent_again(deployment, point, channel):
    deployment.begin()
    struck = strike(deployment, point)
    caller = deployment.call([channel], word="temporary-failure-once")
    comes_to_it(struck, deployment)
    (found,) = deployment.rows()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    assert found.state == point.state
    assert report.violations == ()
    assert (report.ok, report.duplicated, deployment.sent()) == (1, 0, 1)
    known = "TEMPORARY_FAILURE" if point.state == "QUEUED" else "UNKNOWN_FAILURE"
    assert [one.status for one in testimony.attempts(deployment.db)] == [known]


@pytest.mark.parametrize(("point", "channel"), cases(points.RESCUE))
def test_what_a_lost_worker_held_is_taken_back_once(deployment, point, channel):
    deployment.begin()
    deployment.slots[WORKER].take_down()
    caller = deployment.call([channel])
    caller.wait()
    lose_the_holder(deployment)
    struck = strike(deployment, point)
    deployment.slots[WORKER].release()
    comes_to_it(struck, deployment)
    (found,) = deployment.rows()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    once = channel == "SMS"
    rescued = "DONE" if once else "QUEUED"
    assert found.state == (rescued if point.state == points.RESCUED else point.state)
    assert report.violations == ()
    (row,) = deployment.rows()
    assert row.status == ("UNKNOWN_FAILURE" if once else "SUCCESSFUL")
    assert deployment.sent() == (0 if once else 1)
    assert [one.status for one in testimony.attempts(deployment.db)] == ["UNKNOWN_FAILURE"]


@pytest.mark.parametrize(("point", "channel"), cases(points.EXPIRY))
def test_what_is_late_is_closed_and_not_sent(deployment, point, channel):
    deployment.begin()
    deployment.slots[WORKER].take_down()
    caller = deployment.call([channel])
    caller.wait()
    with deployment.db.engine.begin() as connection:
        connection.execute(text("UPDATE message_result SET expires_at = clock_timestamp()"))
    struck = strike(deployment, point)
    deployment.slots[WORKER].release()
    comes_to_it(struck, deployment)
    (found,) = deployment.rows()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    assert found.state == point.state
    assert report.violations == ()
    assert [row.status for row in deployment.rows()] == ["TIMEOUT"]
    assert deployment.sent() == 0


@pytest.mark.parametrize(("point", "channel"), cases(points.FEED, ["SMS"]))
def test_what_was_rung_for_in_vain_is_rung_for_again(deployment, point, channel):
    deployment.begin()
    deployment.slots[WORKER].take_down()
    caller = deployment.call([channel, "EMAIL"])
    caller.wait()
    deployment.lose_rings()
    store.unring(deployment.db, [UUID(row.id) for row in deployment.rows()])
    struck = strike(deployment, point)
    deployment.slots[point.process].release()
    comes_to_it(struck, deployment)
    found = deployment.rows()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    assert [row.state for row in found] == [point.state] * 2
    assert report.violations == ()
    assert (report.ok, report.duplicated, deployment.sent()) == (2, 0, 2)
    assert testimony.attempts(deployment.db) == []


@all_only
@pytest.mark.parametrize("channel", ["EMAIL", "SMS"])
def test_told_to_stop_while_the_provider_is_silent_a_worker_ends_and_loses_nothing(
    deployment, channel
):
    deployment.begin()
    worker = deployment.slots[WORKER]
    tap = deployment.taps[WORKER, channel]
    sent = Word(Moment.ANSWERED, points.MESSAGE[channel])
    tap.arm(sent, lambda: worker.signal(signal.SIGTERM))
    caller = deployment.call([channel])
    comes_to_it(tap.struck, deployment)
    assert worker.worker.process.wait(_ENDED_WITHIN) == 0
    (found,) = deployment.rows()
    # A text is asked for by our id; mail cannot be, so it may come twice.
    once = channel == "SMS"
    assert found.state == ("DONE" if once else "QUEUED")
    worker.worker.killed = True  # as far as the slot needs to know
    worker.release()
    report = deployment.judged(caller)
    assert report.violations == ()
    assert (report.ok, report.duplicated, deployment.sent()) == (1, 1 - once, 2 - once)
    on_record = [one.status for one in testimony.attempts(deployment.db)]
    assert on_record == ([] if once else ["UNKNOWN_FAILURE"])


@all_only
def test_what_one_sweep_is_about_to_commit_another_leaves_alone(deployment):
    deployment.begin()
    deployment.slots[WORKER].take_down()
    caller = deployment.call(["EMAIL"])
    caller.wait()
    lose_the_holder(deployment)
    tap = deployment.taps[WORKER, POSTGRESQL]
    before_commit = next(one for one in points.RESCUE if "before COMMIT" in one.name)
    tap.arm(before_commit.word(), lambda: None)  # it is held there
    deployment.slots[WORKER].release()
    comes_to_it(tap.struck, deployment)
    deployment.slots[SWEEP].release()
    assert deployment.slots[SWEEP].worker.process.wait(_ENDED_WITHIN) == 0
    assert [row.state for row in deployment.rows()] == ["SENDING"]
    deployment.slots[WORKER].take_down()
    deployment.slots[WORKER].release()
    report = deployment.judged(caller)
    assert report.violations == ()
    assert (report.ok, report.duplicated, deployment.sent()) == (1, 0, 1)
    assert [one.status for one in testimony.attempts(deployment.db)] == ["UNKNOWN_FAILURE"]


def lose_the_holder(deployment):
    """Have the one message claimed by somebody who is never seen again."""
    (row,) = deployment.rows()
    assert len(store.claim(deployment.db, {UUID(row.id)}, lease=0.0)) == 1


@all_only
@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("CREATE TABLE message_result", Moment.ASKED),
        ("CREATE TABLE message_result", Moment.ANSWERED),
        ("^COMMIT of .*alembic_version", Moment.ASKED),
        ("^COMMIT of .*alembic_version", Moment.HALF_ASKED),
        ("^COMMIT of .*alembic_version", Moment.ANSWERED),
    ],
)
def test_a_schema_is_upgraded_whole_or_not(deployment, tmp_path, words, moment):
    servers = deployment.scene.servers
    url = servers.database()
    try:
        with tapping() as opened, contextlib.closing(store.connect(url)) as db:
            tap = opened(servers.postgres.port, speech.PostgreSQL)
            upgrade = scene.Slot(lambda: deployment.upgrade(url, tap, tmp_path / "upgrade.log"))
            tap.arm(Word(moment, words), upgrade.take_down)
            upgrade.bring_up()
            comes_to_it(tap.struck, deployment)
            done = moment is Moment.ANSWERED and words.startswith("^COMMIT")
            assert store.is_current(db) is done
            assert bool(inspect(db.engine).get_table_names()) is done
            upgrade.release()
            assert upgrade.worker.process.wait(_ENDED_WITHIN) == 0
            assert store.is_current(db)
    finally:
        servers.drop(url)
