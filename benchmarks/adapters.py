"""Each adapter alone against its double, beside what its library does by itself.

`python -m benchmarks.adapters` (or `make bench`) prints a table and writes
`benchmarks-adapters.json`. There are always 100 sends in flight. The double is in another process;
CPU seconds are those of the process that sends, where no double is in the way. Ours and stock take
turns; figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import logging
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from adapters.contract import ChannelType, Delivery, DeliveryStatus
from benchmarks import messages, stock, surroundings
from benchmarks.stock import Send
from benchmarks.surroundings import IN_FLIGHT

Opened = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[Send]]


@dataclass(frozen=True)
class Case:
    """An adapter on a channel, and by name what does the same with the libraries alone. The first
    is what a person would write; what follows does less."""

    adapter: str
    channel: ChannelType
    others: Mapping[str, Opened] = field(default_factory=dict)


CASES = (
    Case("apns", ChannelType.APNS, {"aioapns": stock.aioapns_}),
    Case("fcm", ChannelType.GCM, {"pyfcm, 100 threads": stock.pyfcm_}),
    Case("adm", ChannelType.ADM),
    Case("baidu", ChannelType.BAIDU),
    Case("twilio-sms", ChannelType.SMS, {"twilio, async": stock.twilio_sms}),
    Case("twilio-voice", ChannelType.VOICE, {"twilio, async": stock.twilio_voice}),
    Case("smtp", ChannelType.EMAIL, {"aiosmtplib": stock.aiosmtplib_}),
    Case(
        "webhook",
        ChannelType.CUSTOM,
        {
            "standardwebhooks, aiohttp": stock.standardwebhooks_,
            "aiohttp, signed by hand": stock.signed_by_hand,
        },
    ),
)


@dataclass(frozen=True)
class Round:
    """What one round measured: sends a second, and a second of CPU time. `library` is empty for
    ours."""

    adapter: str
    library: str
    per_second: float
    per_cpu_second: float


def opener(case: Case) -> Opened:
    """Our adapter as what `stock` has of the libraries."""

    @contextlib.asynccontextmanager
    async def ours(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
        (point,) = importlib.metadata.entry_points(group="sendpoint.adapters", name=case.adapter)
        adapter = point.load()(**settings)
        message = messages.BY_CHANNEL[case.channel]

        async def send(number: int) -> None:
            delivery = Delivery(
                id=str(uuid.uuid4()),
                application_id="bench",
                request_id="bench",
                channel=case.channel,
                address=messages.address(case.channel, number),
                message=message,
            )
            outcome = await adapter.send(delivery)
            assert outcome.status is DeliveryStatus.SUCCESSFUL, outcome

        yield send
        await adapter.aclose()

    return ours


async def measure(opened: AbstractAsyncContextManager[Send], seconds: float) -> tuple[float, float]:
    """Sends a second, and a second of CPU time, after a first two hundred to warm up."""
    async with opened as send:
        await _send(send, iter(range(2 * IN_FLIGHT)))
        numbers = itertools.count(2 * IN_FLIGHT)
        cpu, started = time.process_time(), time.perf_counter()
        give_up = started + seconds
        await _send(send, itertools.takewhile(lambda _: time.perf_counter() < give_up, numbers))
        sent = next(numbers) - 2 * IN_FLIGHT - 1  # the one that came too late
        return sent / (time.perf_counter() - started), sent / (time.process_time() - cpu)


async def _send(send: Send, numbers: Iterator[int]) -> None:
    async def some() -> None:
        for number in numbers:
            await send(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(some())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="a round (default 1.5)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[one.adapter for one in CASES])
    parser.add_argument("--json", default="benchmarks-adapters.json")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # aioapns writes two lines a connection
    cases = [one for one in CASES if not options.only or one.adapter in options.only]
    rounds = []
    for case in cases:
        print(f"{case.adapter} …", file=sys.stderr, flush=True)
        with surroundings.doubles() as settings:  # fresh ones: they remember what they received
            for _ in range(options.rounds):
                for library, opened in {"": opener(case), **case.others}.items():
                    reach = opened(settings[case.channel])
                    figures = uvloop.run(measure(reach, options.seconds))
                    rounds.append(Round(case.adapter, library, *figures))
    report(cases, rounds, options.json)


def report(cases: list[Case], rounds: list[Round], path: str) -> None:
    """The medians as a table, and everything as JSON."""
    machine = surroundings.machine()
    print(f"\nOne process, {IN_FLIGHT} sends in flight, doubles on the same machine: {machine}\n")
    print("| adapter | sends/s | per CPU second | library | sends/s | per CPU second | ratio |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        mine = _medians(rounds, case, "")
        line = f"| `{case.adapter}` | {mine[0]:.0f} | {mine[1]:.0f} "
        if not case.others:
            print(f"{line}| | | | |")
        for library in case.others:
            theirs = _medians(rounds, case, library)
            ratio = mine[1] / theirs[1]
            print(f"{line}| {library} | {theirs[0]:.0f} | {theirs[1]:.0f} | {ratio:.2f} |")
    figures = {"machine": machine, "rounds": [asdict(one) for one in rounds]}
    Path(path).write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _medians(rounds: list[Round], case: Case, library: str) -> tuple[float, float]:
    of = [one for one in rounds if one.adapter == case.adapter and one.library == library]
    return (
        statistics.median(one.per_second for one in of),
        statistics.median(one.per_cpu_second for one in of),
    )


if __name__ == "__main__":
    main()
