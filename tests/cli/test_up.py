"""`sendpoint up`, in a process of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli import processes
from worker.cli import seed, up

READY = "Ctrl-C stops it"
REQUEST = {
    "Addresses": {"+15550100200": {"ChannelType": "SMS"}},
    "Endpoints": {"demo-opted-out": {}},
    "MessageConfiguration": {"SMSMessage": {"Body": "Hello"}},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    directory = tmp_path_factory.mktemp("up")
    with processes.started("up", "--port", "0", cwd=directory) as process:
        process.wait_for(READY)
        yield process


@pytest.mark.parametrize("client", ["curl", "the AWS CLI", "boto3"])
def test_what_it_says_to_paste_sends(running, client):
    said = running.said()
    command = up.commands(processes.address(said), seed.APPLICATION)[client]
    assert command in said
    _pasted(client, command)


def test_with_keys_it_says_where_they_go(tmp_path):
    with processes.started("up", "--port", "0", cwd=tmp_path, auth="on") as process:
        said = process.wait_for(READY)
        made = processes.run("key", "create", "shop", "--json", cwd=tmp_path)
        key = json.loads(made.stdout)
        for client in ("curl", "the AWS CLI", "boto3"):
            command = up.commands(processes.address(said), seed.APPLICATION, auth=True)[client]
            assert command in said
            for name in ("Id", "Secret", "Token"):
                command = command.replace(f"KEYS_{name.upper()}", key[name])
            _pasted(client, command)


def _pasted(client, command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if client == "curl" and not shutil.which("curl"):
        pytest.skip("curl is not on PATH")
    done = subprocess.run(
        ["bash", "-c", command],
        env={**processes.environment(), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    # JSON of either shape, or Python's notation of the same.
    answer = json.loads(done.stdout.replace("'", '"').partition("\n{'ResponseMetadata'")[0])
    result = answer.get("MessageResponse", answer)["Result"]["+15550100200"]
    assert (result["DeliveryStatus"], result["StatusCode"]) == ("SUCCESSFUL", 200)


def test_another_process_sends_through_it(running):
    directory = running.log.parent
    (directory / "request.json").write_text(json.dumps(REQUEST))
    sent = processes.run("send", "request.json", "--wait", "20", cwd=directory)
    assert sent.returncode == 0, sent.stderr
    request_id, _, *rows = (line.split() for line in sent.stdout.splitlines())
    assert [row[:5] for row in rows] == [
        ["+15550100200", "SMS", "DONE", "SUCCESSFUL", "200"],
        ["demo-opted-out", "(+15550100122)", "SMS", "DONE", "OPT_OUT"],
    ]
    outcomes = processes.run("results", request_id[1], "--watch", "--json", cwd=directory)
    assert json.loads(outcomes.stdout)["Settled"] is True
    sent = [
        json.loads(line)["RequestId"]
        for line in (directory / ".sendpoint" / "inbox.jsonl").read_text().splitlines()
    ]
    assert sent.count(request_id[1]) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_and_delivers_later_what_was_left(tmp_path, number):
    ready = tmp_path / "ready"
    arguments = ("up", "--port", "0", "--ready-file", str(ready))
    with processes.started(*arguments, cwd=tmp_path, sweep_interval="0.2") as first:
        first.wait_for(READY)
        assert ready.read_text() == processes.address(first.said()) + "\n"
        assert first.stop(number) == 0, first.said()
        assert first.said().endswith("Stopped\n")
        assert "Traceback" not in first.said()
    left = processes.run("send", "-", "--wait", "0", cwd=tmp_path, stdin=json.dumps(REQUEST))
    request_id = left.stdout.split()[1]
    with processes.started(*arguments, cwd=tmp_path, sweep_interval="0.2"):
        done = processes.run("results", request_id, "--watch", cwd=tmp_path)
    assert done.stdout.splitlines()[1].split()[:4] == ["+15550100200", "SMS", "DONE", "SUCCESSFUL"]
    listed = processes.run("app", "list", cwd=tmp_path).stdout
    assert listed.count("demo") == 1


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = processes.run("up", "--port", port, cwd=tmp_path)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1] == (
        f"Error: 127.0.0.1:{port} cannot be listened on (Address already in use): "
        "choose another with --host or --port"
    )
    assert "Traceback" not in told.stderr


def test_an_application_of_ones_own_is_used(tmp_path):
    processes.run("db", "upgrade", cwd=tmp_path)
    own = processes.run("app", "create", "shop", cwd=tmp_path).stdout.strip()
    with processes.started("up", "--port", "0", cwd=tmp_path, sandbox="off") as process:
        said = process.wait_for(READY)
        url = processes.address(said)
        assert f"Application  {own} (shop)" in said
        assert "Dev inbox    off" in said
        request = urllib.request.Request(
            f"{url}/v1/apps/{own}/messages", json.dumps(REQUEST).encode()
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            result = json.load(answer)["Result"]["+15550100200"]
    assert result["StatusMessage"].startswith("No channel of type SMS is enabled")
