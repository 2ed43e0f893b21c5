"""`sendpoint rate`: limits set, listed and removed while everything runs."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import APP
from worker import limits, store

ROOT = Path(__file__).parents[2]


def listed(prepared):
    return [tuple(one.values()) for one in json.loads(prepared("rate", "list", "--json").output)]


@pytest.mark.parametrize(
    ("owner", "what", "rate", "options", "expected"),
    [
        (APP, "all", "100/s", (), ("all", "100/s", 100)),
        (APP, "email", "50/s", ("--burst", "100"), ("EMAIL", "50/s", 100)),
        ("*", "Push", "300/m", ("--burst", "1"), ("PUSH", "300/m", 1)),
        (APP, "recipient", "5/h", (), ("recipient", "5/h", 5)),
        ("*", "domain:GMail.com", "20/s", (), ("domain:gmail.com", "20/s", 20)),
        (APP, "domain:bücher.example", "1/s", (), ("domain:xn--bcher-kva.example", "1/s", 1)),
        (APP, "sender:Shop <News@Shop.example>", "1/s", (), ("sender:news@shop.example", "1/s", 1)),
        (APP, "sender:+15550100", "1/s", (), ("sender:+15550100", "1/s", 1)),
        (APP, "sender", "7/1d", (), ("sender", "7/d", 7)),
        (APP, "provider:second", "10/30s", (), ("provider:second", "10/30s", 10)),
        (APP, "intake:requests", "10/s", (), ("intake:requests", "10/s", 10)),
        ("*", "intake:recipients", "10/s", (), ("intake:recipients", "10/s", 100)),
        (APP, "backlog", "5000", (), ("backlog", None, 5000)),
        ("*", "backlog", "0", (), ("backlog", None, 0)),
    ],
)
def test_a_limit_is_set_and_listed(prepared, owner, what, rate, options, expected):
    assert prepared("rate", "set", owner, what, rate, *options).exit_code == 0
    assert listed(prepared) == [(owner, *expected)]
    assert expected[0] in prepared("rate", "list").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((APP, "emails", "5/s"), "'emails' cannot be limited; all, adm, apns,"),
        ((APP, "recipient:+15550100", "5/s"), "cannot be limited"),
        ((APP, "domain:", "5/s"), "cannot be limited"),
        ((APP, "all", "5"), "'5' is no rate"),
        ((APP, "all", "0/s"), "would let nothing through"),
        ((APP, "all", "5/0s"), "would let nothing through"),
        ((APP, "all", "60000/s"), "at most 50000 a second"),
        ((APP, "all", "5/s", "--burst", "0"), "--burst"),
        ((APP, "intake:recipients", "5/s", "--burst", "99"), "--burst must be 100 at least"),
        ((APP, "backlog", "5/s"), "'5/s' is no bound"),
        ((APP, "backlog", "5", "--burst", "5"), "A backlog has no burst"),
        (("nobody", "all", "5/s"), "neither an application nobody nor a key"),
    ],
)
def test_what_makes_no_sense_is_refused(prepared, arguments, said):
    told = prepared("rate", "set", *arguments)
    assert told.exit_code != 0
    assert said in " ".join(told.output.split())
    assert listed(prepared) == []


def test_a_key_can_be_limited_in_what_it_hands_in(prepared, db):
    key = store.create_key(db, "ann").id
    assert prepared("rate", "set", key, "intake:requests", "5/s").exit_code == 0
    refused = prepared("rate", "set", key, "email", "5/s")
    assert "A key can be limited in intake:requests and intake:recipients only" in refused.output
    assert listed(prepared) == [(key, "intake:requests", "5/s", 5)]
    assert "ann" in prepared("rate", "list").output


def test_a_limit_is_changed_and_removed(prepared, db):
    prepared("rate", "set", APP, "email", "5/s")
    before = store.limits(db)[0].id
    prepared("rate", "set", APP, "EMAIL", "6/m", "--burst", "2")
    (one,) = store.limits(db)
    assert (one.id, one.rate, one.burst) == (before, limits.Rate(6, 60), 2)
    assert prepared("rate", "remove", APP, "Email").exit_code == 0
    assert listed(prepared) == []
    assert "has no limit on EMAIL" in prepared("rate", "remove", APP, "email").output


def test_who_waits_is_called_up_by_a_change(prepared, db):
    message = {
        "MessageConfiguration": {"DefaultMessage": {"Body": "x"}},
        "Addresses": {"+15550100200": {"ChannelType": "SMS"}},
    }
    assert prepared("send", "-", "--wait", "0", stdin=json.dumps(message)).exit_code == 0
    (ring,) = _held(db)
    assert (
        "1 messages that wait get new places" in prepared("rate", "set", APP, "sms", "9/s").output
    )
    assert prepared("rate", "set", APP, "sms", "8/s").output == ""
    assert ring


def _held(db):
    rings = store.due(db, "sendpoint.sms", {APP: 10}, room=10, again_after=10)
    claimed = store.claim(db, [one.id for one in rings], lease=60)
    store.finish(
        db,
        [
            store.Finish(
                id=one.id,
                lease_token=one.lease_token,
                state=store.State.QUEUED,
                counted=False,
                delay=3600,
            )
            for one in claimed.values()
        ],
    )
    return rings


def test_the_documentations_own_commands_do_what_it_shows(prepared):
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    console = text.partition("```console\n")[2].partition("```")[0]
    shown, said = [], []
    for line in console.splitlines():
        if line.startswith("$ "):
            words = shlex.split(
                line.removeprefix("$ sendpoint ").replace("$APP", APP), comments=True
            )
            done = prepared(*words)
            assert done.exit_code == 0, done.output
            said += [one.split() for one in done.output.splitlines()]
        else:
            shown.append(line.replace("a364221704af4aca95825535e213c18a", APP).split())
    assert len(shown) == 5
    assert sorted(said) == sorted(shown)
    assert "recipient" not in prepared("rate", "list").output


def test_check_says_who_counts(prepared):
    assert "None are set" in prepared("check").output
    prepared("rate", "set", APP, "sms", "9/s")
    assert "1 set, counted by each worker" in prepared("check").output


def test_check_says_what_is_wrong_with_redis(prepared, monkeypatch, redis_server, redis_url):
    monkeypatch.setenv("SENDPOINT_BROKER_URL", redis_url)
    prepared("rate", "set", APP, "sms", "9/s")
    assert "1 set, counted in Redis" in prepared("check").output
    redis_server.crash()
    told = prepared("check")
    assert told.exit_code == 1
