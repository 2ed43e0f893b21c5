"""`sendpoint import-from-pinpoint`."""

import json
import signal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests import account
from tests.cli import processes
from tests.http import api
from tests.worker.test_saved import APP, APPLICATION, ENDPOINT, GCM
from worker import http, importing
from worker import runtime as runtime_
from worker.settings import Settings
from worker.store import tables

ENDPOINTS = 8_000
GUIDE = Path(__file__).parents[2] / "docs/migrating-from-pinpoint.md"
SEGMENT = "ChannelType,Address\nSMS,+15550100200\n"


@pytest.fixture
def ready(sendpoint):
    assert sendpoint("db", "upgrade").exit_code == 0
    return sendpoint


def save(directory, **files):
    root = directory / "saved"
    root.mkdir(exist_ok=True)
    for name, value in files.items():
        (root / name).write_text(value if isinstance(value, str) else json.dumps(value, indent=4))
    return str(root)


def test_an_import_says_what_it_did_and_what_is_left_to_do(ready, directory):
    root = save(directory, app=APPLICATION, channel=GCM, endpoint=ENDPOINT, segment=SEGMENT)
    told = ready("import-from-pinpoint", root, "--app", APP, "--report", "report.json")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert "Looking: 100 %" in lines
    assert "endpoint     2         0          0" in lines
    assert f"  sendpoint channel set {APP} GCM fcm --file SETTINGS.json" in lines
    report = json.loads((directory / "report.json").read_text())
    assert report["Complete"] is True
    assert report["Counts"]["endpoint"] == {"Imported": 2, "Unchanged": 0, "Skipped": 0}
    assert report["ChannelsToSet"][0]["ChannelType"] == "GCM"
    assert APP in ready("app", "list").output
    again = ready("import-from-pinpoint", root, "--app", APP)
    assert "endpoint     0         2          0" in again.output.splitlines()


def test_a_dry_run_stores_nothing(ready, directory):
    root = save(directory, app=APPLICATION, endpoint=ENDPOINT)
    told = ready("import-from-pinpoint", root, "--dry-run")
    assert told.exit_code == 0
    assert "Read 2 files (a dry run: nothing was stored)" in told.output
    assert "endpoint     1         0          0" in told.output
    assert APP not in ready("app", "list").output


def test_what_somebody_must_look_at_is_an_exit_code(ready, directory):
    root = save(directory, segment=SEGMENT, note="call bob\n", empty="")
    told = ready("import-from-pinpoint", root, "--report", "report.json")
    assert told.exit_code == 1
    assert "names no application: say which one it belongs to with --app" in told.output
    assert f"({root}/segment:2)" in told.output
    findings = json.loads((directory / "report.json").read_text())["Findings"]
    assert {one["Where"] for one in findings if not one["Attention"]} == {f"{root}/empty"}
    assert "+15550100200" not in json.dumps(findings)
    told = ready("import-from-pinpoint", root, "--app", "gone")
    assert told.exit_code == 1
    assert told.output.splitlines()[-1].startswith("Error: There is no application gone")
    assert ready("import-from-pinpoint", "nowhere").exit_code == 2


def test_the_guide_shows_what_is_printed(ready, directory):
    account.save(directory / "saved", 2000)
    told = ready("import-from-pinpoint", "saved", "--dry-run")
    assert told.exit_code == 0
    printed = told.output[told.output.index("Read ") :]
    assert f"```\n{printed}```\n" in GUIDE.read_text(encoding="utf-8")


@pytest.mark.timeout(180)
def test_a_saved_account_that_is_taken_over_with_interruptions_answers_as_before(
    directory, database_url
):
    """Ctrl-C and then a kill in the middle, and an import that runs to its end."""
    root = directory / "saved"
    account.save(root, ENDPOINTS)
    setting = {"database_url": database_url}
    assert processes.run("db", "upgrade", cwd=directory, **setting).returncode == 0
    command = "import-from-pinpoint", str(root), "--report", "report.json"
    for number, words, code in (
        (signal.SIGINT, "Endpoints: 10 %", 1),
        (signal.SIGKILL, "Endpoints: 50 %", -signal.SIGKILL),
    ):
        with processes.started(*command, cwd=directory, **setting) as process:
            process.wait_for(words)
            assert process.stop(number) == code
            assert "Traceback" not in process.said()
            assert ("Run the same command again" in process.said()) is (code == 1)
    told = processes.run(*command, cwd=directory, **setting)
    assert told.returncode == 0, told.stdout
    report = json.loads((directory / "report.json").read_text())
    counts = report["Counts"]["endpoint"]
    assert counts["Imported"] + counts["Unchanged"] == ENDPOINTS + 4
    assert counts["Unchanged"] >= importing.BATCH, "what was stored before the kill stays"
    assert {one["ChannelType"] for one in report["ChannelsToSet"]} == {"APNS", "EMAIL", "SMS"}
    served = Settings(
        database_url=database_url, inbox=str(directory / "inbox"), sandbox=True, wait=0
    )
    runtime = runtime_.open_runtime(served)
    try:
        with runtime.db.reading() as connection:
            count = select(func.count()).select_from(tables.endpoint)
            assert connection.execute(count).scalar_one() == ENDPOINTS
        with http.serving(runtime) as url:
            _answers_as_before(api.Api(url, runtime, account.SHOP).boto3())
    finally:
        runtime.close()


def _answers_as_before(pinpoint):
    shop = {"ApplicationId": account.SHOP}
    apps = pinpoint.get_apps()["ApplicationsResponse"]["Item"]
    assert {(one["Id"], one["Name"]) for one in apps} == {
        (account.SHOP, "shop"),
        (account.NEWS, "newsletter"),
    }
    for number in (0, 1, 2, 3, ENDPOINTS // 2, ENDPOINTS - 1):
        before = account.endpoint(number)
        found = pinpoint.get_endpoint(**shop, EndpointId=before["Id"])["EndpointResponse"]
        assert found == before
    found = pinpoint.get_application_settings(**shop)["ApplicationSettingsResource"]
    assert found["QuietTime"] == {"End": "08:00", "Start": "22:00"}
    assert found["Limits"]["Daily"] == 5
    found = pinpoint.get_channels(**shop)["ChannelsResponse"]["Channels"]
    assert {name: one["Enabled"] for name, one in found.items()} == {
        "APNS": True,
        "EMAIL": True,
        "SMS": True,
        "VOICE": False,
    }
    found = pinpoint.get_email_channel(**shop)["EmailChannelResponse"]
    assert (found["FromAddress"], found["Version"]) == ("shop@example.com", 3)
    # The active version is not the newest, and the newest is there.
    for version in ({}, {"Version": "2"}):
        before = account.template("SMS", int(version.get("Version", 1)))
        found = pinpoint.get_sms_template(TemplateName="welcome", **version)["SMSTemplateResponse"]
        assert {**found, "Arn": before["Arn"]} == before
    for call in (
        pinpoint.get_email_template,
        pinpoint.get_push_template,
        pinpoint.get_voice_template,
    ):
        call(TemplateName="welcome", Version="2")
    # What a shipped app sends goes on working: a message to one of these, and none to who left.
    pinpoint.update_sms_channel(**shop, SMSChannelRequest={"Enabled": True})
    sent = pinpoint.send_messages(
        **shop,
        MessageRequest={
            "TemplateConfiguration": {"SMSTemplate": {"Name": "welcome"}},
            "MessageConfiguration": {},
            "Endpoints": {account.endpoint(4)["Id"]: {}},
            "Addresses": {account.LEFT: {"ChannelType": "SMS"}},
        },
    )["MessageResponse"]
    assert sent["EndpointResult"][account.endpoint(4)["Id"]]["DeliveryStatus"] == "SUCCESSFUL"
    assert sent["Result"][account.LEFT]["DeliveryStatus"] == "OPT_OUT"
