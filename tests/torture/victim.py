"""A process that is there to be killed: it accepts two messages over SQLite and delivers them, or
finishes what is left of those of a process before it.

    python -m tests.torture.victim accept|finish URL
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from worker import dispatch, intake, plan, runtime, settings, store, sweeping, wire

LEASE = 1.0
ADDRESSES = ("ann@example.com", "bob@example.com")


def main(what: str, url: str) -> None:
    """Do it, and return once every row is DONE."""
    held = runtime.open_runtime(
        settings.Settings(
            database_url=url,
            broker_url="memory://",
            secret_keys=os.environ["SENDPOINT_SECRET_KEYS"],
            lease=LEASE,
            ring_again_after=0.1,
            backoff_base=0.1,
        )
    )
    if what == "accept":
        (application,) = store.applications(held.db)
        request = {
            "MessageConfiguration": {
                "EmailMessage": {
                    "SimpleEmail": {
                        "Subject": {"Data": "Hello"},
                        "TextPart": {"Data": "Hello there"},
                    }
                }
            },
            "Addresses": {one: {"ChannelType": "EMAIL"} for one in ADDRESSES},
        }
        intake.accept(held, application.id, wire.convert(request, wire.MessageRequest))
    try:
        asyncio.run(_deliver(held))
    finally:
        held.close()


async def _deliver(held: runtime.Runtime) -> None:
    give_up = time.monotonic() + 20
    while store.backlog(held.db) or _held(held):
        assert time.monotonic() < give_up, "it is stuck"
        sweeping.sweep(held)
        for queue in plan.QUEUES:
            for application in store.applications(held.db):
                for ring in store.due(held.db, queue, [application.id], room=10, again_after=0.0):
                    await dispatch.deliver(held, ring.id)
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
