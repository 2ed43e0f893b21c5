"""A witness in the database itself: a trigger that keeps every change of a recipient's row, whoever
makes it and whatever the code believes it did."""

from __future__ import annotations

from worker.store import Database

_COLUMNS = """
    row_id {uuid}, old_state text, state text, old_token bigint, token bigint,
    old_attempt integer, attempt integer, old_lease_until {time}, lease_until {time}, lost {bool}
"""
_NAMES = (
    "row_id, old_state, state, old_token, token, old_attempt, attempt, old_lease_until, "
    "lease_until, lost"
)
_VALUES = (
    "NEW.id, OLD.state, NEW.state, OLD.lease_token, NEW.lease_token, OLD.attempt, NEW.attempt, "
    "OLD.lease_until, NEW.lease_until, "
    # A rescue counts the attempt and says so; a message that is given back keeps the words of the
    # rescue before it and takes its attempt back.
    "coalesce(NEW.status_message LIKE 'The worker was lost%' AND OLD.state = 'SENDING' "
    "AND NEW.state <> 'SENDING' AND NEW.attempt = OLD.attempt, {false})"
)
_TELLING = (
    "OLD.state = 'DONE' OR OLD.state <> NEW.state OR OLD.lease_token <> NEW.lease_token "
    "OR OLD.attempt <> NEW.attempt"
)

_POSTGRESQL = (
    f"""CREATE TABLE witness (number bigserial PRIMARY KEY, at timestamptz,
    {_COLUMNS.format(uuid="uuid", time="timestamptz", bool="boolean")})""",
    f"""CREATE FUNCTION testify() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness ({_NAMES}, at) VALUES ({_VALUES.format(false="false")}, {{now}});
    RETURN NULL; END $$""",
    f"""CREATE TRIGGER testify AFTER UPDATE ON message_result FOR EACH ROW WHEN ({_TELLING})
    EXECUTE FUNCTION testify()""",
)
_SQLITE = (
    f"""CREATE TABLE witness (number integer PRIMARY KEY AUTOINCREMENT,
    at text,
    {_COLUMNS.format(uuid="text", time="text", bool="integer")})""",
    f"""CREATE TRIGGER testify AFTER UPDATE ON message_result WHEN {_TELLING} BEGIN
    INSERT INTO witness ({_NAMES}, at) VALUES ({_VALUES.format(false="0")}, {{now}}); END""",
)


_NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')"}


def install(db: Database) -> None:
    """Let every change of `message_result` that says something be kept in the table `witness`: of
    when to ring a row may change as it likes."""
    dialect = db.engine.dialect.name
    percent = "%%" if dialect == "postgresql" else "%"
    with db.engine.begin() as connection:
        for statement in _POSTGRESQL if dialect == "postgresql" else _SQLITE:
            # `text` would read the colons of a time format as parameters
            shown = statement.replace("{now}", _NOW[dialect]).replace("%", percent)
            connection.exec_driver_sql(shown)
