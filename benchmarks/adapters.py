"""The ceiling: each adapter alone, without queue or database, beside what its library does by
itself.

`python -m benchmarks.adapters` always has 100 sends in flight. The provider is in another process
(`benchmarks.sinks`); CPU seconds are those of the process that sends, where no provider is in the
way. Ours and stock take turns; figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import itertools
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from adapters.contract import ChannelType, Delivery, DeliveryStatus
from benchmarks import messages, running, stock, surroundings
from benchmarks.stock import Send
from benchmarks.surroundings import IN_FLIGHT

NAME = "adapters"

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


async def _round(opened: AbstractAsyncContextManager[Send], seconds: float) -> tuple[float, float]:
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


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=0.8, help="of a round")
    running.bounds(parser, rounds=3, budget=60)
    parser.add_argument("--only", nargs="+", choices=[one.adapter for one in CASES])


def measure(options: argparse.Namespace) -> running.Figures:
    cases = [one for one in CASES if not options.only or one.adapter in options.only]
    rounds = []
    with surroundings.sinks() as sinks:
        for number in running.turns(options):
            for case in cases:
                running.say(f"round {number + 1}, adapter {case.adapter}")
                for library, opened in {"": opener(case), **case.others}.items():
                    reach = opened(sinks.settings[case.channel])
                    figures = uvloop.run(_round(reach, options.seconds))
                    rounds.append(Round(case.adapter, library, *figures))
    return {"rounds": [asdict(one) for one in rounds]}


def table(figures: running.Figures) -> str:
    """A line for each library that does the same; the ratio is of CPU seconds."""
    rows = []
    for case in CASES:
        ours = _medians(figures, case, "")
        for library in case.others or [""]:
            theirs = _medians(figures, case, library) if library else (None, None)
            ratio = ours[1] / theirs[1] if ours[1] and theirs[1] else None
            if ours[1]:
                rows.append([f"`{case.adapter}`", *ours, library or None, *theirs, ratio])
    columns = ["sends/s", "per CPU second"]
    head = ["adapter", *columns, "the library's own way", *columns, "ratio"]
    return f"Sends of an adapter alone, {IN_FLIGHT} in flight\n\n{running.markdown(head, rows)}"


def _medians(
    figures: running.Figures, case: Case, library: str
) -> tuple[float | None, float | None]:
    having = {"adapter": case.adapter, "library": library}
    return (
        running.middle(figures["rounds"], "per_second", **having),
        running.middle(figures["rounds"], "per_cpu_second", **having),
    )


if __name__ == "__main__":
    running.main(sys.modules[__name__])
