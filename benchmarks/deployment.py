"""Sendpoint itself as a contender: PostgreSQL, Redis, worker processes and the real adapters."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import psycopg

from benchmarks import contenders, messages
from benchmarks.surroundings import Servers
from tests import servers
from worker import intake, runtime, settings, store, vault, wire
from worker.store.tables import FAILED

ADAPTERS = {
    "GCM": "fcm",
    "APNS": "apns",
    "EMAIL": "smtp",
    "SMS": "twilio-sms",
    "CUSTOM": "webhook",
}

_TITLE = "Your order {{order}}"
_TEXT = "Dear {{name}}, your order {{order}} is on its way."
_PUSH = {"Title": _TITLE, "Body": _TEXT, "Action": "OPEN_APP", "TimeToLive": 3600}
_CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "GCM": {"GCMMessage": _PUSH},
    "APNS": {"APNSMessage": _PUSH},
    "EMAIL": {
        "EmailMessage": {
            "SimpleEmail": {
                "Subject": {"Data": _TITLE},
                "TextPart": {"Data": f"{_TEXT}\n"},
                "HtmlPart": {"Data": f"<p>{_TEXT}</p>\n"},
            }
        }
    },
    "SMS": {"SMSMessage": {"Body": _TEXT, "MessageType": "TRANSACTIONAL"}},
    "CUSTOM": {"DefaultMessage": {"Body": _TEXT}},
}


def request(channel: str, first: int, count: int) -> dict[str, Any]:
    """A MessageRequest as boto3 takes it: a text of their own for `count` recipients."""
    return {
        "MessageConfiguration": _CONFIGURATIONS[channel],
        "Addresses": {
            messages.address(channel, number): {
                "ChannelType": channel,
                "Substitutions": {"name": [f"Ann {number}"], "order": [str(number)]},
            }
            for number in range(first, first + count)
        },
    }


class Deployment:
    """An application with every channel, on a database and a Redis of its own."""

    def __init__(
        self, servers: Servers, name: str, *, redis_database: int = 0, events: str = ""
    ) -> None:
        self.settings = settings.Settings(
            database_url=servers.database(name),
            broker_url=f"{servers.redis.url}/{redis_database}",
            secret_keys=vault.new_key(),
            events=events,
        )
        self.runtime = runtime.open_runtime(self.settings)
        store.upgrade(self.runtime.db)
        self._providers = servers.sinks.settings
        self.application = self.new_application("bench")
        self.accepting = [psutil.Process()]
        self.workers: list[psutil.Process] = []
        self.postgres = psycopg.connect(
            self.settings.database_url.replace("+psycopg", ""), autocommit=True
        )

    def new_application(self, name: str) -> str:
        """One more with every channel; its id."""
        application: str = store.create_application(self.runtime.db, name).id
        for channel, adapter in ADAPTERS.items():
            store.set_channel(
                self.runtime.db,
                application,
                channel,
                adapter=adapter,
                settings=self._providers[channel],
            )
        return application

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are started with."""
        return {
            "SENDPOINT_DATABASE_URL": self.settings.database_url,
            "SENDPOINT_BROKER_URL": self.settings.broker_url,
            "SENDPOINT_SECRET_KEYS": self.settings.secret_keys,
            "SENDPOINT_EVENTS": self.settings.events,
            "SENDPOINT_LOG_LEVEL": "WARNING",
        }

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[Deployment]:
        """With so many worker processes."""
        command = [sys.executable, "-m", "worker.cli", "worker"]
        with contenders.processes(command, self.environment, count=count) as self.workers:
            yield self

    @contextlib.contextmanager
    def serving(self) -> Iterator[tuple[psutil.Process, str]]:
        """With a process that serves the API and waits for no outcomes; it and its URL."""
        port = servers.free_port()
        command = [sys.executable, "-m", "worker.cli", "api", "--port", str(port)]
        environment = self.environment | {"SENDPOINT_WAIT": "0"}
        with contenders.processes(command, environment) as (process,):
            servers.wait_for(port)
            yield process, f"http://127.0.0.1:{port}"

    def accept(self, channel: str, first: int, count: int = contenders.BATCH) -> None:
        made = wire.convert(request(channel, first, count), wire.MessageRequest)
        intake.accept(self.runtime, self.application, made)

    def unsettled(self) -> int:
        """By the indexes over what is not settled: a look at every row would be part of what is
        measured."""
        return self._count("state = 'QUEUED' AND attempt >= 0") + self._count("state = 'SENDING'")

    def failed(self) -> int:
        """By the index over these rows."""
        return self._count(FAILED)

    def forget(self) -> None:
        self.postgres.execute("TRUNCATE message_request, message_result, message_attempt")

    def close(self) -> None:
        self.postgres.close()
        self.runtime.close()

    def _count(self, condition: str) -> int:
        found = self.postgres.execute(
            f"SELECT count(*) FROM message_result WHERE {condition}"
        ).fetchone()
        assert found is not None
        return int(found[0])
