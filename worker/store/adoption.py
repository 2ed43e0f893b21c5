"""Endpoints that another system had, many at a time.

By the rules of UpdateEndpoint, with one difference: these are from the past, and the newer one of
two wins, whichever comes first. So they can be taken over again, after an interruption or together
with more, and it comes to the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Text, bindparam, insert, select, tuple_, update

from worker import merging, wire
from worker.store import database, directory, registration
from worker.store.database import Database
from worker.store.tables import endpoint


@dataclass(frozen=True, slots=True)
class SavedEndpoint:
    """An endpoint as it was, whole. `effective_at` is None if it is not known when that was, and
    `id_given` false if the id is not its own."""

    id: str
    endpoint: wire.EndpointRequest
    created_at: datetime | None = None
    effective_at: datetime | None = None
    cohort_id: str | None = None
    id_given: bool = True


def adopt_endpoints(
    db: Database, application_id: str, saved: Sequence[SavedEndpoint], *, dry_run: bool = False
) -> list[bool | wire.BadRequest]:
    """Take over endpoints in one transaction. Says of each whether it was taken; False if the
    database has it, or a newer one; or else why it cannot be, which keeps none of the others out.

    One that does not say when it was so never changes one that is there, nor does one without an id
    of its own join another that has its channel and address. Raises `NotFound` for an unknown
    application.
    """
    with db.writing(dry_run=dry_run) as connection:
        if not dry_run:
            registration.lock(connection, application_id)
        now = connection.execute(select(db.after(0))).scalar_one()
        known = _Known(application_id, now)
        known.look_up(db, connection, saved)
        adopted = [known.adopt(one) for one in saved]
        if not dry_run:
            known.write(connection)
    return adopted


@dataclass(slots=True)
class _Endpoint:
    """An endpoint's row as it will be."""

    values: dict[str, Any]
    effective_at: datetime  # as it is shown, by which a user's oldest is found
    is_new: bool = False
    is_taken: bool = False
    is_displaced: bool = False

    @property
    def is_active(self) -> bool:
        return bool(self.values["endpoint_status"] == "ACTIVE")


@dataclass(slots=True)
class _Known:
    """The endpoints that a batch may concern: those with its ids, addresses and users."""

    application_id: str
    now: datetime
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)
    by_address: defaultdict[tuple[str | None, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    by_user: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def look_up(self, db: Database, connection: Connection, saved: Sequence[SavedEndpoint]) -> None:
        """Read what the database has of them."""
        asked = database.given(
            db, key=Text(), channel_type=Text(), address=Text(), user_id=Text()
        ).c
        rows = [
            {
                "key": one.id.casefold(),
                "channel_type": one.endpoint.ChannelType,
                "address": one.endpoint.Address,
                "user_id": one.endpoint.User.UserId if one.endpoint.User else None,
            }
            for one in saved
        ]
        # IN and not a join: SQLite would go through all endpoints of the application instead.
        for matches in (
            endpoint.c.endpoint_key.in_(select(asked.key)),
            tuple_(endpoint.c.channel_type, endpoint.c.address).in_(
                select(asked.channel_type, asked.address)
            ),
            endpoint.c.user_id.in_(select(asked.user_id)),
        ):
            statement = select(endpoint).where(
                endpoint.c.application_id == self.application_id, matches
            )
            for row in connection.execute(statement, database.as_rows(rows)):
                if row.endpoint_key not in self.endpoints:
                    values = dict(row._mapping)  # noqa: SLF001 - its public name for a row as a dict
                    self._put(row.endpoint_key, _Endpoint(values, registration.effective(row)))

    def adopt(self, one: SavedEndpoint) -> bool | wire.BadRequest:
        """Take one over, if it may be."""
        try:
            return self._adopt(one)
        except wire.BadRequest as error:
            return error

    def write(self, connection: Connection) -> None:
        """Write down what came of it."""
        found = [one for one in self.endpoints.values() if one.is_taken]
        if new := [one.values for one in found if one.is_new]:
            connection.execute(insert(endpoint), new)
        self._change(connection, [one.values for one in found if not one.is_new])
        displaced = [
            one for one in self.endpoints.values() if one.is_displaced and not one.is_taken
        ]
        names = ("endpoint_key", "endpoint_status", "user_id", "attributes")
        self._change(connection, [{name: one.values[name] for name in names} for one in displaced])

    def _change(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        changed = [name for name in rows[0] if name not in {"application_id", "endpoint_key"}]
        statement = (
            update(endpoint)
            .where(
                endpoint.c.application_id == self.application_id,
                endpoint.c.endpoint_key == bindparam("key"),
            )
            .values({name: bindparam(f"new_{name}") for name in changed})
        )
        connection.execute(
            statement,
            [
                {"key": one["endpoint_key"], **{f"new_{name}": one[name] for name in changed}}
                for one in rows
            ],
        )

    def _adopt(self, one: SavedEndpoint) -> bool:
        merging.check_id(one.id)
        if one.effective_at is not None and one.effective_at > self.now:
            # A date that a caller gave. It would be newer than anything that happens here.
            one = replace(one, effective_at=None)
        key = one.id.casefold()
        old = self.endpoints.get(key)
        new = merging.merge(None, one.endpoint)
        if old is not None and (one.effective_at is None or not _is_newer(one, old)):
            if one.effective_at is None and new.OptOut == "ALL" != old.values["opt_out"]:
                raise wire.BadRequest(
                    "OptOut: is ALL, and the database has NONE; nothing says which one is newer"
                )
            return False
        at = new.ChannelType, new.Address or ""
        if not one.id_given and self.by_address[at] - {key}:
            return False
        new = self._with_room(key, one, new)
        if new.EndpointStatus == "ACTIVE":
            new = self._alone_at(key, at, one, new)
        self._take(key, one, new)
        return True

    def _with_room(
        self, key: str, one: SavedEndpoint, new: wire.EndpointRequest
    ) -> wire.EndpointRequest:
        """The endpoint after the rule for a user's 16th, by which the oldest of them all gives
        way: the new one too, if it is that."""
        user_id = new.User.UserId if new.User else None
        if user_id is None:
            return new
        others = self.by_user[user_id] - {key}
        if len(others) < registration.MAX_PER_USER:
            return new
        pushes = [
            other
            for other in others
            if self.endpoints[other].values["channel_type"] in registration.MAKE_ROOM
        ]
        if new.ChannelType not in registration.MAKE_ROOM or not pushes:
            raise wire.BadRequest(
                f"Exceeded maximum endpoint per user count {registration.MAX_PER_USER}"
            )
        oldest = min(pushes, key=lambda other: self.endpoints[other].effective_at)
        if self._effective(one) < self.endpoints[oldest].effective_at:
            user = msgspec.structs.replace(new.User, UserId=None) if new.User else None
            return msgspec.structs.replace(new, EndpointStatus="INACTIVE", User=user)
        gone = self.endpoints[oldest]
        user_attributes = {
            name: value
            for name, value in gone.values["attributes"].get("User", {}).items()
            if name != "UserId"
        }
        self.by_user[user_id].discard(oldest)
        gone.values |= {
            "endpoint_status": "INACTIVE",
            "user_id": None,
            "attributes": {**gone.values["attributes"], "User": user_attributes},
        }
        gone.is_displaced = True
        return new

    def _alone_at(
        self, key: str, at: tuple[str | None, str], one: SavedEndpoint, new: wire.EndpointRequest
    ) -> wire.EndpointRequest:
        """Of the endpoints with an address only the newest is ACTIVE."""
        others = [
            self.endpoints[other]
            for other in self.by_address[at] - {key}
            if self.endpoints[other].is_active
        ]
        if others and (
            one.effective_at is None
            or any(other.values["effective_at"] > one.effective_at for other in others)
        ):
            return msgspec.structs.replace(new, EndpointStatus="INACTIVE")
        for other in others:
            other.values["endpoint_status"] = "INACTIVE"
            other.is_displaced = True
        return new

    def _take(self, key: str, one: SavedEndpoint, new: wire.EndpointRequest) -> None:
        old = self.endpoints.get(key)
        if old is not None:
            self.by_address[old.values["channel_type"], old.values["address"]].discard(key)
            self.by_user[old.values["user_id"]].discard(key)
        effective_at = self._effective(one)
        created_at = one.created_at or effective_at
        values = {
            "application_id": self.application_id,
            "endpoint_key": key,
            **directory.endpoint_values(one.id, new, cohort_id=one.cohort_id),
            "created_at": min(created_at, old.values["created_at"]) if old else created_at,
            "effective_at": effective_at,
        }
        is_new = old is None or old.is_new
        self._put(key, _Endpoint(values, effective_at, is_new=is_new, is_taken=True))

    def _put(self, key: str, one: _Endpoint) -> None:
        self.endpoints[key] = one
        self.by_address[one.values["channel_type"], one.values["address"]].add(key)
        if one.values["user_id"] is not None:
            self.by_user[one.values["user_id"]].add(key)

    def _effective(self, one: SavedEndpoint) -> datetime:
        return one.effective_at or self.now


def _is_newer(one: SavedEndpoint, old: _Endpoint) -> bool:
    """By our own clock for what was changed here since, and not by a date that a caller gave."""
    return one.effective_at is not None and one.effective_at > old.values["effective_at"]
