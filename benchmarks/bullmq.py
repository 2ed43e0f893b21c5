"""The service on BullMQ (`bullmq.js`) as a contender. Its packages are installed for the run, into
the project's `.node` folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from benchmarks import contenders, plain
from benchmarks.surroundings import Servers
from tests import javascript

PACKAGES = {"bullmq": "6.7.0", "ioredis": "6.0.0", "nodemailer": "10.6.1", "pg": "8.23.1"}
Missing = javascript.Missing

_FOLDER = javascript.HERE / "bullmq"
_SCRIPT = str(Path(__file__).with_suffix(".js"))
_TABLE = """
CREATE TABLE notification (
  id bigserial PRIMARY KEY,
  channel text NOT NULL,
  address text NOT NULL,
  title text NOT NULL,
  text text NOT NULL,
  variables jsonb NOT NULL,
  status text NOT NULL DEFAULT 'QUEUED',
  provider_id text,
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz
);
CREATE INDEX ON notification (status);
"""


class BullMq:
    """On a database of its own and the Redis of all. Raises `Missing` if node or a package is."""

    def __init__(self, servers: Servers) -> None:
        javascript.install(PACKAGES, _FOLDER)
        database = servers.database("bullmq").replace("+psycopg", "")
        self._postgres = psycopg.connect(database, autocommit=True)
        self._postgres.execute(_TABLE)
        settings = {
            "database": database,
            "redis": servers.redis.port,
            "providers": servers.sinks.settings,
        }
        self._environment = {
            "PEER_SETTINGS": json.dumps(settings),
            "NODE_PATH": str(_FOLDER / "node_modules"),
        }
        self._acceptor = subprocess.Popen(
            [javascript.node(), _SCRIPT, "accept"],
            env=os.environ | self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.accepting = [psutil.Process(self._acceptor.pid)]
        self.workers: list[psutil.Process] = []

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[BullMq]:
        """With so many worker processes."""
        command = [javascript.node(), _SCRIPT, "worker"]
        with contenders.processes(command, self._environment, count=count) as self.workers:
            yield self

    def accept(self, channel: str, first: int, count: int = contenders.BATCH) -> None:
        assert self._acceptor.stdin is not None
        assert self._acceptor.stdout is not None
        rows = plain.rows(channel, first, count)
        print(json.dumps({"rows": rows}), file=self._acceptor.stdin, flush=True)
        if not self._acceptor.stdout.readline():
            raise RuntimeError("the service on BullMQ has ended")

    def unsettled(self) -> int:
        return plain.having(self._postgres, "QUEUED")

    def failed(self) -> int:
        return plain.having(self._postgres, "FAILED")

    def forget(self) -> None:
        self._postgres.execute("TRUNCATE notification")

    def close(self) -> None:
        self._acceptor.communicate(timeout=30)
        self._postgres.close()
