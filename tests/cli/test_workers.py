"""`sendpoint api` and `sendpoint worker` as production runs them: apart, over Redis."""

import contextlib
import json
import signal
import urllib.request

import pytest

from tests.cli import processes
from worker.cli import seed

REQUEST = {
    "Addresses": {
        "+15550100200": {"ChannelType": "SMS"},
        "ann@example.com": {"ChannelType": "EMAIL"},
    },
    "MessageConfiguration": {"DefaultMessage": {"Body": "Hello"}},
}


@pytest.fixture
def settings(redis_url, tmp_path):
    """The settings of a deployment whose schema and application exist."""
    settings = {"broker_url": redis_url, "sandbox": "on", "sweep_interval": "0.2"}
    assert processes.run("db", "upgrade", cwd=tmp_path, **settings).returncode == 0
    created = ("app", "create", "demo", "--id", seed.APPLICATION)
    assert processes.run(*created, cwd=tmp_path, **settings).returncode == 0
    return settings


def post(url, request):
    path = f"{url}/v1/apps/{seed.APPLICATION}/messages"
    with urllib.request.urlopen(path, json.dumps(request).encode(), timeout=30) as answer:
        return json.load(answer)


@pytest.mark.timeout(120)
def test_api_and_worker(settings, tmp_path):
    with contextlib.ExitStack() as stack:
        start = lambda *words: stack.enter_context(  # noqa: E731
            processes.started(*words, cwd=tmp_path, **settings)
        )
        api = start("api", "--port", "0")
        url = processes.address(api.wait_for("Listening on"))
        worker = start("worker", "--concurrency", "8")
        answer = post(url, REQUEST)
        sent = processes.run(
            *("send", "-", "--wait", "20"),
            cwd=tmp_path,
            stdin=json.dumps(REQUEST),
            **settings,
        )
        well = processes.run("worker", "--ping", cwd=tmp_path, **settings)
        stopped = [worker.stop(signal.SIGTERM), api.stop(signal.SIGTERM)]
        ill = processes.run("worker", "--ping", cwd=tmp_path, **settings)
    assert {one["DeliveryStatus"] for one in answer["Result"].values()} == {"SUCCESSFUL"}
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.count("SUCCESSFUL") == 2
    assert well.returncode == 0, well.stderr
    assert well.stdout.endswith(": well\n")
    assert stopped == [0, 0], worker.said()
    assert ill.returncode == 1
    assert ill.stderr.startswith("Error: No worker answers on this host")


@pytest.mark.timeout(90)
def test_a_worker_delivers_its_own_queues_only(settings, tmp_path):
    with processes.started("worker", "--queues", "email", cwd=tmp_path, **settings):
        sent = processes.run(
            *("send", "-", "--wait", "20", "--json"),
            cwd=tmp_path,
            stdin=json.dumps({**REQUEST, "Addresses": {"a@example.com": {"ChannelType": "EMAIL"}}}),
            **settings,
        )
        email = json.loads(sent.stdout)["Result"]["a@example.com"]
        other = {**REQUEST, "Addresses": {"+15550100200": {"ChannelType": "SMS"}}}
        left = processes.run(
            "send", "-", "--wait", "1", cwd=tmp_path, stdin=json.dumps(other), **settings
        )
    assert email["StatusCode"] == 200
    assert "+15550100200  SMS      QUEUED" in left.stdout


@pytest.mark.timeout(90)
def test_up_works_over_redis_too(settings, tmp_path):
    with processes.started("up", "--port", "0", cwd=tmp_path, **settings) as up:
        answer = post(processes.address(up.wait_for("Ctrl-C stops it")), REQUEST)
        code = up.stop(signal.SIGTERM)
    assert [one["StatusCode"] for one in answer["Result"].values()] == [200, 200]
    assert code == 0, up.said()


def test_sweep_says_what_it_did(settings, tmp_path):
    swept = processes.run("sweep", cwd=tmp_path, **settings)
    assert swept.returncode == 0
    assert swept.stdout == (
        "Swept: 0 rung for, 0 taken back from lost workers, 0 past their deadline\n"
    )


@pytest.mark.parametrize("command", [("worker", "--ping"), ("check",)])
def test_a_broker_that_is_not_there(tmp_path, command):
    told = processes.run(*command, cwd=tmp_path, broker_url="redis://127.0.0.1:1/0")
    assert told.returncode == 1
    assert "The broker does not answer; check SENDPOINT_BROKER_URL" in told.stdout + told.stderr
    assert "Traceback" not in told.stderr


def test_a_worker_that_fails_tells_its_supervisor(settings, tmp_path):
    broken = settings | {"broker_url": "redis://127.0.0.1:1/no-number"}
    assert processes.run("worker", cwd=tmp_path, **broken).returncode == 1


def test_listening_for_other_machines_needs_a_setting(tmp_path):
    processes.run("db", "upgrade", cwd=tmp_path)
    told = processes.run(
        "api", "--host", "0.0.0.0", cwd=tmp_path, broker_url="redis://127.0.0.1:1/0"
    )
    assert told.returncode == 1
    assert told.stderr.startswith("Error: Listening on 0.0.0.0 needs SENDPOINT_AUTH=on")
