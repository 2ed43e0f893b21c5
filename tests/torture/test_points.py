"""SIGKILL at each word that the API and a worker speak with their callers, PostgreSQL, Redis and
the providers: what was accepted is delivered by those who come after, what was not leaves nothing.

`SENDPOINT_CRASH_POINTS=1` visits all of them, else those that say most.
"""

from __future__ import annotations

import os
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.conftest import or_skip
from tests.torture import points, scene, tapped, testimony
from tests.torture.tapped import API, WORKER
from worker import store

ALL = bool(os.environ.get("SENDPOINT_CRASH_POINTS"))
TELLING = {
    "intake: committed, the answer lost",
    "delivery: recorded, the answer lost",
}
"""Those that are visited every time."""

_STRUCK_WITHIN = 30.0  # seconds

pytestmark = pytest.mark.timeout(120)


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
    (row,) = deployment.rows()
    # by somebody who is never seen again
    assert len(store.claim(deployment.db, {UUID(row.id)}, lease=0.0)) == 1
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
