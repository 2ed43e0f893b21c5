"""The tables. `migrations/` builds them; a test holds the two together.

`message_result` is the ledger: one row per recipient of a request, and the only place that decides
whether a message is still to be sent. Its states:

    QUEUED   to be sent at `due_at`
    SENDING  held by a worker until `lease_until`; only the holder of `lease_token` may record
    DONE     settled for good

`delivery_status` says what the last attempt came to and is null before the first.
"""

from __future__ import annotations

import enum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    literal_column,
    text,
)

from worker.store.clock import Utc


class State(enum.StrEnum):
    """Where a recipient's row stands."""

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    DONE = "DONE"


class Reported(enum.IntEnum):
    """What was heard of a message since it was handed over. It only ever grows."""

    MORE_TO_COME = 1
    LAST_WORD = 2
    COMPLAINED = 3


FAILED = "state = 'DONE' AND delivery_status IN ('PERMANENT_FAILURE', 'TIMEOUT', 'UNKNOWN_FAILURE')"
"""What is true of the recipients who should have got a message and did not, or may not have."""


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

application = Table(
    "application",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("tags", JSON, nullable=False),
    Column("settings", JSON),
    Column("settings_modified_at", Utc),
    Column("created_at", Utc, nullable=False),
)

channel = Table(
    "channel",
    metadata,
    Column("application_id", ForeignKey("application.id", ondelete="CASCADE"), primary_key=True),
    Column("channel_type", String(20), primary_key=True),
    Column("providers", Text, nullable=False),  # sealed: they hold credentials
    Column("provider_count", SmallInteger, nullable=False),
    Column("details", JSON, nullable=False),  # what Pinpoint's callers said of it, no secrets
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("modified_at", Utc, nullable=False),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("application_id", ForeignKey("application.id", ondelete="CASCADE"), primary_key=True),
    # Pinpoint: endpoint ids are case-insensitive, so the key is folded and the id kept as given.
    Column("endpoint_key", Text, primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("channel_type", String(20)),
    Column("address", Text),
    Column("opt_out", String(4), nullable=False),
    Column("endpoint_status", String(8), nullable=False),
    Column("user_id", Text),
    Column("attributes", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("effective_at", Utc, nullable=False),
    Index(None, "application_id", "user_id"),
    Index(None, "application_id", "channel_type", "address"),
)

opt_out = Table(
    "opt_out",
    metadata,
    Column("application_id", ForeignKey("application.id", ondelete="CASCADE"), primary_key=True),
    Column("channel_type", String(20), primary_key=True),
    Column("address", Text, primary_key=True),
    Column("created_at", Utc, nullable=False),
)

access_key = Table(
    "access_key",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("secret", Text, nullable=False),  # sealed: a signature is checked with the plain one
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("scope", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
)

rate_limit = Table(
    "rate_limit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(32), nullable=False),  # an application, an access key, or * for all
    Column("what", Text, nullable=False),
    Column("count", Integer),  # null, as the seconds, of one that is a bound and no rate
    Column("seconds", Integer),
    Column("burst", Integer, nullable=False),
    Column("modified_at", Utc, nullable=False),
    UniqueConstraint("owner", "what"),
)

worker_process = Table(
    "worker_process",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("seen_at", Utc, nullable=False),
)

message_request = Table(
    "message_request",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("application_id", String(32), nullable=False),  # the ledger outlives its application
    Column("body", Text, nullable=False),
    Column("trace_id", Text),
    Column("created_at", Utc, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("application_id", String(32), primary_key=True),
    Column("caller", String(20), primary_key=True),  # an access key's id, or nothing
    Column("key", String(200), primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("expires_at", Utc, nullable=False),
    Index(None, "expires_at"),
)

# The messages that are not sent again before `expires_at`.
recent_message = Table(
    "recent_message",
    metadata,
    Column("application_id", String(32), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("result_id", Uuid, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
)

message_result = Table(
    "message_result",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("application_id", String(32), nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("user_id", Text),  # of one that SendUsersMessages fanned out to
    Column("endpoint_id", Text),
    Column("channel_type", String(20)),
    Column("address", Text, nullable=False),
    Column("configuration", Text),
    Column("variables", Text),
    Column("queue", String(40), nullable=False),
    Column("provider", Text),
    Column("state", String(8), nullable=False),
    Column("delivery_status", String(20)),
    Column("status_code", Integer),
    Column("status_message", Text),
    Column("fault", String(11)),
    Column("message_id", Text),
    Column("updated_token", Text),
    Column("reported", SmallInteger),  # `Reported`; null until something is heard
    Column("attempt", SmallInteger, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("ring_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until", Utc),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("replay_of", Uuid),  # the message that failed, and that this one is sent instead of
    Index(None, "request_id"),
    Index(
        "ix_message_result_replay_of",
        "replay_of",
        unique=True,
        sqlite_where=text("replay_of IS NOT NULL"),
        postgresql_where=text("replay_of IS NOT NULL"),
    ),
    Index(
        "ix_message_result_failed",
        "application_id",
        "updated_at",
        "id",
        sqlite_where=text(FAILED),
        postgresql_where=text(FAILED),
    ),
)

# Only what is not DONE is indexed by time, so the working set stays small at any table size. A
# query says one of these word for word to get its index. The second halves always hold: without
# them PostgreSQL, whose statistics of this table are always old, may take the other index.
_column = message_result.c
_queued = _column.state == literal_column(f"'{State.QUEUED}'", Text())
WAITING = and_(_queued, _column.queue != literal_column("''", Text()))
EXPIRING = and_(_queued, _column.attempt >= literal_column("0", Integer()))
HELD = _column.state == literal_column(f"'{State.SENDING}'", Text())

for name, columns, rows in (
    ("ring", (_column.queue, _column.application_id, _column.ring_at), WAITING),
    ("expiry", (_column.expires_at,), EXPIRING),
    ("lease", (_column.lease_until,), HELD),
):
    Index(f"ix_message_result_{name}", *columns, sqlite_where=rows, postgresql_where=rows)

message_attempt = Table(
    "message_attempt",
    metadata,
    Column("result_id", Uuid, primary_key=True),
    Column("lease_token", BigInteger, primary_key=True),
    # Whether it is the word of a worker that had lost its lease; the rescue's word may exist too.
    Column("late", Boolean, primary_key=True),
    Column("attempt", SmallInteger, nullable=False),
    Column("provider", Text),
    Column("fault", String(11)),
    Column("delivery_status", String(20), nullable=False),
    Column("status_code", Integer, nullable=False),
    Column("status_message", Text, nullable=False),
    Column("ended_at", Utc, nullable=False),
)

# The code that is good for a reference and a phone number, from its sending until it is used or
# expired; a new one takes its place. Like requests, codes outlive their application, by an hour.
one_time_code = Table(
    "one_time_code",
    metadata,
    Column("application_id", String(32), primary_key=True),
    Column("reference_id", String(48), primary_key=True),
    Column("destination", String(16), primary_key=True),
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("mac", Text, nullable=False),  # what a guess is compared with
    Column("sealed", Text),  # the code itself, until it was sent
    Column("attempts_left", SmallInteger, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
)

code_limit = Table(
    "code_limit",
    metadata,
    Column("application_id", String(32), primary_key=True),
    Column("destination", String(16), primary_key=True),
    Column("sends", Integer, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
)

template = Table(
    "template",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("type", String(5), primary_key=True),
    Column("active_version", Integer, nullable=False),
    Column("last_version", Integer, nullable=False),  # ever given out: no number is used again
    Column("tags", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
)

template_version = Table(
    "template_version",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("type", String(5), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("modified_at", Utc, nullable=False),
    ForeignKeyConstraint(("name", "type"), ("template.name", "template.type"), ondelete="CASCADE"),
)

event_stream = Table(
    "event_stream",
    metadata,
    Column("application_id", ForeignKey("application.id", ondelete="CASCADE"), primary_key=True),
    Column("destination", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("modified_by", Text),
    Column("modified_at", Utc, nullable=False),
)

# What event streams are still to be told. A row goes once the sink has it.
event = Table(
    "event",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("application_id", String(32), nullable=False),  # no key: it would be checked for each
    Column("record", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    sqlite_autoincrement=True,  # an id is never given out again
)

# What one process at a time does, and whose turn it is until when.
turn = Table(
    "turn",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("until", Utc, nullable=False),
)
