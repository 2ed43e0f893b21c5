"""The examples: each can be sent, together they cover every channel, and the demo ends well."""

import os
import signal
import subprocess
import sys
import time

import msgspec
import psutil
import pytest

import examples
from tests.cli import processes
from worker import plan, wire
from worker.cli import seed

EXAMPLES = examples.load()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_an_example_is_a_request_that_says_what_comes_of_everybody(example):
    request = wire.decode(msgspec.json.encode(example.request), wire.MessageRequest)
    wire.check(request)
    assert example.expect.get("Result", {}).keys() == (request.Addresses or {}).keys()
    assert example.expect.get("EndpointResult", {}).keys() == (request.Endpoints or {}).keys()
    assert example.about.endswith(".")
    for kind, some in example.expect_protocol.items():
        assert some.keys() <= example.expect[kind].keys()


def test_nothing_in_an_example_is_ignored():
    """Unknown members are, so a misspelt one would look sent."""
    for example in EXAMPLES:
        read = wire.decode(msgspec.json.encode(example.request), wire.MessageRequest)
        assert msgspec.to_builtins(read) == example.request, example.name


def test_apples_tokens_spell_who_it_is_and_are_as_long_as_real_ones():
    tokens = [
        address
        for example in EXAMPLES
        for address, one in example.request["Addresses"].items()
        if one["ChannelType"].startswith("APNS")
    ]
    assert tokens
    for token in tokens:
        assert len(bytes.fromhex(token)) == 32
        assert bytes.fromhex(token).startswith(b"iphone-")


def test_every_channel_and_status_has_an_example():
    addresses = [one for example in EXAMPLES for one in example.request["Addresses"].values()]
    assert {one["ChannelType"] for one in addresses} == set(plan.QUEUE_OF)
    outcomes = [
        one["DeliveryStatus"]
        for example in EXAMPLES
        for some in example.expect.values()
        for one in some.values()
    ]
    # These two are on the way only: what is throttled or fails for now is tried again.
    never = {wire.DeliveryStatus.THROTTLED, wire.DeliveryStatus.TEMPORARY_FAILURE}
    assert set(outcomes) == set(wire.DeliveryStatus) - never


def demo(tmp_path):
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        env={**processes.environment(broker_url="redis://nowhere"), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(90)
def test_the_demo(tmp_path):
    said, _ = (process := demo(tmp_path)).communicate(timeout=80)
    assert process.returncode == 0, said
    count = sum(one.recipients for one in EXAMPLES)
    assert said.count(f"{count} of {count} recipients ended as expected") == 2
    (directory,) = tmp_path.glob("sendpoint-demo-*")
    received = (directory / "protocols" / "providers.log").read_text()
    assert {line.split()[0] for line in received.splitlines()} >= {
        *("APNS", "GCM", "ADM", "BAIDU", "SMS", "VOICE", "EMAIL", "CUSTOM"),
    }
    assert not (directory / "protocols" / "inbox.jsonl").exists()
    inbox = directory / "sandbox" / "inbox.jsonl"
    assert str(inbox) in said
    bodies = {
        one["Address"]: one["Payload"]
        for one in map(msgspec.json.decode, inbox.read_bytes().splitlines())
    }
    first = seed.ENDPOINTS["demo-email"].Address
    assert bodies[first]["text"] == "Hello Ann, you are on the plan gold."
    assert bodies["ben@example.com"]["html"].startswith("<p>Hello <b>Ben</b>")
    assert bodies["+15550100121"]["Body"] == "Ben, your code is 314159"
    assert "Your invoice 4711 is paid" in bodies["dora@example.com"]["raw"]


@pytest.mark.timeout(90)
def test_a_demo_that_is_stopped_leaves_nothing_running(tmp_path):
    process = demo(tmp_path)
    try:
        give_up = time.monotonic() + 30
        while not (children := psutil.Process(process.pid).children()):
            assert time.monotonic() < give_up
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
