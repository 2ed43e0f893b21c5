"""The points of the protocol at which a process may be lost, by name. A process that is armed with
one dies there, by SIGKILL and of its own hand: between two steps of its code, or within the
transaction of one."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from worker import attempt, dispatch, intake, rings, runtime, store

Arm = Callable[[runtime.Runtime], None]


def arm(point: str, held: runtime.Runtime) -> None:
    """Have this process die at the point."""
    POINTS[point](held)


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str) -> Arm:
    return lambda _: setattr(owner, name, _die)


def _after(owner: Any, name: str) -> Arm:
    real = getattr(owner, name)

    def step(*args: Any, **named: Any) -> None:
        _die(real(*args, **named))

    async def awaited(*args: Any, **named: Any) -> None:
        _die(await real(*args, **named))

    return lambda _: setattr(owner, name, awaited if inspect.iscoroutinefunction(real) else step)


def _within(owner: Any, name: str, moment: str, words: str = "") -> Arm:
    """Within a step, as its transaction comes to a moment that SQLAlchemy tells of; of a statement
    that was executed, only one with these words."""
    real = getattr(owner, name)

    def arm(held: runtime.Runtime) -> None:
        def step(*args: Any, **named: Any) -> Any:
            event.listen(held.db.engine, moment, executed if words else _die)
            return real(*args, **named)

        setattr(owner, name, step)

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if words in statement:
            _die()

    return arm


POINTS: dict[str, Arm] = {
    "intake: before its transaction": _before(store, "save_all"),
    "intake: request inserted": _within(
        store, "save_all", "after_cursor_execute", "INSERT INTO message_request"
    ),
    "intake: recipients inserted": _within(
        store, "save_all", "after_cursor_execute", "INSERT INTO message_result"
    ),
    "intake: before the commit": _within(store, "save_all", "commit"),
    "intake: committed, before the ring": _after(store, "save_all"),
    "intake: one of two rings sent": _after(rings, "_publish"),
    "intake: rung": _after(rings.Rings, "ring"),
    "intake: before the answer": _after(intake, "accept"),
    "delivery: ring taken": _before(dispatch, "deliver"),
    "delivery: before the commit of the claim": _within(store, "claim", "commit"),
    "delivery: claimed": _after(store, "claim"),
    "delivery: rendered, before the send": _before(attempt, "_send"),
    "delivery: answered, before the record": _before(store, "finish"),
    "delivery: before the commit of the record": _within(store, "finish", "commit"),
    "delivery: recorded": _after(store, "finish"),
    "delivery: before the ring is acknowledged": _after(dispatch, "deliver"),
    "sweep: before the commit of the rescue": _within(store, "rescue", "commit"),
    "sweep: rescued": _after(store, "rescue"),
    "sweep: before the commit of the expiry": _within(store, "expire", "commit"),
    "sweep: expired": _after(store, "expire"),
    "sweep: before the commit of what is due": _within(store, "due", "commit"),
    "sweep: due, before the ring": _after(store, "due"),
    "sweep: one of two rings sent": _after(rings, "_publish"),
    "sweep: rung": _after(rings.Rings, "ring"),
}
"""Those of a request that is on its way are the provider's to hold: the process is killed from
outside while it waits."""
