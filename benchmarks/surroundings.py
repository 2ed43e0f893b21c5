"""What a benchmark runs on and sends to: the machine, servers, and the providers' sinks."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests import servers

IN_FLIGHT = 100
MAIL_CONNECTIONS = 20


@dataclass(frozen=True)
class Machine:
    """What figures were measured on, and how busy it was with other things before and while."""

    cores: int
    architecture: str
    python: str
    load_before: float

    def __str__(self) -> str:
        text = f"{self.cores} cores, {self.architecture}, Python {self.python}"
        if self.load_before > self.cores / 4:
            text += f"; shared with other work (load {self.load_before:.1f} before this began)"
        return text


def machine(load_before: float) -> Machine:
    """This one."""
    return Machine(
        cores=os.cpu_count() or 1,
        architecture=platform.machine(),
        python=platform.python_version(),
        load_before=load_before,
    )


class Sinks:
    """The providers' process (`benchmarks.sinks`). `settings` are those of each channel."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sinks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ps = psutil.Process(self.process.pid)
        self.settings: dict[str, dict[str, Any]] = self._line()
        for name in ("GCM", "ADM", "BAIDU", "SMS", "VOICE", "CUSTOM"):
            self.settings[name]["connections"] = IN_FLIGHT
        self.settings["EMAIL"]["connections"] = MAIL_CONNECTIONS
        # Everybody's clients, in whatever process and language, are to trust who plays Firebase.
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
            os.environ[name] = _trusted(name, Path(self.settings["APNS"]["ca_file"]))

    def counts(self) -> Mapping[str, int]:
        """How many messages each channel has taken."""
        return self._ask("counts")

    def arrivals(self) -> Mapping[str, float]:
        """When each registration token's push came, by the monotonic clock, since last asked."""
        return dict(self._ask("arrivals"))

    def close(self) -> None:
        self.process.communicate()

    def _ask(self, question: str) -> Any:
        assert self.process.stdin is not None
        print(question, file=self.process.stdin, flush=True)
        return self._line()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def _trusted(name: str, ours: Path) -> str:
    """A file with this authority and those that the environment names already: what is installed
    on the way comes from elsewhere."""
    before = os.environ.get(name)
    if before is None or not Path(before).is_file():
        return str(ours)
    both = ours.with_suffix(f".{name}")
    both.write_text(Path(before).read_text() + ours.read_text())
    return str(both)


@contextlib.contextmanager
def sinks() -> Iterator[Sinks]:
    """The sinks, while they run."""
    started = Sinks()
    try:
        yield started
    finally:
        started.close()


@dataclass(frozen=True)
class Servers:
    """PostgreSQL, which waits for the disk at every commit, Redis, and the providers."""

    postgres: servers.Server
    redis: servers.Server
    sinks: Sinks

    def database(self, name: str) -> str:
        """A new, empty database; its URL as SQLAlchemy wants it."""
        with psycopg.connect(f"{self.postgres.url}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{self.postgres.url}/{name}".replace("://", "+psycopg://")

    def processes(self) -> dict[str, psutil.Process]:
        """The servers' own processes, by name."""
        assert self.postgres.process is not None
        assert self.redis.process is not None
        return {
            "postgresql": psutil.Process(self.postgres.process.pid),
            "redis": psutil.Process(self.redis.process.pid),
            "providers": self.sinks.ps,
        }


@contextlib.contextmanager
def all_servers() -> Iterator[Servers]:
    """Servers of this run's own, on free ports of loopback."""
    with (
        servers.postgres(durable=True) as postgres,
        servers.redis() as redis,
        sinks() as providers,
    ):
        yield Servers(postgres, redis, providers)


def load() -> float:
    """How many processes wanted a core, on average over the last minute."""
    return os.getloadavg()[0]
