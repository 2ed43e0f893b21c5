"""What docs/adding-a-channel.md tells a newcomer to paste works as it stands."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli import processes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-a-channel.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The three files of the page, installed by hand: nothing is downloaded for a test."""
    directory = tmp_path_factory.mktemp("package")
    for name in ("pyproject.toml", "sendpoint_telegram.py", "test_telegram.py"):
        found = re.search(
            rf"^`{re.escape(name)}`.*?```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE
        )
        (directory / name).write_text(found[1])
    project = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    [(group, points)] = project["entry-points"].items()
    lines = [f"{name} = {place}" for name, place in points.items()]
    info = directory / "sendpoint_telegram-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: sendpoint-telegram\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return directory


def environment(package):
    return {**processes.environment(), "PYTHONPATH": os.pathsep.join((str(package), str(ROOT)))}


def test_the_adapter_passes_its_tests(package):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_telegram.py"],
        cwd=package,
        env=environment(package),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_it_passes_our_checks(package):
    for check in (["ruff", "format", "--check"], ["ruff", "check", "--ignore=INP001"]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                *check,
                f"--config={ROOT / 'pyproject.toml'}",
                "sendpoint_telegram.py",
            ],
            cwd=package,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_channel_can_be_set_to_it(package, tmp_path):
    def sendpoint(*arguments):
        return subprocess.run(
            [*processes.SENDPOINT, *arguments],
            cwd=tmp_path,
            env=environment(package),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    assert sendpoint("db", "upgrade").returncode == 0
    application = sendpoint("app", "create", "shop").stdout.strip()
    (tmp_path / "token.json").write_text(json.dumps({"token": "1:x"}))
    told = sendpoint("channel", "set", application, "CUSTOM", "telegram", "--file", "token.json")
    assert told.stdout == f"CUSTOM of {application} is sent with telegram\n", told.stderr
    wrong = sendpoint("channel", "set", application, "CUSTOM", "telegram", "token=hunter2")
    assert "token must be what BotFather gave out" in wrong.stderr
