"""A process that is there to be killed: it accepts two messages and delivers them, or finishes what
is left of those of a process before it.

    python -m tests.torture.victim accept|finish URL [EMAIL|SMS [POINT]]

At a POINT (`tests.torture.crashes`) it kills itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from uuid import UUID

from tests.torture import crashes, testimony
from worker import dispatch, intake, runtime, settings, store, sweeping, wire

LEASE = 4.0
TTL = 30.0
ADDRESSES = ("ann@example.com", "bob@example.com")
NUMBERS = ("+14255550101", "+14255550102")


def main(what: str, url: str, channel: str = "EMAIL", point: str = "") -> None:
    """Do it, and return once every row is DONE."""
    held = opened(url, os.environ["SENDPOINT_SECRET_KEYS"])
    if point:
        crashes.arm(point, held)
    if what == "accept":
        accept(held, channel)
    try:
        asyncio.run(deliver(held))
    finally:
        held.close()


def opened(url: str, keys: str, *, ttl: float = TTL) -> runtime.Runtime:
    """The process's parts, with a short lease."""
    return runtime.open_runtime(
        settings.Settings(
            database_url=url,
            broker_url="memory://",
            secret_keys=keys,
            lease=LEASE,
            message_ttl=ttl,
            ring_again_after=0.1,
            backoff_base=0.1,
        )
    )


def accept(held: runtime.Runtime, channel: str = "EMAIL") -> intake.Accepted:
    """Accept the two messages. Whoever was not answered asks again with the same key."""
    (application,) = store.applications(held.db)
    message = {
        "EMAIL": {
            "EmailMessage": {
                "SimpleEmail": {
                    "Subject": {"Data": "Hello"},
                    "TextPart": {"Data": "Hello there"},
                }
            }
        },
        "SMS": {"SMSMessage": {"Body": "Hello there", "OriginationNumber": "+14255550100"}},
    }[channel]
    request = {
        "MessageConfiguration": message,
        "Addresses": {one: {"ChannelType": channel} for one in addresses(channel)},
    }
    return intake.accept(
        held, application.id, wire.convert(request, wire.MessageRequest), idempotency_key="once"
    )


def addresses(channel: str) -> tuple[str, ...]:
    """Whom the messages are for."""
    return NUMBERS if channel == "SMS" else ADDRESSES


async def deliver(held: runtime.Runtime) -> None:
    """Sweep and deliver until every row is DONE."""
    give_up = time.monotonic() + 40
    while store.backlog(held.db) or _held(held):
        assert time.monotonic() < give_up, "it is stuck"
        sweeping.sweep(held)
        # Nobody hears the rings of its broker: each row that waits is tried; its claim decides.
        for row in testimony.rows(held.db):
            if row.state == store.State.QUEUED:
                await dispatch.deliver(held, UUID(row.id))
        await asyncio.sleep(0.05)
    await dispatch.aclose(held)


def _held(held: runtime.Runtime) -> bool:
    with held.db.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM message_result WHERE state = 'SENDING'"
        )
        return bool(found.scalar_one())


if __name__ == "__main__":
    main(*sys.argv[1:])
