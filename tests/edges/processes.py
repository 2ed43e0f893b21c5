"""Worker processes, started as a person would, and the mail server that they deliver to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import msgspec
from aiosmtpd.controller import Controller
from sqlalchemy import select

from worker import intake, runtime, settings, store, vault, wire
from worker.store import tables


class Mailbox:
    """A real SMTP server that counts what it accepted, by recipient and by Message-ID. While it
    `holds`, it answers nobody; `reading` is set once it has a message to answer."""

    def __init__(self):
        self.by_recipient = Counter()
        self.by_message_id = Counter()
        self.first = threading.Event()
        self.watch = None
        self.reading = threading.Event()
        self.holds = False

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.reading.set()
        while self.holds:  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.02)
        for recipient in envelope.rcpt_tos:
            self.by_recipient[recipient] += 1
        head = envelope.content.split(b"\r\n\r\n", 1)[0]
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"message-id:"):
                self.by_message_id[line.split(b":", 1)[1].strip()] += 1
        if self.watch is not None:
            self.watch(sum(self.by_recipient.values()))
        return "250 2.0.0 accepted"

    def when(self, count):
        """An event that is set once so many messages were accepted."""
        event = threading.Event()

        def watch(accepted):
            if accepted >= count:
                event.set()

        self.watch = watch
        return event


class OnAnyPort(Controller):
    """aiosmtpd connects to its own port to see that it is up; with port 0 it has to ask first."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextlib.contextmanager
def mail_server(mailbox=None):
    mailbox = mailbox or Mailbox()
    controller = OnAnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()


class Worker:
    """A worker process, or with another command another of Sendpoint's; `more` goes into its
    environment, which else has no settings but these."""

    def __init__(self, config, log, command, more=None):
        environment = {
            name: value
            for name, value in os.environ.items()
            if "COV" not in name and not name.startswith(settings.PREFIX)
        }
        environment |= _environment(config) | (more or {})
        self.log = log
        self.killed = False
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self):
        self.killed = True
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM, as a supervisor does; the exit code."""
        self.killed = True
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def said(self, words, seconds=30):
        """Wait until it logged these words."""
        give_up = time.monotonic() + seconds
        while words not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < give_up, self.log.read_text(errors="replace")
            time.sleep(0.05)


def _environment(config):
    """What makes a process of these settings: those that are not the defaults."""
    usual = settings.Settings()
    return {
        f"SENDPOINT_{field.name.upper()}": str(getattr(config, field.name))
        for field in msgspec.structs.fields(settings.Settings)
        if getattr(config, field.name) != getattr(usual, field.name)
    }


SENDPOINT = ("worker.cli", "worker")
CELERY = ("celery", "-A", "worker.tasks", "worker", "--without-gossip", "--without-mingle")


class Deployment:
    """PostgreSQL, Redis, a mail server and an application that sends email through it."""

    def __init__(self, database_url, broker_url, mailbox, directory, **changes):
        self.mailbox = mailbox
        self.directory = directory
        self.workers = []
        self.settings = settings.Settings(
            database_url=database_url,
            broker_url=broker_url,
            secret_keys=vault.new_key(),
            **changes,
        )
        self.runtime = runtime.open_runtime(self.settings)
        self.db = self.runtime.db
        store.upgrade(self.db)
        self.application = self.open("shop")

    def open(self, name, mailbox=None):
        """An application that sends email, if need be through another server; its id."""
        application = store.create_application(self.db, name).id
        store.set_channel(
            self.db,
            application,
            "EMAIL",
            adapter="smtp",
            settings={
                "host": "127.0.0.1",
                "port": (mailbox or self.mailbox).port,
                "security": "none",
                "from_address": "shop@example.com",
                "connections": 4,
            },
        )
        return application

    def start_worker(self, command=SENDPOINT):
        log = self.directory / f"worker-{len(self.workers)}.log"
        worker = Worker(self.settings, log, command)
        self.workers.append(worker)
        return worker

    def accept(self, count, start=0, application=None):
        """Accept so many recipients, 100 a request."""
        requests = []
        for first in range(start, start + count, 100):
            addresses = {
                f"r{number}@example.com": {"ChannelType": "EMAIL"}
                for number in range(first, min(first + 100, start + count))
            }
            request = {
                "MessageConfiguration": {
                    "EmailMessage": {
                        "SimpleEmail": {
                            "Subject": {"Data": "Hello"},
                            "TextPart": {"Data": "Hello there"},
                        }
                    }
                },
                "Addresses": addresses,
            }
            accepted = intake.accept(
                self.runtime,
                application or self.application,
                wire.convert(request, wire.MessageRequest),
            )
            requests.append(accepted.request_id)
        return requests

    def wait(self, requests, seconds=60):
        give_up = time.monotonic() + seconds
        while pending := store.pending(self.db, requests):
            for worker in self.workers:
                assert worker.killed or worker.process.poll() is None, worker.log.read_text()
            assert time.monotonic() < give_up, f"{len(pending)} requests are not settled"
            time.sleep(0.05)

    def results(self, requests):
        return [
            one
            for request_id in requests
            for one in store.results(self.db, self.application, request_id)
        ]

    def rescued(self):
        """The addresses whose worker was lost while it sent to them."""
        result, attempt = tables.message_result.c, tables.message_attempt.c
        with self.db.reading() as connection:
            return set(
                connection.execute(
                    select(result.address).where(
                        result.id == attempt.result_id,
                        attempt.delivery_status == "UNKNOWN_FAILURE",
                    )
                ).scalars()
            )

    def close(self):
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.runtime.close()
