"""Alembic's migrations of the ledger; `sendpoint db upgrade` applies them."""
