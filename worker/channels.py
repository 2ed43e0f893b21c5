"""The applications' channels as the database has them, and the adapters opened for them."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import logging
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.contract import Adapter, Receipt
from worker import plan, store
from worker.settings import Settings

SANDBOX = "sandbox"
_FRESH = 3.0  # seconds for which what was read is not read again
_EXPIRY_NEAR = timedelta(days=30)

Receiver = Callable[[Mapping[str, Any], str, Mapping[str, str], bytes], Receipt | None]

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An adapter that is open, and the provider's configuration that it was opened with."""

    provider: store.Provider
    adapter: Adapter


class Channels:
    """A change of settings is seen within seconds, without a restart; the adapter that it replaces
    is handed to the caller, who closes it once the sends that it has under way can have ended."""

    def __init__(self, db: store.Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._types: dict[str, tuple[float, frozenset[str]]] = {}
        self._channels: dict[str, tuple[float, Mapping[str, store.Channel]]] = {}
        self._open: dict[tuple[str, str, str], Opened] = {}

    def enabled(self, application_id: str) -> frozenset[str] | None:
        """The ChannelTypes that the application can be sent on; None if there is no such
        application. Needs no key to the settings. With the sandbox on, those that have no provider
        are the sandbox's."""
        read = self._types.get(application_id)
        if read is None or time.monotonic() - read[0] > _FRESH:
            stored = store.channel_types(
                self._db, application_id, need_provider=not self._settings.sandbox
            )
            if stored is None:
                return None
            free = plan.QUEUE_OF.keys() - stored.keys() if self._settings.sandbox else ()
            types = frozenset({name for name, enabled in stored.items() if enabled} | {*free})
            read = self._types[application_id] = time.monotonic(), types
        return read[1]

    def of(self, application_id: str) -> Mapping[str, store.Channel]:
        """The application's enabled channels with their providers, by ChannelType, from the
        database. `ValueError` if their settings cannot be opened."""
        stored = store.channels(self._db, application_id)
        found = {name: one for name, one in stored.items() if one.enabled and one.providers}
        if self._settings.sandbox:
            sandbox = (store.Provider(SANDBOX, SANDBOX, {"inbox": self._settings.inbox}),)
            found |= {
                str(name): store.Channel(name, sandbox)
                for name in plan.QUEUE_OF
                if name not in stored or (stored[name].enabled and not stored[name].providers)
            }
        self._channels[application_id] = time.monotonic(), found
        return found

    def forget(self, application_id: str) -> None:
        """Read an application's channels anew: this process has just changed them. The others
        see it within seconds."""
        self._types.pop(application_id, None)
        self._channels.pop(application_id, None)

    def cached(self, application_id: str) -> Mapping[str, store.Channel] | None:
        """What `of` last said, if that was only a moment ago."""
        read = self._channels.get(application_id)
        fresh = read is not None and time.monotonic() - read[0] <= _FRESH
        return read[1] if read is not None and fresh else None

    def open(
        self, application_id: str, channel_type: str, provider: store.Provider
    ) -> tuple[Adapter, Adapter | None]:
        """The provider's adapter, and the one that it replaces. Runs on the loop. Raises what the
        adapter says of its settings."""
        key = application_id, channel_type, provider.name
        if provider.adapter == SANDBOX:  # those that share a dev inbox are one
            key = "", "", str(provider.settings.get("inbox"))
        opened = self._open.get(key)
        if opened is not None and opened.provider == provider:
            return opened.adapter, None
        adapter = build(provider.adapter, provider.settings)
        if (soon := expiry(adapter, datetime.now(UTC))) is not None:
            _log.warning(
                "Provider %s on channel %s of application %s: %s",
                provider.name,
                channel_type,
                application_id,
                soon,
            )
        self._open[key] = Opened(provider, adapter)
        return adapter, opened.adapter if opened else None

    def adapters(self) -> list[Adapter]:
        """Every adapter that is open."""
        return [one.adapter for one in self._open.values()]


def expiry(adapter: Adapter, now: datetime) -> str | None:
    """What to say of an adapter whose certificate or key has ended, or does so within 30 days."""
    ends: datetime | None = getattr(adapter, "expires_at", None)
    if ends is None or ends - now > _EXPIRY_NEAR:
        return None
    verb = "ends" if ends > now else "ended"
    return f"its certificate {verb} on {ends:%Y-%m-%d}: renew it and set the channel again"


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
    factory: Callable[..., Adapter] = next(iter(points)).load()
    try:
        return factory(**settings)
    except TypeError as error:
        complaint = _complaint(factory, settings) or error
        raise ValueError(f"Adapter {name!r}: {complaint}") from None


def _complaint(factory: Callable[..., Adapter], settings: Mapping[str, Any]) -> str | None:
    """What is wrong with settings that an adapter does not take, in words for who made them; None
    if that cannot be seen from what it takes."""
    try:
        takes = inspect.signature(factory, eval_str=True).parameters
    except NameError:  # an annotation of a third party's that is for type checkers alone
        return None
    if any(one.kind is one.VAR_KEYWORD for one in takes.values()):
        return None
    if unknown := sorted(settings.keys() - takes.keys()):
        return f"it has no setting {', '.join(unknown)}"
    missing = [
        name
        for name, one in takes.items()
        if one.default is one.empty and one.kind is one.KEYWORD_ONLY and name not in settings
    ]
    if missing:
        return f"it needs {', '.join(missing)}"
    for name, value in settings.items():
        kinds = set(typing.get_args(takes[name].annotation)) or {takes[name].annotation}
        words = {kind: _WORDS[kind] for kind in kinds if kind in _WORDS}
        if words and value is not None and not isinstance(value, tuple(words)):
            return f"{name} must be {' or '.join(words.values())}"
    return None


@functools.cache
def receiver(name: str) -> Receiver | None:
    """What reads an adapter's receipts (`adapters.contract.Adapter`), if it has any."""
    for point in importlib.metadata.entry_points(group="sendpoint.adapters", name=name):
        receipt: Receiver | None = getattr(point.load(), "receipt", None)
        return receipt
    return None
