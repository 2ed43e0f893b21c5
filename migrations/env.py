"""Alembic runs this. The connection comes from `worker.store.schema`, never from a file."""

from alembic import context

from worker.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Run migrations with: sendpoint db upgrade")

# Two processes that start at once take turns (SQLite's BEGIN IMMEDIATE does the same by itself).
if connection.dialect.name == "postgresql":
    connection.exec_driver_sql("SET LOCAL lock_timeout TO 0")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7366013)")
    # A change of a table waits for nobody longer than this: all others would wait behind it.
    connection.exec_driver_sql("SET LOCAL lock_timeout TO '10s'")

context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
