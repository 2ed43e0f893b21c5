"""`sendpoint failures`, `why` and `replay`."""

import json
from uuid import UUID

import pytest

from tests.cli.conftest import APP
from tests.cli.test_messages import REQUEST, send
from worker import store


@pytest.fixture
def failed(prepared):
    """The ids of two requests that failed at once: their endpoints are not there."""
    return [
        json.loads(
            send(prepared, {**REQUEST, "Addresses": {}, "Endpoints": {name: {}}}, "--json").output
        )["RequestId"]
        for name in ("first", "second")
    ]


def lines(told):
    assert told.exit_code == 0, told.output
    return told.output.splitlines()


def test_failures_as_a_table(prepared, failed):
    head, *rows = lines(prepared("failures"))
    assert head.split()[:5] == ["FAILED", "RECIPIENT", "CHANNEL", "PROVIDER", "STATUS"]
    assert ["second" in rows[0], "first" in rows[1]] == [True, True]
    assert "PERMANENT_FAILURE" in rows[0]
    assert "Resource not found" in rows[0]
    assert len(lines(prepared("failures", "--limit", "1"))) == 2


def test_failures_as_json(prepared, failed):
    found = [json.loads(line) for line in lines(prepared("failures", "--json"))]
    assert [one["RequestId"] for one in found] == failed[::-1]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--since", "1h"), 2),
        (("--until", "1h"), 0),
        (("--since", "2020-01-01", "--code", "404"), 2),
        (("--channel", "sms"), 0),
        (("--fault", "recipient", "--status", "permanent_failure"), 2),
        (("--replayed",), 0),
        (("--not-replayed",), 2),
        (("--app", APP, "--provider", "x"), 0),
    ],
)
def test_filters(prepared, failed, arguments, count):
    assert len(lines(prepared("failures", "--json", *arguments))) == count


@pytest.mark.parametrize(
    "arguments", [("--since", "soon"), ("--since", "3x"), ("--channel", "pigeon"), ("--code", "x")]
)
def test_filters_that_cannot_be(prepared, arguments):
    assert prepared("failures", *arguments).exit_code == 2


def test_why(prepared, failed, db):
    (one,) = store.histories(db, UUID(failed[0]))
    for id_ in (str(one.id), failed[0]):
        first, second, head, *steps = lines(prepared("why", id_))
        assert first == f"Message {one.id} of request {failed[0]}"
        assert second == "No channel to first"
        assert head.split()[:3] == ["WHEN", "WHAT", "BY"]
        assert [("accepted" in step, "settled at once" in step) for step in steps] == [
            (True, False),
            (False, True),
        ]
    told = json.loads(prepared("why", failed[0], "--json", "--to", "first").output)
    assert told["Steps"][1]["StatusCode"] == 404


@pytest.mark.parametrize("arguments", [(), ("--to", "second")])
def test_why_of_nothing(prepared, failed, arguments):
    id_ = failed[0] if arguments else "00000000-0000-7000-8000-000000000000"
    told = prepared("why", id_, *arguments)
    assert told.exit_code == 1
    assert "There is no message" in told.output


def test_a_replay_only_tells_unless_it_is_to_be_done(prepared, failed, db):
    head, row, last = lines(prepared("replay"))
    assert head.split() == ["CHANNEL", "STATUS", "CODE", "COUNT", "REPLAY"]
    assert row.split() == ["PERMANENT_FAILURE", "404", "2", "yes"]
    assert last == "2 would be sent again: say --yes to do it"
    assert len(store.failures(db, store.Wanted(application_id=APP), size=10)) == 2


def test_a_replay(prepared, failed, db):
    told = lines(prepared("replay", "--request", failed[0], "--yes"))
    assert told[-1].startswith("0 are sent again, 1 were settled at once, 0 were too old")
    words = [line.split()[-1] for line in lines(prepared("replay"))[1:-1]]
    assert sorted(words) == ["before", "yes"]
    found = store.failures(db, store.Wanted(application_id=APP), size=10)
    assert sorted(one.standing for one in found) == ["READY", "READY", "REPLAYED"]
