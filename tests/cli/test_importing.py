"""`sendpoint import-from-pinpoint`."""

import json
import signal

import pytest

from tests.cli import processes
from tests.worker.test_saved import APP, APPLICATION, ENDPOINT, GCM

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


def test_ctrl_c_and_again_come_to_the_same(ready, directory):
    lines = (
        json.dumps({**ENDPOINT, "Id": f"e{n}", "Address": f"a{n}", "User": {}})
        for n in range(30_000)
    )
    root = save(directory, app=APPLICATION, export="\n".join(lines))
    with processes.started("import-from-pinpoint", root, cwd=directory) as process:
        process.wait_for("Endpoints: 10 %")
        assert process.stop(signal.SIGINT) == 1
        said = process.said()
    assert "Interrupted. Run the same command again" in said
    assert "Traceback" not in said
    told = ready("import-from-pinpoint", root, "--report", "report.json")
    assert told.exit_code == 0
    counts = json.loads((directory / "report.json").read_text())["Counts"]["endpoint"]
    assert counts["Imported"] + counts["Unchanged"] == 30_000
    assert counts["Unchanged"] >= 1000, "what was stored before the interruption stays"
