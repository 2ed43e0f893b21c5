"""`sendpoint providers`, in a process of its own."""

import json
import signal

import pytest

from tests.cli import processes
from tests.cli.conftest import APP
from worker import store

READY = "Ctrl-C stops them"
REQUEST = {
    "Addresses": {
        "ann@example.com": {"ChannelType": "EMAIL"},
        "dead-token@example.com": {"ChannelType": "EMAIL"},
    },
    "MessageConfiguration": {
        "EmailMessage": {"SimpleEmail": {"Subject": {"Data": "Hi"}, "TextPart": {"Data": "Ho"}}}
    },
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_application_sends_to_the_doubles_meanwhile(prepared, db, directory, number):
    with processes.started("providers", "--app", APP, cwd=directory) as process:
        process.wait_for(READY)
        assert len(store.channels(db, APP)) == 11
        with processes.started("up", "--port", "0", cwd=directory, sandbox="off") as backend:
            backend.wait_for("Ctrl-C stops it")
            (directory / "request.json").write_text(json.dumps(REQUEST))
            sent = processes.run(
                *("send", "request.json", "--app", APP, "--wait", "20"), cwd=directory
            )
        assert [row.split()[:5] for row in sent.stdout.splitlines()[2:]] == [
            ["ann@example.com", "EMAIL", "DONE", "SUCCESSFUL", "200"],
            ["dead-token@example.com", "EMAIL", "DONE", "PERMANENT_FAILURE", "550"],
        ]
        assert process.stop(number) == 0
        said = process.said()
    assert "Traceback" not in said
    lines = [line.split() for line in said.splitlines()]
    assert ["EMAIL", "ann@***om", "250"] in lines
    assert ["EMAIL", "dead***om", "550"] in lines
    assert "ann@example.com" not in said
    assert "\x1b" not in said
    assert lines[-1] == ["Stopped"]
    assert store.channels(db, APP) == {}


def test_settings_can_be_kept_and_are_taken_over(prepared, db, directory):
    ready = directory / "ready"
    for arguments in (["--keep"], ["--ready-file", str(ready)]):
        with processes.started("providers", "--app", APP, *arguments, cwd=directory) as process:
            process.wait_for(READY)
            assert process.stop(signal.SIGTERM) == 0
        assert bool(store.channels(db, APP)) is ("--keep" in arguments)
    assert ready.exists()


def test_channels_that_wait_for_their_provider_are_there_afterwards(prepared, db, directory):
    details = {"FromAddress": "shop@example.com"}
    for name, enabled in (("EMAIL", True), ("VOICE", False)):
        store.change_channel(db, APP, name, lambda _: (), enabled=enabled, details=details)
    with processes.started("providers", "--app", APP, cwd=directory) as process:
        process.wait_for(READY)
        during = store.channels(db, APP)
        assert process.stop(signal.SIGINT) == 0
    assert {name for name, one in during.items() if not one.enabled} == {"VOICE"}
    assert all(one.providers for one in during.values())
    after = store.channels(db, APP)
    assert {name: one.enabled for name, one in after.items()} == {"EMAIL": True, "VOICE": False}
    assert all(not one.providers and one.details == details for one in after.values())


def test_an_application_with_providers_of_its_own_is_not_touched(prepared, db):
    store.set_channel(db, APP, "EMAIL", adapter="sandbox", settings={})
    before = store.channels(db, APP)
    told = prepared("providers", "--app", APP)
    assert told.exit_code == 1
    assert f"The application {APP} has settings of its own for EMAIL" in told.output
    assert store.channels(db, APP) == before


def test_no_such_application(prepared):
    assert prepared("providers", "--app", "nobody").exit_code == 1


def test_without_an_application_nothing_is_needed(directory):
    with processes.started("providers", cwd=directory) as process:
        said = process.wait_for(READY)
        assert process.stop(signal.SIGINT) == 0
    assert said.splitlines()[0].split() == ["TYPE", "ADAPTER", "LISTENS", "AT"]
    assert len(said.splitlines()) == 13
    assert not (directory / ".sendpoint").exists()
