"""The rows that wait for a ring, and whose turn it is."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Executable, Float, Integer, Text, bindparam, func, select, update

from worker.store import database
from worker.store.database import Database
from worker.store.rows import locked, row, state
from worker.store.tables import WAITING, State, message_result


@dataclass(frozen=True, slots=True)
class Ring:
    """A row that is due, the queue to ring, and whose it is."""

    id: UUID
    queue: str
    application_id: str = ""

    @property
    def lane(self) -> tuple[str, str]:
        """What it takes its place in a worker from."""
        return self.queue, self.application_id


def waiting(db: Database, queues: Collection[str]) -> dict[str, list[str]]:
    """The applications that have rows waiting for a ring, by queue.

    It hops over the index from one application to the next, so that its cost goes with their
    number and not with the backlog.
    """
    with db.reading() as connection:
        found = connection.execute(
            db.statement(_waiting), database.as_rows([{"queue": one} for one in queues])
        )
        lanes: dict[str, list[str]] = {}
        for queue, application_id in found:
            lanes.setdefault(queue, []).append(application_id)
    return lanes


def due(
    db: Database, queue: str, most: Mapping[str, int], *, room: int, again_after: float
) -> list[Ring]:
    """Up to `room` rows that wait for a ring on `queue`, oldest first, the applications in turn: an
    equal share of each, up to the `most` it may have, and what one leaves of its share is the
    others'. They are not offered again for `again_after` seconds."""
    shares: dict[str, list[Ring]] = {one: [] for one in most}
    asked = {"of_queue": queue, "again_after": again_after}
    with db.alone() as connection:
        hungry = list(shares)
        while hungry and (each := room // len(hungry)):
            still = []
            for application_id in hungry:
                share = shares[application_id]
                wanted = min(each, most[application_id] - len(share))
                found = connection.execute(
                    db.statement(_due), asked | {"of_application": application_id, "each": wanted}
                )
                ids = found.scalars().all()
                share += [Ring(one, queue, application_id) for one in ids]
                room -= len(ids)
                if len(ids) == wanted and len(share) < most[application_id]:
                    still.append(application_id)
            hungry = still
    turns = itertools.zip_longest(*shares.values())
    return [ring for turn in turns for ring in turn if ring is not None]


def unring(db: Database, ids: Collection[UUID]) -> None:
    """Forget that these rows were rung: the next sweep of any worker rings them at once."""
    statement = (
        update(message_result)
        .where(database.among(db, row.id), state == State.QUEUED)
        .values(ring_at=row.due_at)
    )
    with db.engine.begin() as connection:
        connection.execute(statement, database.as_ids(db, ids))


def _waiting(db: Database) -> Executable:
    lane = database.given(db, queue=Text()).c.queue
    hop = select(
        lane.label("queue"),
        select(func.min(row.application_id))
        .where(WAITING, row.queue == lane)
        .scalar_subquery()
        .label("application_id"),
    ).cte("hop", recursive=True)
    following = (
        select(func.min(row.application_id))
        .where(
            WAITING,
            row.queue == hop.c.queue,
            row.application_id > hop.c.application_id,
        )
        .scalar_subquery()
    )
    hop = hop.union_all(select(hop.c.queue, following).where(hop.c.application_id.is_not(None)))
    rings = select(row.id).where(
        WAITING,
        row.queue == hop.c.queue,
        row.application_id == hop.c.application_id,
        row.ring_at <= db.after(0),
    )
    return select(hop.c.queue, hop.c.application_id).where(rings.exists())


def _due(db: Database) -> Executable:
    wanted = locked(
        select(row.id)
        .where(
            WAITING,
            row.queue == bindparam("of_queue", type_=Text()),
            row.application_id == bindparam("of_application", type_=Text()),
            row.ring_at <= db.after(0),
        )
        .order_by(row.ring_at)
        .limit(bindparam("each", type_=Integer()))
    )
    return (
        update(message_result)
        # That a row was rung for may be forgotten: it is rung for again.
        .where(row.id == wanted.c.id, database.hurried(db))
        .values(ring_at=db.after(bindparam("again_after", type_=Float())))
        .returning(row.id)
    )
