"""Commands that set an installation up: db, app, channel, check, and how mistakes are told."""

import dataclasses
import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import APP
from worker import settings, store, vault

MIGRATIONS = Path(__file__).parents[2] / "migrations" / "versions"


def test_version(sendpoint):
    assert sendpoint("--version").output == "sendpoint 0.1.0\n"


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "api",
        "worker",
        "db",
        "app",
        "channel",
        "key",
        "send",
        "results",
        "sweep",
        "check",
        "import-from-pinpoint",
        "providers",
    ],
)
def test_every_command_says_what_it_does(sendpoint, command):
    told = sendpoint(command, "--help")
    assert told.exit_code == 0
    assert told.output.startswith(f"Usage: sendpoint {command} ")


def test_a_database_is_created_for_its_owner_only(sendpoint, directory):
    assert sendpoint("db", "upgrade").output == "The schema is current\n"
    file = directory / ".sendpoint" / "sendpoint.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert sendpoint("db", "upgrade").exit_code == 0
    assert sendpoint("db", "status").output == "The schema is current\n"


def test_without_a_database_a_command_says_what_to_do_and_creates_none(sendpoint, directory):
    told = sendpoint("app", "list")
    assert told.exit_code == 1
    assert told.output == (
        "Error: There is no database .sendpoint/sendpoint.db: run `sendpoint up`, "
        "or `sendpoint db upgrade`\n"
    )
    assert list(directory.iterdir()) == []


def test_an_old_schema_is_told(prepared):
    assert prepared("db", "downgrade", "base", "--yes").output == "The schema is at base\n"
    told = prepared("db", "status")
    assert told.exit_code == 1
    assert "run `sendpoint db upgrade`" in told.output


def test_a_schema_goes_back_only_when_that_is_said_twice(prepared):
    told = prepared("db", "downgrade", "0001").output.splitlines()
    assert told[0].split() == ["REVISION", "OF"]
    assert [line.split()[0] for line in told[1:-1]] == sorted(
        (one.stem[:4] for one in MIGRATIONS.glob("0*.py") if one.stem[:4] > "0001"), reverse=True
    )
    assert told[-1].endswith("say --yes to do it")
    assert prepared("db", "status").exit_code == 0, "nothing was done"


def test_a_revision_that_is_not_is_told_those_there_are(prepared):
    told = prepared("db", "downgrade", "nonsense", "--yes")
    assert told.exit_code == 1
    assert told.output.startswith("Error: There is no revision nonsense: base, 0001, 0002")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SENDPOINT_PORT", "eighty", "SENDPOINT_PORT must be a whole number"),
        ("SENDPOINT_SANDBOX", "maybe", "SENDPOINT_SANDBOX must be on or off"),
        ("SENDPOINT_SANDBOXX", "on", "SENDPOINT_SANDBOXX is not a setting"),
        (
            "SENDPOINT_DATABASE_URL",
            "mysql://u:hunter2@h/d",
            "SENDPOINT_DATABASE_URL must be sqlite:///",
        ),
    ],
)
def test_a_wrong_setting_is_named(prepared, monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    told = prepared("app", "list")
    assert told.exit_code == 1
    assert words in told.output
    assert told.output.count("\n") == 1
    assert "hunter2" not in told.output


def test_debug_shows_the_traceback(prepared, monkeypatch):
    monkeypatch.setenv("SENDPOINT_DATABASE_URL", "mysql://h/d")
    told = prepared("--debug", "app", "list")
    assert isinstance(told.exception, ValueError)


def test_applications(prepared):
    created = prepared("app", "create", "blog").output.strip()
    assert len(created) == 32
    assert prepared("app", "list").output == f"ID{' ' * 32}NAME\n{created}  blog\n{APP}  shop\n"
    assert json.loads(prepared("app", "list", "--json").output) == [
        {"Id": created, "Name": "blog"},
        {"Id": APP, "Name": "shop"},
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["shop", "--id", "UPPER"], 2, "32 lower-case hex digits"),
        (["shop", "--id", APP], 1, "already"),
        (["x" * 65], 2, "1 to 64 characters"),
    ],
)
def test_applications_that_cannot_be(prepared, arguments, code, words):
    told = prepared("app", "create", *arguments)
    assert told.exit_code == code
    assert words in told.output


def test_values_get_the_type_of_their_setting(prepared, db, directory):
    (directory / "secret.json").write_text('{"password": "from the file", "port": 25}')
    told = prepared(
        *("channel", "set", APP, "email", "smtp", "--file", "secret.json"),
        *("host=127.0.0.1", "username=0815", "security=tls", "port=2525"),
    )
    assert told.output == f"EMAIL of {APP} is sent with smtp\n"
    (provider,) = store.channels(db, APP)["EMAIL"].providers
    assert (provider.name, provider.adapter, provider.weight) == ("default", "smtp", 1)
    assert provider.settings == {
        "host": "127.0.0.1",
        "username": "0815",
        "password": "from the file",
        "security": "tls",
        "port": 2525,
    }


def test_a_channel_is_replaced_and_disabled(prepared, db):
    prepared("channel", "set", APP, "CUSTOM", "webhook", "url=https://hooks.example/a")
    told = prepared(
        *("channel", "set", APP, "CUSTOM", "webhook", "--disable", "--file", "-"),
        stdin='{"url": "https://hooks.example/b", "allow_private": ["10.0.0.0/8"]}',
    )
    assert told.output == f"CUSTOM of {APP} is stored but disabled\n"
    settings = {"url": "https://hooks.example/b", "allow_private": ["10.0.0.0/8"]}
    assert store.channels(db, APP)["CUSTOM"] == store.Channel(
        "CUSTOM", (store.Provider("default", "webhook", settings),), enabled=False, version=2
    )


def test_a_channel_has_providers_that_come_and_go(prepared, db):
    prepared("channel", "set", APP, "CUSTOM", "webhook", "url=https://hooks.example/a")
    spare = ("--provider", "spare", "--weight", "0")
    prepared("channel", "set", APP, "CUSTOM", "webhook", "url=https://hooks.example/b", *spare)
    shown = json.loads(prepared("channel", "show", APP, "custom", "--json").output)
    assert [(one["Name"], one["Weight"]) for one in shown[0]["Providers"]] == [
        ("default", 1),
        ("spare", 0),
    ]
    told = prepared("channel", "remove", APP, "CUSTOM")
    assert told.output == f"CUSTOM of {APP} has no provider default any more\n"
    assert prepared("channel", "remove", APP, "CUSTOM").exit_code == 1
    assert [one.name for one in store.channels(db, APP)["CUSTOM"].providers] == ["spare"]


def test_keys_are_made_and_changed(prepared, db, monkeypatch):
    prepared("channel", "set", APP, "CUSTOM", "webhook", "url=https://hooks.example/a")
    old = Path(settings.load().secret_keys_file).read_text().strip()
    new = prepared("secrets", "new-key").output.strip()
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", f"{new},{old}")
    assert prepared("secrets", "rotate").output.startswith("1 channel settings were encrypted")
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", new)
    assert "hooks.example" in prepared("channel", "show", APP).output
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", old)
    told = prepared("channel", "show", APP)
    assert told.exit_code == 1
    assert "is not known here" in told.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["EMAIL", "smtp", "host=h", "hots=h"], 2, "no setting hots; it has: host, port,"),
        (["EMAIL", "smtp", "host=h", "port=0"], 1, "port"),
        (["EMAIL", "smtp"], 1, "host"),
        (["EMAIL", "smtp", "host"], 2, "'host' is not KEY=VALUE"),
        (["EMAIL", "pigeon"], 2, "There is no adapter 'pigeon'; there are:"),
        (["PIGEON", "smtp"], 2, "Invalid value for 'TYPE'"),
        (["EMAIL", "smtp", "--file", "-"], 2, "--file must hold a JSON object"),
    ],
)
def test_a_channel_that_cannot_be_is_not_stored(prepared, db, arguments, code, words):
    told = prepared("channel", "set", APP, *arguments, stdin="[]")
    assert told.exit_code == code
    assert words in told.output
    assert store.channels(db, APP) == {}


def test_a_channel_of_no_application(prepared):
    told = prepared("channel", "set", "nobody", "CUSTOM", "sandbox")
    assert told.exit_code == 1
    assert "There is no application nobody" in told.output


def test_secrets_are_not_shown(prepared, db):
    settings = {
        "host": "h",
        "password": "hunter2",
        "api_key": "hunter2",
        "headers": {"X-Token": "hunter2", "X-Shop": "1"},
        "client_secrets": ["hunter2"],
        "port": 25,
        "private_key": "",
        # As UpdateGcmChannel and a certificate's file have them.
        "service_account": '{"project_id": "shop", "private_key": "hunter2"}',
        "certificate": "-----BEGIN PRIVATE KEY-----\nhunter2",
        "broken": '{"private_key": "-----BEGIN PRIVATE KEY-----\nhunter2',
    }
    store.set_channel(db, APP, "EMAIL", adapter="smtp", settings=settings)
    assert json.loads(prepared("channel", "show", APP, "--json").output) == [
        {
            "ChannelType": "EMAIL",
            "Enabled": True,
            "Version": 1,
            "Providers": [
                {
                    "Name": "default",
                    "Adapter": "smtp",
                    "Weight": 1,
                    "Settings": {
                        "host": "h",
                        "password": "********",
                        "api_key": "********",
                        "headers": {"X-Token": "********", "X-Shop": "1"},
                        "client_secrets": ["********"],
                        "port": 25,
                        "private_key": "",
                        "service_account": {"project_id": "shop", "private_key": "********"},
                        "certificate": "********",
                        "broken": "********",
                    },
                }
            ],
        }
    ]
    table = prepared("channel", "show", APP, "email").output
    assert "hunter2" not in table
    assert table.splitlines()[1].startswith("EMAIL  default   1       smtp     enabled  1        {")


def test_a_channel_that_is_not_there(prepared):
    told = prepared("channel", "show", APP, "SMS")
    assert (told.exit_code, told.output) == (
        1,
        f"Error: The application {APP} has no channel SMS\n",
    )


def test_check(prepared, db):
    store.set_channel(db, APP, "SMS", adapter="sandbox", settings={})
    store.set_channel(db, APP, "EMAIL", adapter="smtp", settings={}, enabled=False)
    well = prepared("check")
    assert well.exit_code == 0
    assert [line.split()[:1] + line.split()[-1:] for line in well.output.splitlines()] == [
        ["WHAT", "WHY"],
        ["database", "ok"],
        ["broker", "ok"],
        ["limits", "set"],
        ["workers", "up`"],
        ["EMAIL", "disabled"],
        ["SMS", "asked"],
    ]
    store.set_channel(db, APP, "EMAIL", adapter="smtp", settings={"hots": "h"})
    ill = prepared("check")
    assert ill.exit_code == 1
    assert "EMAIL of shop (default: smtp)   wrong   Adapter 'smtp':" in ill.output


def test_check_says_how_many_workers_there_are(prepared, db):
    assert "workers   none    What is accepted waits until there is one" in prepared("check").output
    store.be_present(db, uuid4(), 15)
    store.be_present(db, uuid4(), 15)
    assert "workers   ok      2 running" in prepared("check").output


def test_check_goes_on_past_channels_that_no_known_key_opens(prepared, db, monkeypatch):
    other = store.create_application(db, "other").id
    store.set_channel(db, other, "SMS", adapter="sandbox", settings={})
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", vault.new_key())
    known = dataclasses.replace(db, vault=settings.load().vault())
    store.set_channel(known, APP, "SMS", adapter="sandbox", settings={})
    told = prepared("check")
    assert told.exit_code == 1
    found = [line.split() for line in told.output.splitlines()]
    (other,) = (line for line in found if line[:3] == ["channels", "of", "other"])
    assert (other[3], other[-3:]) == ("wrong", ["SENDPOINT_SECRET_KEYS", "needs", "it"])
    assert ["SMS", "of", "shop", "(default:", "sandbox)", "ok"] in [line[:6] for line in found]


def test_a_channel_without_a_provider_is_shown_and_is_wrong_unless_there_is_a_sandbox(
    prepared, db, monkeypatch
):
    """As an import leaves it, and UpdateSmsChannel."""
    store.change_channel(db, APP, "SMS", lambda _: (), enabled=True, details={})
    shown = prepared("channel", "show", APP).output.splitlines()
    assert shown[1].split() == ["SMS", "-", "-", "-", "enabled", "1", "-"]
    well = prepared("check")
    assert well.exit_code == 0
    assert f"SMS of shop  sandbox  It has no provider: `sendpoint channel set {APP} SMS" in (
        well.output
    )
    monkeypatch.setenv("SENDPOINT_SANDBOX", "off")
    ill = prepared("check")
    assert ill.exit_code == 1
    assert "SMS of shop  wrong   It has no provider" in ill.output


def test_check_says_whether_events_can_be_told(prepared, db, directory, monkeypatch):
    stream = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
    store.put_event_stream(db, APP, destination=stream, role="r", by=None)
    nowhere = prepared("check")
    assert nowhere.exit_code == 1
    assert "events of shop  wrong   It has an event stream, but SENDPOINT_EVENTS" in nowhere.output
    monkeypatch.setenv("SENDPOINT_EVENTS", "file:events.jsonl")
    well = prepared("check")
    assert well.exit_code == 0
    assert ["events", "ok"] in [line.split() for line in well.output.splitlines()]
    assert not (directory / "events.jsonl").exists(), "it only looks"
    monkeypatch.setenv("SENDPOINT_EVENTS", "redis://:hidden@127.0.0.1:1/0")
    ill = prepared("check")
    assert ill.exit_code == 1
    assert "Redis: ConnectionError; check SENDPOINT_EVENTS" in ill.output
    assert "hidden" not in ill.output


def test_check_without_a_database(sendpoint):
    told = sendpoint("check")
    assert told.exit_code == 1
    assert "database  wrong   There is no database .sendpoint/sendpoint.db" in told.output


@pytest.mark.parametrize("command", ["api", "worker"])
def test_api_and_worker_need_a_broker_they_share(prepared, command):
    told = prepared(command)
    assert told.exit_code == 1
    assert "Use `sendpoint up`, which is both, or set SENDPOINT_BROKER_URL" in told.output


def test_queues_that_are_not(prepared):
    told = prepared("worker", "--queues", "push,fax")
    assert told.exit_code == 2
    assert "'fax' is none of push, sms, voice, email, custom, sms.promotional" in told.output
