"""What a process holds while it runs, put together in one place."""

from __future__ import annotations

import importlib.metadata
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from adapters.contract import Adapter
from worker import batch, retry, store, throttle, wire
from worker.rings import Rings
from worker.settings import Settings

SANDBOX = "sandbox"
CHANNELS_FOR = 3.0  # seconds for which an application's channels are not read again

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An adapter that is open, and the configuration it was opened with."""

    channel: store.Channel
    adapter: Adapter


class Channels:
    """The applications' channels as the database has them, and the adapters opened for them.

    A change of settings is seen within `CHANNELS_FOR` seconds; the old adapter is closed once the
    sends that it has under way can have ended.
    """

    def __init__(self, db: store.Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._read: dict[str, tuple[float, Mapping[str, store.Channel]]] = {}
        self._open: dict[tuple[str, str], Opened] = {}
        self._sandbox: Adapter | None = None

    def of(self, application_id: str) -> Mapping[str, store.Channel]:
        """The application's enabled channels by ChannelType. With the sandbox on, those that
        have no settings are the sandbox's."""
        now = time.monotonic()
        read = self._read.get(application_id)
        if read is None or now - read[0] > CHANNELS_FOR:
            read = now, self._with_sandbox(store.channels(self._db, application_id))
            self._read[application_id] = read
        return read[1]

    def cached(self, application_id: str) -> Mapping[str, store.Channel] | None:
        """What `of` would answer, if it would not have to ask the database."""
        read = self._read.get(application_id)
        fresh = read is not None and time.monotonic() - read[0] <= CHANNELS_FOR
        return read[1] if read is not None and fresh else None

    def open(self, application_id: str, channel: store.Channel) -> tuple[Adapter, Adapter | None]:
        """The adapter for a channel, and the one that it replaces, to be closed by the caller.
        Runs on the loop. Raises what the adapter says of its settings."""
        if channel.adapter == SANDBOX and not channel.version:
            if self._sandbox is None:
                self._sandbox = build(SANDBOX, {"inbox": self._settings.inbox})
            return self._sandbox, None
        key = (application_id, channel.channel_type)
        opened = self._open.get(key)
        if opened is not None and opened.channel.version == channel.version:
            return opened.adapter, None
        adapter = build(channel.adapter, channel.settings)
        self._open[key] = Opened(channel, adapter)
        return adapter, opened.adapter if opened else None

    def adapters(self) -> list[Adapter]:
        """Every adapter that is open."""
        opened = [one.adapter for one in self._open.values()]
        return opened if self._sandbox is None else [*opened, self._sandbox]

    def _with_sandbox(self, stored: Mapping[str, store.Channel]) -> Mapping[str, store.Channel]:
        enabled = {name: one for name, one in stored.items() if one.enabled}
        if not self._settings.sandbox:
            return enabled
        free = (name for name in wire.ChannelType if name not in stored)
        return enabled | {name: store.Channel(name, SANDBOX, {}, True, 0) for name in free}


def adapters() -> dict[str, Callable[..., Adapter]]:
    """Every adapter that is installed, by the name that channel settings use."""
    points = importlib.metadata.entry_points(group="sendpoint.adapters")
    return {point.name: point.load() for point in points}


def build(name: str, settings: Mapping[str, Any]) -> Adapter:
    """An adapter with its settings. `ValueError` for one that does not exist or settings that it
    does not take."""
    points = importlib.metadata.entry_points(group="sendpoint.adapters", name=name)
    if not points:
        raise ValueError(
            f"There is no adapter {name!r}; there are: {', '.join(sorted(adapters()))}"
        )
    try:
        adapter: Adapter = next(iter(points)).load()(**settings)
    except TypeError as error:
        raise ValueError(f"Adapter {name!r}: {error}") from None
    return adapter


@dataclass
class Runtime:
    """Everything that intake, dispatch and the edges share. The parts of it that only a worker
    uses (`claims`, `finishes`, `channels.open`) belong to the loop that first uses them."""

    settings: Settings
    db: store.Database
    rings: Rings
    throttle: throttle.Throttle = field(default_factory=throttle.Unlimited)
    policy: retry.Policy = field(default_factory=retry.Policy)
    rng: random.Random = field(default_factory=random.SystemRandom)
    draining: bool = False
    """The worker is stopping: nothing new is claimed, and its rings go to `unanswered`."""
    unanswered: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        # One thread for each kind of call: a slow claim must not keep results from being written.
        self.executor = ThreadPoolExecutor(max_workers=6, thread_name_prefix="sendpoint-db")
        self.channels = Channels(self.db, self.settings)
        self.claims = batch.Batch(self._claim, self.executor)
        self.finishes = batch.Batch(self._finish, self.executor)
        self.requests = batch.Batch(self._requests, self.executor)
        self._decoded: OrderedDict[UUID, wire.MessageRequest] = OrderedDict()

    def close(self) -> None:
        """Close what was opened here. The adapters are closed on their loop, by who runs it."""
        self.executor.shutdown(wait=True)
        self.rings.close()
        self.db.close()

    def _claim(self, ids: Sequence[UUID]) -> Sequence[store.Claimed | None]:
        claimed = store.claim(self.db, set(ids), lease=self.settings.lease)
        return [claimed.pop(one, None) for one in ids]

    def _finish(self, finishes: Sequence[store.Finish]) -> Sequence[bool]:
        return store.finish(self.db, finishes)

    def _requests(self, ids: Sequence[UUID]) -> Sequence[wire.MessageRequest | None]:
        """The requests, decoded once and kept for their other recipients; None for one that is not
        there, so that it is no other message's trouble."""
        missing = [one for one in dict.fromkeys(ids) if one not in self._decoded]
        if missing:
            for request_id, body in store.bodies(self.db, missing).items():
                self._decoded[request_id] = wire.decode(body.encode(), wire.MessageRequest)
        found = [self._decoded.get(one) for one in ids]
        while len(self._decoded) > 1000:
            self._decoded.popitem(last=False)
        return found

    def known(self, request_id: UUID) -> wire.MessageRequest | None:
        """A request that was read before."""
        return self._decoded.get(request_id)


def open_client(settings: Settings) -> Runtime:
    """A process that hands requests in and delivers none. With a broker in memory nobody hears its
    rings, so what it leaves is due at once for the sweep of the process that delivers."""
    if settings.embedded:
        settings = msgspec.structs.replace(settings, ring_again_after=0.001)
    return open_runtime(settings)


def open_runtime(settings: Settings) -> Runtime:
    """Put a process together. Nothing is connected yet."""
    return Runtime(
        settings=settings,
        db=store.connect(settings.database_url, vault=settings.vault()),
        rings=Rings(settings.broker_url),
        policy=retry.Policy(
            max_attempts=settings.max_attempts,
            backoff_base=settings.backoff_base,
            backoff_cap=settings.backoff_cap,
            throttle_pause=min(5.0, settings.backoff_cap),
        ),
    )
