"""Limits, as they are set at run time, and how many worker processes there are to share them."""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import RowMapping, delete, func, select, update

from worker import plan
from worker.limits import Limit, Rate
from worker.store import database
from worker.store.database import Database
from worker.store.tables import WAITING, message_result, rate_limit, worker_process

row = message_result.c


def limits(db: Database) -> list[Limit]:
    """Every limit, by its owner and what it is for."""
    with db.reading() as connection:
        found = connection.execute(
            select(rate_limit).order_by(rate_limit.c.owner, rate_limit.c.what)
        ).mappings()
        return [_limit(one) for one in found]


def set_limit(db: Database, owner: str, what: str, rate: Rate | None, burst: int) -> None:
    """Set a limit, in place of the one that the owner had for the same; its count goes on."""
    new = {
        "count": rate and rate.count,
        "seconds": rate and rate.seconds,
        "burst": burst,
        "modified_at": db.after(0),
    }
    statement = (
        database.insert(db, rate_limit)
        .values(id=uuid4(), owner=owner, what=what, **new)
        .on_conflict_do_update(index_elements=["owner", "what"], set_=new)
    )
    with db.engine.begin() as connection:
        connection.execute(statement)


def remove_limit(db: Database, owner: str, what: str) -> bool:
    """Remove a limit; says whether there was one."""
    statement = (
        delete(rate_limit)
        .where(rate_limit.c.owner == owner, rate_limit.c.what == what)
        .returning(rate_limit.c.id)
    )
    with db.engine.begin() as connection:
        return connection.execute(statement).first() is not None


def call_up(db: Database, application_id: str, *, after: float, limit: int = 1000) -> int:
    """Have up to `limit` of an application's messages that were held before their first attempt
    ask again `after` seconds from now, and return how many there were. Those that come sooner
    anyway are left alone."""
    soon = db.after(after)
    held = select(row.id).where(
        WAITING,
        row.queue.in_(plan.QUEUES),
        row.application_id == application_id,
        row.ring_at > db.after(after + 1),
        row.due_at > db.after(after + 1),
        row.delivery_status.is_(None),
    )
    held = held.limit(limit).with_for_update(skip_locked=True)
    chosen = held.cte("held").prefix_with("MATERIALIZED", dialect="postgresql")
    statement = (
        update(message_result)
        .where(row.id == chosen.c.id)
        .values(due_at=soon, ring_at=soon)
        .returning(row.id)
    )
    with db.engine.begin() as connection:
        return len(connection.execute(statement).all())


def backlog_of(db: Database, application_id: str, queue: str, most: int) -> int:
    """How many messages of an application wait on a queue, counted up to `most` in the index."""
    waiting = (
        select(row.queue)
        .where(WAITING, row.queue == queue, row.application_id == application_id)
        .limit(most)
        .subquery()
    )
    with db.reading() as connection:
        return connection.execute(select(func.count()).select_from(waiting)).scalar_one()


def be_present(db: Database, worker_id: UUID, seconds: float) -> int:
    """Say that a worker process is there, and return how many were within so many seconds."""
    seen = {"seen_at": db.after(0)}
    insert = database.insert(db, worker_process).values(id=worker_id, **seen)
    with db.engine.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=seen))
        connection.execute(
            delete(worker_process).where(worker_process.c.seen_at < db.after(-seconds))
        )
        return connection.execute(select(func.count()).select_from(worker_process)).scalar_one()


def count_present(db: Database, seconds: float) -> int:
    """How many worker processes said within so many seconds that they are there."""
    present = select(func.count()).where(worker_process.c.seen_at >= db.after(-seconds))
    with db.reading() as connection:
        return connection.execute(present).scalar_one()


def be_gone(db: Database, worker_id: UUID) -> None:
    """Say that a worker process has ended."""
    with db.engine.begin() as connection:
        connection.execute(delete(worker_process).where(worker_process.c.id == worker_id))


def _limit(one: RowMapping) -> Limit:
    rate = None if one["count"] is None else Rate(one["count"], one["seconds"])
    return Limit(one["id"], one["owner"], one["what"], rate, one["burst"])
