"""What speaks against sending a message again that failed, as SQL over the ledger."""

from __future__ import annotations

import enum

from sqlalchemy import ColumnElement, and_, case, exists, or_

from worker.store.tables import message_attempt, message_result

_row = message_result.c
_replay = message_result.alias("replay")


class Standing(enum.StrEnum):
    """What speaks against sending a failed message again."""

    READY = "READY"
    """Nothing does."""
    UNSURE = "UNSURE"
    """An attempt had no answer, so it may have been delivered."""
    DELIVERED = "DELIVERED"
    """An attempt that was given up on turned out to have been successful."""
    REPLAYED = "REPLAYED"
    """It was sent again before."""


def _attempted(status: str, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether an attempt at the message came to that."""
    one = message_attempt.c
    return exists().where(one.result_id == _row.id, one.delivery_status == status, *more)


_REPLAYED = exists().where(_replay.c.replay_of == _row.id)
_DELIVERED = _attempted("SUCCESSFUL", message_attempt.c.late)
_UNSURE = or_(_row.delivery_status == "UNKNOWN_FAILURE", _attempted("UNKNOWN_FAILURE"))

IS = {
    Standing.REPLAYED: _REPLAYED,
    Standing.DELIVERED: and_(~_REPLAYED, _DELIVERED),
    Standing.UNSURE: and_(~_REPLAYED, ~_DELIVERED, _UNSURE),
    Standing.READY: and_(~_REPLAYED, ~_DELIVERED, ~_UNSURE),
}
"""Whether that is how a failed message stands."""


def of_failure() -> ColumnElement[str]:
    """How a failed message stands, as a column."""
    return case(
        (_REPLAYED, Standing.REPLAYED),
        (_DELIVERED, Standing.DELIVERED),
        (_UNSURE, Standing.UNSURE),
        else_=Standing.READY,
    ).label("standing")
