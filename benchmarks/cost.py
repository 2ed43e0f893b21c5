"""What a delivery costs in everything that can run out: the figures that `benchmarks.capacity`
calculates with.

`python -m benchmarks.cost` has two worker processes deliver on each channel, as fast as they can,
and divides what everything spent by the deliveries: CPU, transactions, Redis's commands, bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

import redis

from benchmarks import capacity, contenders, running, surroundings
from benchmarks.capacity import Cost
from benchmarks.contenders import CHANNELS
from benchmarks.deployment import Deployment
from benchmarks.gauge import Gauge, peak_memory
from benchmarks.surroundings import Servers

NAME = capacity.PART

_WORKERS = 2
_FLUSHED = 1.5  # seconds until PostgreSQL's sessions have told what they did


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channels", nargs="+", default=CHANNELS, choices=CHANNELS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a channel")
    running.bounds(parser, rounds=1, budget=25)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with (
        surroundings.all_servers() as servers,
        contextlib.closing(Deployment(servers, "cost")) as ours,
        ours.running(_WORKERS),
    ):
        contenders.drive(ours, servers.sinks, options.channels[0], seconds=1.0)  # to come up
        for number in running.turns(options):
            for channel in options.channels:
                running.say(f"round {number + 1}, what a delivery on {channel} costs")
                cost = _cost(servers, ours, channel, options.seconds)
                rounds.append({"channel": channel, **asdict(cost)})
                ours.forget()
    return {"rounds": rounds}


def _cost(servers: Servers, ours: Deployment, channel: str, seconds: float) -> Cost:
    warm = contenders.drive(ours, servers.sinks, channel, seconds=seconds / 4)
    ours.forget()
    groups = {name: [process] for name, process in servers.processes().items()}
    gauge = Gauge(groups | {"worker": ours.workers, "accept": ours.accepting})
    with _counted(ours) as spent:
        redis_cpu = _redis_cpu(ours)
        run = contenders.drive(ours, servers.sinks, channel, seconds=seconds, ahead=warm.per_second)
        cpu, redis_cpu = gauge.cpu(), _redis_cpu(ours) - redis_cpu
    each = {name: count / run.deliveries for name, count in spent.items()}
    return Cost(
        worker_cpu=cpu["worker"] / run.deliveries * 1e6,
        accept_cpu=cpu["accept"] / run.deliveries * 1e6,
        postgresql_cpu=cpu["postgresql"] / run.deliveries * 1e6,
        redis_cpu=redis_cpu / run.deliveries * 1e6,
        stored_bytes=_stored(ours) / run.deliveries,
        memory=peak_memory(ours.workers) / _WORKERS,
        **each,
    )


@contextlib.contextmanager
def _counted(ours: Deployment) -> Iterator[dict[str, float]]:
    """What PostgreSQL and Redis count, by the end of the block."""
    time.sleep(_FLUSHED)
    before, spent = _counters(ours), dict[str, float]()
    yield spent
    time.sleep(_FLUSHED)
    spent |= {name: count - before[name] for name, count in _counters(ours).items()}


def _counters(ours: Deployment) -> dict[str, float]:
    found = ours.postgres.execute(
        "SELECT xact_commit, pg_current_wal_insert_lsn() - '0/0'::pg_lsn "
        "FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert found is not None
    with redis.Redis.from_url(ours.settings.broker_url) as client:
        told = client.info()
    return {
        "transactions": float(found[0]),
        "wal_bytes": float(found[1]),
        "redis_commands": float(told["total_commands_processed"]),
        "redis_bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
    }


def _redis_cpu(ours: Deployment) -> float:
    """CPU seconds by Redis's own clock: it spends less than the operating system's ticks tell."""
    with redis.Redis.from_url(ours.settings.broker_url) as client:
        told = client.info("cpu")
    return float(told["used_cpu_sys"] + told["used_cpu_user"])


def _stored(ours: Deployment) -> int:
    """The bytes of all that was stored, without what deleted versions of rows leave."""
    ours.postgres.execute("VACUUM FULL message_request, message_result, message_attempt")
    found = ours.postgres.execute(
        "SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM "
        "unnest(ARRAY['message_request', 'message_result', 'message_attempt']) AS name"
    ).fetchone()
    assert found is not None
    return int(found[0])


def table(figures: running.Figures) -> str:
    measured = capacity.measured(figures)
    head = ["of one delivery", *measured]
    return f"What a delivery costs\n\n{running.markdown(head, capacity.cost_rows(measured))}"


if __name__ == "__main__":
    running.main(sys.modules[__name__])
