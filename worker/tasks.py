"""The Celery edge: the app, its one task, and what a worker process does when it starts and stops.

`celery -A worker.tasks worker` works, as does `sendpoint worker`, which sets the same and less to
type.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning
from kombu import Queue

from worker import (
    canary,
    dispatch,
    forwarding,
    plan,
    presence,
    retention,
    rings,
    runtime,
    store,
    sweeping,
)
from worker import settings as settings_
from worker.canary import Canary
from worker.consumer import Connection, Consumer
from worker.pool import LoopPool
from worker.settings import Settings

_log = logging.getLogger(__name__)
# A line per ring says nothing that our line per attempt does not say better.
logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)


class DeliveryPool(LoopPool):
    """The loop pool with the runtime, the task and the sweep of a delivering worker."""

    canary: Canary | None = None

    def on_start(self) -> None:
        super().on_start()
        self.runtime = runtime.open_runtime(self.app.conf.sendpoint)
        taken = self.app.amqp.queues.consume_from
        self.runtime.queues = [one for one in taken if one in plan.QUEUES]
        self.app.sendpoint_runtime = self.runtime
        self._sweeping = asyncio.run_coroutine_threadsafe(
            sweeping.keep_sweeping(self.runtime), self.loop.asyncio
        )
        self._forwarding = asyncio.run_coroutine_threadsafe(
            forwarding.keep_forwarding(self.runtime), self.loop.asyncio
        )
        self._present = asyncio.run_coroutine_threadsafe(
            presence.keep_present(self.runtime), self.loop.asyncio
        )
        self._pruning = asyncio.run_coroutine_threadsafe(
            retention.keep_pruning(self.runtime), self.loop.asyncio
        )
        for own in (one for one in taken if one.startswith(canary.QUEUE_PREFIX)):
            self.canary = Canary(
                self.runtime.rings,
                own,
                patience=self.runtime.settings.stall_after,
                on_stall=self._start_anew,
            )
            self.canary.start()
        self.app.sendpoint_canary = self.canary

    def on_stop(self) -> None:
        """Finish what is in flight, give back the rest."""
        if self.canary is not None:
            self.canary.stop()
        self._finish()
        super().on_stop()
        self.runtime.close()

    def _finish(self) -> None:
        self.runtime.draining = True
        self._pruning.cancel()
        give_up = time.monotonic() + self.runtime.settings.drain
        self.drain(self.runtime.settings.drain)
        try:  # what it has taken from the database itself has as long
            self._sweeping.result(max(5.0, give_up - time.monotonic()))
        except TimeoutError:
            _log.warning("The sweep and what it delivers did not end in time")
        self._forwarding.cancel()
        with contextlib.suppress(TimeoutError):
            self.loop.run(forwarding.finish(self.runtime), 5)
        with contextlib.suppress(TimeoutError):
            self.loop.run(dispatch.aclose(self.runtime), 5)
        rings = len(self.runtime.unanswered)
        try:
            sweeping.give_back(self.runtime)
        except store.Unavailable:
            _log.warning("%d rings are left to the sweep", rings)
        self._present.cancel()
        presence.end(self.runtime)

    def _start_anew(self) -> None:
        """Become a new worker in the same process, so that no supervisor is needed. Celery's own
        thread, which hangs or waits for nothing, is not asked."""
        self._finish()
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - what it is

    def _get_info(self) -> dict[str, Any]:
        silence = None if self.canary is None else self.canary.silence()
        return super()._get_info() | {"silence": silence}

    def on_terminate(self) -> None:
        """Stop at once. What was in flight is taken back when its lease runs out."""
        self._sweeping.cancel()
        self._forwarding.cancel()
        self._present.cancel()
        self._pruning.cancel()
        super().on_stop()


def celery_app(settings: Settings) -> Celery:
    """A Celery app for these settings."""
    app = Celery("sendpoint", set_as_current=False)
    app.conf.update(
        sendpoint=settings,
        broker_url=rings.address(settings.broker_url),
        broker_transport=rings.transport(settings.broker_url),
        broker_transport_options=rings.transport_options(settings.broker_url),
        broker_use_ssl=rings.tls(settings.broker_url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A Redis that takes no writes for a while (it is no master any more, is full, or cannot
        # save) says so in its answers: that must not end the worker.
        broker_channel_error_retry=True,
        task_queues=[Queue(name, routing_key=name) for name in plan.QUEUES],
        task_default_queue=plan.QUEUES[0],
        task_create_missing_queues=True,
        # The acknowledgement lives in memory and only counts what is in flight.
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.concurrency,
        worker_pool=DeliveryPool,
        worker_consumer=Consumer,
        # Off, a second without Redis can stop a worker for ever while it looks alive.
        worker_enable_remote_control=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        task_ignore_result=True,
        result_backend=None,
        accept_content=["json"],
        task_serializer="json",
    )

    app.amqp.Connection = Connection

    @app.task(name=rings.TASK, shared=False, Strategy="worker.pool:strategy")  # type: ignore[untyped-decorator] # no types in celery
    async def deliver(message_id: str, queue: str = "", application_id: str = "") -> None:
        row = UUID(message_id)
        if row == canary.RING:
            app.sendpoint_canary.answer()
        else:
            await dispatch.deliver(app.sendpoint_runtime, row, (queue, application_id))

    return app


def _listen_to_itself(instance: Any, **_: object) -> None:
    """Give a worker process a queue of its own for its canary."""
    if "sendpoint" in instance.app.conf and not instance.app.conf.sendpoint.embedded:
        name = f"{canary.QUEUE_PREFIX}{socket.gethostname()}.{os.getpid()}"
        instance.app.amqp.queues.select_add(Queue(name, routing_key=name, auto_delete=True))


signals.celeryd_after_setup.connect(_listen_to_itself)


def run(settings: Settings, *, queues: Sequence[str] = plan.QUEUES) -> None:
    """Run a worker process until it is told to stop (SIGTERM: drain; SIGQUIT: at once).
    `SystemExit` with Celery's code if it does not end in order."""

    def on_ready(**_: object) -> None:
        # What is loaded now stays: a look at all of it for garbage, every few hundred deliveries,
        # would cost a tenth of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        # At each loss of a connection Celery explains a setting that is set here.
        warnings.simplefilter("ignore", CPendingDeprecationWarning)
        _log.info("ready, taking from %s", ", ".join(queues))

    def on_setup(instance: Any, **_: object) -> None:
        workers.append(instance)

    workers: list[Any] = []
    signals.celeryd_after_setup.connect(on_setup, weak=False)
    signals.worker_ready.connect(on_ready, weak=False)
    celery_app(settings).worker_main(
        [
            "--quiet",
            "worker",
            f"--hostname=sendpoint-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            f"--queues={','.join(queues)}",
            f"--loglevel={settings.log_level}",
        ]
    )
    # Celery keeps it to itself, and a supervisor has to know.
    if failed := [one.exitcode for one in workers if one.exitcode]:
        raise SystemExit(failed[0])


@contextlib.contextmanager
def embedded(settings: Settings) -> Iterator[runtime.Runtime]:
    """A worker in a thread of this process, for the deployment that is one process. Gives the
    runtime that it works with; at the end it drains."""
    app = celery_app(settings)
    worker = app.Worker(
        pool=DeliveryPool,
        concurrency=settings.concurrency,
        queues=list(plan.QUEUES),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.log_level,
        quiet=True,
    )
    ready = threading.Event()

    def on_ready(sender: Any, **_: object) -> None:
        if sender is worker.consumer:
            ready.set()

    signals.worker_ready.connect(on_ready)
    thread = threading.Thread(target=worker.start, name="sendpoint-worker", daemon=True)
    thread.start()
    try:
        if not ready.wait(30):
            raise RuntimeError("The embedded worker did not start")
        yield app.sendpoint_runtime
    finally:
        signals.worker_ready.disconnect(on_ready)
        worker.should_stop = True
        worker.stop()
        thread.join(settings.drain + 10)


def __getattr__(name: str) -> Celery:
    """`app`, made when Celery asks for it, so that importing this module reads no settings."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = celery_app(settings_.load())
    return app
