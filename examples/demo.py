"""Start Sendpoint, send every example through its API with boto3, and compare what became of it.

`python -m examples.demo` needs no server, no account and no network. It exits with 0 if every
recipient ended as its example says.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import boto3
import botocore.config
import botocore.exceptions
from rich.progress import Progress

import examples
from worker.cli import seed, show

SECONDS = 45.0
"""For everything together."""

# A retry in the demo comes at once, not in minutes, and giving up takes three attempts, not eight.
_SETTINGS = {
    "SENDPOINT_WAIT": "0",
    "SENDPOINT_MAX_ATTEMPTS": "3",
    "SENDPOINT_BACKOFF_BASE": "0.2",
    "SENDPOINT_BACKOFF_CAP": "0.5",
    "SENDPOINT_SWEEP_INTERVAL": "0.2",
    "SENDPOINT_LOG_LEVEL": "WARNING",
}


class Failed(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one recipient, and what was to."""

    example: str
    recipient: str
    expected: Mapping[str, Any]
    got: Mapping[str, Any]

    @property
    def as_expected(self) -> bool:
        return self.got.get("State") == "DONE" and self.expected.items() <= self.got.items()


def main() -> int:
    """Run the demo; 0 if every recipient ended as expected."""
    signal.signal(signal.SIGTERM, _stopped)
    give_up = time.monotonic() + SECONDS
    # Kept, so that there is an inbox to look at.
    directory = Path(tempfile.mkdtemp(prefix="sendpoint-demo-"))
    sent = examples.load()
    try:
        with backend(directory, give_up) as url:
            show.say(f"Sendpoint runs at {url}")
            pinpoint = client(url)
            requests = {one.name: send(pinpoint, one) for one in sent}
            count = sum(one.recipients for one in sent)
            show.say(f"Sent {len(sent)} requests to {count} recipients with boto3")
            ended = wait(url, sent, requests, give_up)
    except (
        Failed,
        OSError,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        show.say(f"{error}; the log of Sendpoint is {directory / 'log'}", "red")
        return 1
    report(ended, directory / "inbox.jsonl")
    return 0 if all(one.as_expected for one in ended) else 1


@contextlib.contextmanager
def backend(directory: Path, give_up: float) -> Iterator[str]:
    """`sendpoint up` on a free port with its data in `directory`; gives the base URL."""
    ready, log = directory / "ready", directory / "log"
    # The settings of a real deployment must not make the demo send through it.
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SENDPOINT_")}
    own = {
        "SENDPOINT_DATABASE_URL": f"sqlite:///{directory / 'sendpoint.db'}",
        "SENDPOINT_INBOX": str(directory / "inbox.jsonl"),
    }
    command = [sys.executable, "-m", "worker.cli", "up", "--port", "0", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a command of our own
            command,
            env={**inherited, **_SETTINGS, **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                raise Failed(f"Sendpoint does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield ready.read_text(encoding="ascii").strip()
    finally:
        _end(process)


def client(url: str) -> Any:
    """A Pinpoint client of boto3, for which only the endpoint differs."""
    return boto3.client(
        "pinpoint",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",  # noqa: S106 - boto3 wants one, nobody checks it
        config=botocore.config.Config(proxies={}),
    )


def send(pinpoint: Any, example: examples.Example) -> str:
    """Send an example as a program would; gives the id of the request."""
    sent = pinpoint.send_messages(
        ApplicationId=seed.APPLICATION, MessageRequest=_as_boto3_takes_it(example.request)
    )
    request_id: str = sent["MessageResponse"]["RequestId"]
    return request_id


def wait(
    url: str, sent: Sequence[examples.Example], requests: Mapping[str, str], give_up: float
) -> list[Ended]:
    """Ask what became of the requests until nothing changes any more, or the time is up."""
    rows: dict[str, list[Ended]] = {}
    out = show.console()
    with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task("Delivering", total=sum(one.recipients for one in sent))
        while True:
            settled = True
            for one in sent:
                outcomes = _ask(url, requests[one.name])
                settled &= outcomes["Settled"]
                rows[one.name] = compare(one, outcomes)
            ended = [row for some in rows.values() for row in some]
            progress.update(bar, completed=sum(row.got.get("State") == "DONE" for row in ended))
            if settled or time.monotonic() > give_up:
                return ended
            time.sleep(0.1)


def compare(example: examples.Example, outcomes: Mapping[str, Any]) -> list[Ended]:
    """What was to become of each recipient beside what did."""
    return [
        Ended(example.name, name, expected, outcomes[kind].get(name, {}))
        for kind, some in example.expect.items()
        for name, expected in some.items()
    ]


def report(ended: Sequence[Ended], inbox: Path) -> None:
    """The table of all outcomes, and a look into the dev inbox."""
    headers = ("EXAMPLE", "RECIPIENT", "EXPECTED", "GOT", "TRIES", "")
    rows = [
        (
            one.example,
            one.recipient,
            one.expected["DeliveryStatus"],
            one.got.get("DeliveryStatus") or one.got.get("State") or "nothing",
            one.got.get("Attempts"),
            "ok" if one.as_expected else "wrong",
        )
        for one in ended
    ]
    show.table(headers, rows)
    right = sum(one.as_expected for one in ended)
    show.say("")
    style = "bold green" if right == len(ended) else "bold red"
    show.say(f"{right} of {len(ended)} recipients ended as expected", style)
    show.say(f"What would have been sent is in the dev inbox, {inbox}; for example:")
    for line in _sample(inbox).splitlines():
        show.say(line)


def _sample(inbox: Path) -> str:
    """The first push for Apple in the inbox."""
    with inbox.open(encoding="utf-8") as lines:
        messages = map(json.loads, lines)
        found: dict[str, Any] = next((one for one in messages if one["ChannelType"] == "APNS"), {})
    return json.dumps(found, indent=2, ensure_ascii=False)


def _as_boto3_takes_it(request: dict[str, Any]) -> dict[str, Any]:
    """The request with RawEmail's bytes, which boto3 puts into base64 itself."""
    request = copy.deepcopy(request)
    email = request["MessageConfiguration"].get("EmailMessage", {})
    if "RawEmail" in email:
        email["RawEmail"]["Data"] = base64.b64decode(email["RawEmail"]["Data"])
    return request


def _ask(url: str, request_id: str) -> dict[str, Any]:
    path = f"{url}/v1/apps/{seed.APPLICATION}/messages/{request_id}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(path, timeout=10) as answer:
        outcomes: dict[str, Any] = json.load(answer)
    return outcomes


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stopped(*_: object) -> NoReturn:
    """End as an exception does, so that the backend is ended too."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
