"""Who may call the API: access keys, what they may do, and to which applications.

A key is a pair for the AWS SDKs, which sign with its secret, and a bearer token for everybody else.
Checking a signature takes the plain secret, so that is sealed, bound to its own row. A token only
has to be recognised, so of that no more than its hash is kept.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from worker.store.database import Database
from worker.store.tables import access_key

ANY = "*"


class Action(enum.StrEnum):
    """What a key may be good for."""

    SEND = "send"
    MANAGE = "manage"
    READ = "read"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key and its scope. `applications` is None for all, those that are yet to come too."""

    id: str
    name: str
    applications: frozenset[str] | None
    actions: frozenset[Action]
    enabled: bool
    created_at: datetime

    def covers(self, application_id: str | None) -> bool:
        """Whether an application is in the scope, or for None what belongs to none of them."""
        return self.applications is None or application_id in self.applications


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key's credentials. Nobody can read the token again."""

    id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def create_key(
    db: Database,
    name: str,
    *,
    applications: Iterable[str] | None = None,
    actions: Iterable[Action] = tuple(Action),
) -> IssuedKey:
    """Store a new key that is enabled; without a scope, one that may do everything. `ValueError` if
    there is no key to seal its secret with."""
    # As long as AWS's ids and secrets are, which some tools check; the id does not look like AWS's
    # own, which scanners for leaked keys would raise an alarm over.
    drawn = base64.b32encode(secrets.token_bytes(10)).decode()
    issued = IssuedKey(f"SPAK{drawn}", secrets.token_urlsafe(30), f"sp_{secrets.token_urlsafe(32)}")
    scope = {
        "applications": [ANY] if applications is None else sorted(applications),
        "actions": sorted(actions),
    }
    with db.engine.begin() as connection:
        connection.execute(
            insert(access_key).values(
                id=issued.id,
                name=name,
                secret=db.vault.seal(issued.secret.encode(), place=_place(issued.id)),
                token_hash=_hash(issued.token),
                scope=scope,
                enabled=True,
                created_at=db.after(0),
            )
        )
    return issued


def access_keys(db: Database) -> list[AccessKey]:
    """Every key, the oldest first. Needs no key to open anything with."""
    with db.reading() as connection:
        found = connection.execute(
            select(access_key).order_by(access_key.c.created_at, access_key.c.id)
        )
        return [_key(one) for one in found]


def disable_key(db: Database, key_id: str) -> bool:
    """Let nobody in with a key any more; says whether there is such a key."""
    statement = (
        update(access_key)
        .where(access_key.c.id == key_id)
        .values(enabled=False)
        .returning(access_key.c.id)
    )
    with db.engine.begin() as connection:
        return connection.execute(statement).first() is not None


def find_key(db: Database, key_id: str) -> tuple[AccessKey, str] | None:
    """A key that is enabled, and its secret. `ValueError` if that does not open."""
    if not (key_id.isascii() and key_id.isalnum()):
        return None  # PostgreSQL can not even be asked for one with NUL in it
    found = _enabled(db, access_key.c.id == key_id)
    if found is None:
        return None
    return _key(found), db.vault.open(found.secret, place=_place(found.id)).decode()


def find_token(db: Database, token: str) -> AccessKey | None:
    """The key that a bearer token belongs to, if it is enabled."""
    found = _enabled(db, access_key.c.token_hash == _hash(token))
    return None if found is None else _key(found)


def seal_keys_again(db: Database) -> int:
    """Seal with the vault's current key what another one sealed; says how many that were."""
    with db.engine.begin() as connection:
        rows = connection.execute(select(access_key).with_for_update()).all()
        old = [one for one in rows if not db.vault.is_current(one.secret)]
        for one in old:
            place = _place(one.id)
            sealed = db.vault.seal(db.vault.open(one.secret, place=place), place=place)
            connection.execute(
                update(access_key).where(access_key.c.id == one.id).values(secret=sealed)
            )
    return len(old)


def _enabled(db: Database, condition: Any) -> Row[Any] | None:
    with db.reading() as connection:
        return connection.execute(
            select(access_key).where(condition, access_key.c.enabled.is_(True))
        ).first()


def _key(one: Row[Any]) -> AccessKey:
    listed = one.scope["applications"]
    return AccessKey(
        id=one.id,
        name=one.name,
        applications=None if ANY in listed else frozenset(listed),
        actions=frozenset(map(Action, one.scope["actions"])),
        enabled=one.enabled,
        created_at=one.created_at,
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _place(key_id: str) -> str:
    """What a key's sealed secret is bound to."""
    return f"access key {key_id}"
