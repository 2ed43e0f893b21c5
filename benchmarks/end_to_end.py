"""From intake to a stored outcome: PostgreSQL, Redis, worker processes and a mail server, all real,
all on this machine.

`python -m benchmarks.end_to_end` (or `make bench`) prints a table and writes `benchmarks.json`.
Figures are medians over the rounds. PostgreSQL waits for the disk at every commit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks import surroundings
from tests import servers
from worker import intake, runtime, settings, store, vault, wire

REQUEST = {
    "MessageConfiguration": {
        "EmailMessage": {
            "SimpleEmail": {
                "Subject": {"Data": "Your order {{order}}"},
                "TextPart": {"Data": "Dear {{name}},\nyour order {{order}} is on its way.\n"},
                "HtmlPart": {
                    "Data": "<p>Dear {{name}},</p><p>your order <b>{{order}}</b> is on its way.</p>"
                },
            }
        }
    }
}


@dataclass
class Round:
    """What one round measured. Rates are per second, times in milliseconds, memory in MiB."""

    workers: int
    deliveries_per_second: float
    per_worker: float
    worker_cpu_us: float
    worker_memory: float
    intake_p50: float
    intake_p99: float


class Bench:
    """A deployment that rounds run in."""

    def __init__(self, database_url: str, broker_url: str, sink_port: int) -> None:
        self.settings = settings.Settings(
            database_url=database_url, broker_url=broker_url, secret_keys=vault.new_key()
        )
        self.runtime = runtime.open_runtime(self.settings)
        store.upgrade(self.runtime.db)
        self.application = store.create_application(self.runtime.db, "bench").id
        store.set_channel(
            self.runtime.db,
            self.application,
            "EMAIL",
            adapter="smtp",
            settings={
                "host": "127.0.0.1",
                "port": sink_port,
                "security": "none",
                "from_address": "shop@example.com",
                "connections": 20,
            },
        )

    def accept(self, recipients: int) -> tuple[list, list[float]]:
        """Accept so many recipients, 100 a request; the requests, and each one's milliseconds."""
        requests, times = [], []
        for first in range(0, recipients, 100):
            addresses = {
                f"r{number}@example.com": {
                    "ChannelType": "EMAIL",
                    "Substitutions": {"name": [f"Ann {number}"], "order": [str(number)]},
                }
                for number in range(first, first + 100)
            }
            request = wire.convert(REQUEST | {"Addresses": addresses}, wire.MessageRequest)
            started = time.perf_counter()
            accepted = intake.accept(self.runtime, self.application, request)
            times.append((time.perf_counter() - started) * 1000)
            requests.append(accepted.request_id)
        return requests, times

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[list[psutil.Process]]:
        """So many worker processes."""
        environment = os.environ | {
            "SENDPOINT_DATABASE_URL": self.settings.database_url,
            "SENDPOINT_BROKER_URL": self.settings.broker_url,
            "SENDPOINT_SECRET_KEYS": self.settings.secret_keys,
            "SENDPOINT_LOG_LEVEL": "WARNING",
        }
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "worker.cli", "worker"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(count)
        ]
        try:
            yield [psutil.Process(one.pid) for one in started]
        finally:
            for one in started:
                one.terminate()
            for one in started:
                one.wait(60)

    def round(self, workers: int, recipients: int) -> Round:
        """Let workers come up on a first hundred, then accept the rest and time until all are
        settled. Accepting takes a part of the machine, as it does in life."""
        with self.workers(workers) as processes:
            warm, _ = self.accept(100 * workers)
            self._settle(warm)
            cpu = _cpu(processes)
            started = time.perf_counter()
            requests, times = self.accept(recipients)
            self._settle(requests)
            seconds = time.perf_counter() - started
            cpu = _cpu(processes) - cpu
            memory = max(one.memory_info().rss for one in processes) / 2**20
        times.sort()
        return Round(
            workers=workers,
            deliveries_per_second=recipients / seconds,
            per_worker=recipients / seconds / workers,
            worker_cpu_us=cpu / recipients * 1e6,
            worker_memory=memory,
            intake_p50=times[len(times) // 2],
            intake_p99=times[int(len(times) * 0.99)],
        )

    def _settle(self, requests: list) -> None:
        while requests:
            requests = sorted(store.pending(self.runtime.db, requests))
            if requests:
                time.sleep(0.05)

    def close(self) -> None:
        self.runtime.close()


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(one.cpu_times().user + one.cpu_times().system for one in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--recipients", type=int, default=10_000, help="a round (default 10000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", default="benchmarks.json")
    options = parser.parse_args()
    with (
        servers.postgres(durable=True) as postgres,
        servers.redis() as redis,
        surroundings.sink() as (port, mail),
    ):
        with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        url = postgres.url.replace("://", "+psycopg://")
        bench = Bench(f"{url}/bench", f"{redis.url}/0", port)
        rounds = []
        for number in range(options.rounds):
            for workers in options.workers:
                print(f"round {number + 1}, {workers} worker(s) …", file=sys.stderr, flush=True)
                rounds.append(bench.round(workers, options.recipients))
        bench.close()
        output, _ = mail.communicate()
        sent = len(options.workers) * options.rounds * options.recipients
        sent += options.rounds * sum(100 * workers for workers in options.workers)
        assert int(output) == sent, f"the mail server got {output.strip()} of {sent}"
    report(rounds, options.json)


def report(rounds: list[Round], path: str) -> None:
    """The medians as a table, and everything as JSON."""
    machine = surroundings.machine()
    print(f"\nEmail over SMTP, PostgreSQL + Redis, everything on one machine: {machine}\n")
    print(
        "| worker processes | deliveries/s | per process | worker CPU each | peak memory "
        "| accept 100, p50 | p99 |"
    )
    print("|---|---|---|---|---|---|---|")
    for workers in sorted({one.workers for one in rounds}):
        of = [asdict(one) for one in rounds if one.workers == workers]
        middle = {name: statistics.median(one[name] for one in of) for name in of[0]}
        print(
            f"| {workers} | {middle['deliveries_per_second']:.0f} | {middle['per_worker']:.0f} "
            f"| {middle['worker_cpu_us']:.0f} µs | {middle['worker_memory']:.0f} MiB "
            f"| {middle['intake_p50']:.1f} ms | {middle['intake_p99']:.1f} ms |"
        )
    figures = {"machine": machine, "rounds": [asdict(one) for one in rounds]}
    Path(path).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
