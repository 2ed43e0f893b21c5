"""`sendpoint prune`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.cli.conftest import APP
from worker import intake, store


@pytest.fixture
def old(db):
    """101 requests, each with one message, that were settled 40 days ago, and one of
    yesterday; when those were."""
    old = datetime.now(UTC) - timedelta(days=40)
    lately = datetime.now(UTC) - timedelta(hours=23)
    for number in range(102):
        then = lately if number == 101 else old
        id_ = UUID(int=int(then.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number)
        request = store.Request(request_id=id_, application_id=APP, body="{}")
        store.save(replace(db, now=lambda then=then: then), request, [settled()], ttl=60)
    return old


def settled():
    return store.Recipient(
        id=intake.uuid7(),
        position=0,
        channel_type="SMS",
        address="+15550100000",
        queue="sendpoint.sms",
        ring_in=0.0,
        delivery_status="OPT_OUT",
        status_code=200,
        status_message="",
    )


def said(told):
    assert told.exit_code == 0, told.output
    return told.stdout.splitlines()


def test_without_yes_it_only_counts(prepared, old):
    for arguments in ((), ("--dry-run",)):
        (line,) = said(prepared("prune", "--older-than", "30d", *arguments))
        assert line.startswith("101 requests with 101 messages, settled before ")
        assert line.endswith("would be deleted: say --yes to do it")


def test_it_deletes_and_tells_how_far_it_is(prepared, old, monkeypatch):
    monkeypatch.setenv("SENDPOINT_RETENTION", str(30 * 86400))
    told = prepared("prune", "--yes", "--batch", "1")
    (line,) = said(told)
    assert line.startswith("Deleted 101 requests with 101 messages, settled before ")
    assert told.stderr.splitlines() == [f"100 messages so far, at {old:%Y-%m-%d %H:%M}"]
    (line,) = said(prepared("prune", "--older-than", "86400s"))
    assert line.startswith("0 requests"), "but yesterday's is not so old yet"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "or set SENDPOINT_RETENTION"),
        (("--older-than", "1h"), "SENDPOINT_DEDUPE_WINDOW, 86400 seconds"),
        (("--older-than", "soon"), "no length of time"),
    ],
)
def test_what_cannot_be(prepared, arguments, says):
    told = prepared("prune", *arguments, "--yes")
    assert told.exit_code == 2
    assert says in told.output
