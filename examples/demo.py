"""Start Sendpoint, send every example through its API with boto3, and compare what became of it:
first with the sandbox, then over the providers' real protocols to their doubles on this machine.

`python -m examples.demo` needs no server, no account and no network. It exits with 0 if every
recipient ended as its example says.
"""

from __future__ import annotations

import base64
import copy
import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import boto3
import botocore.config
import botocore.exceptions
from rich.progress import Progress

import examples
from examples import backend
from worker.cli import seed, show

SECONDS = 55.0
"""For everything together."""


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
    try:
        ended = [
            *sandbox(_made(directory / "sandbox"), give_up),
            *protocols(_made(directory / "protocols"), give_up),
        ]
    except (
        backend.Failed,
        OSError,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        show.say(f"{error}; the logs are in {directory}", "red")
        return 1
    return 0 if all(one.as_expected for one in ended) else 1


def sandbox(directory: Path, give_up: float) -> list[Ended]:
    """The first act: nothing is sent, and everything is in the dev inbox."""
    show.say("Act 1: the sandbox, which sends nothing", "bold")
    with backend.started(*("up", "--port", "0"), directory=directory, give_up=give_up) as url:
        ended = act(url, give_up, protocol=False)
    report(ended)
    inbox = directory / "inbox.jsonl"
    show.say(f"What would have been sent is in the dev inbox, {inbox}; for example:")
    for line in _sample(inbox).splitlines():
        show.say(line)
    return ended


def protocols(directory: Path, give_up: float) -> list[Ended]:
    """The second act: the real adapters, and at the other end a double of each provider."""
    show.say("")
    show.say("Act 2: the real adapters and protocols, to doubles of the providers", "bold")
    with (
        backend.started(
            *("up", "--port", "0"),
            directory=directory,
            settings={"SENDPOINT_SANDBOX": "off"},
            give_up=give_up,
        ) as url,
        backend.started(
            *("providers", "--app", seed.APPLICATION), directory=directory, give_up=give_up
        ),
    ):
        ended = act(url, give_up, protocol=True)
    report(ended)
    show.say(f"What the doubles received is in {directory / 'providers.log'}")
    show.say("`sendpoint providers --app …` runs them for an application of yours")
    return ended


def act(url: str, give_up: float, *, protocol: bool) -> list[Ended]:
    """Send every example, and wait for what becomes of it."""
    show.say(f"Sendpoint runs at {url}")
    sent = examples.load()
    pinpoint = client(url)
    requests = {one.name: send(pinpoint, one) for one in sent}
    count = sum(one.recipients for one in sent)
    show.say(f"Sent {len(sent)} requests to {count} recipients with boto3")
    return wait(url, sent, requests, give_up, protocol=protocol)


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
    url: str,
    sent: Sequence[examples.Example],
    requests: Mapping[str, str],
    give_up: float,
    *,
    protocol: bool,
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
                rows[one.name] = compare(one, outcomes, protocol=protocol)
            ended = [row for some in rows.values() for row in some]
            progress.update(bar, completed=sum(row.got.get("State") == "DONE" for row in ended))
            if settled or time.monotonic() > give_up:
                return ended
            time.sleep(0.1)


def compare(
    example: examples.Example, outcomes: Mapping[str, Any], *, protocol: bool
) -> list[Ended]:
    """What was to become of each recipient beside what did."""
    return [
        Ended(example.name, name, expected, outcomes[kind].get(name, {}))
        for kind, some in example.expected(protocol=protocol).items()
        for name, expected in some.items()
    ]


def report(ended: Sequence[Ended]) -> None:
    """The table of all outcomes."""
    headers = ("EXAMPLE", "RECIPIENT", "EXPECTED", "GOT", "TRIES", "")
    rows = [
        (
            one.example,
            _readable(one.recipient),
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


def _readable(recipient: str) -> str:
    """An example's device token in the words that its bytes spell."""
    if len(recipient) != 64:
        return recipient
    return bytes.fromhex(recipient).decode().rstrip(".")


def _made(directory: Path) -> Path:
    """A directory of its own for each act: who opts out in one is not asked again in the other."""
    directory.mkdir()
    return directory


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


def _stopped(*_: object) -> NoReturn:
    """End as an exception does, so that the backend is ended too."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
