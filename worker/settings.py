"""Settings of a deployment, from the environment: `SENDPOINT_` and the field's name in capitals.

What belongs to an application (its channels and their credentials) is in the database instead.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path

import msgspec
from kombu.transport import TRANSPORT_ALIASES

from worker import sentinels, sinks, vault

_SECRET = ("database_url", "broker_url", "secret_keys", "events", "events_secret")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times are in seconds.

    With the defaults everything runs in one process and needs no server: SQLite, Celery in
    memory, and the sandbox for channels that have no provider.
    """

    database_url: str = "sqlite:///.sendpoint/sendpoint.db"
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`."""
    broker_url: str = "memory://"
    """Redis (`redis://`, `rediss://`), by way of Sentinel
    (`sentinel://HOST:PORT;sentinel://HOST:PORT/DB?master_name=NAME`), or what else Celery takes."""

    secret_keys: str = ""
    """The keys that seal credentials in the database, `NAME:BASE64[,…]`, the current one first."""
    secret_keys_file: str = ".sendpoint/secret.keys"  # noqa: S105 - a path
    """Where the keys are if `secret_keys` is empty; made when the first credential is stored. With
    processes on several machines, set `secret_keys` instead."""

    sandbox: bool = False
    """Send on channels without a provider into the dev inbox instead of refusing."""
    inbox: str = ".sendpoint/inbox.jsonl"
    """The dev inbox of the sandbox: one JSON line per message."""

    host: str = "127.0.0.1"
    """Where the API listens; elsewhere than on loopback only with `auth`."""
    port: int = 8321
    auth: bool = False
    """Accept only requests that an access key signed, or with its bearer token: `sendpoint key
    create` makes one. Off is for development: then the API listens on loopback only, and who can
    reach that may do everything."""
    allow_from: tuple[str, ...] = ()
    """Networks whose requests are accepted, signed or not. None given: this machine's while `auth`
    is off, and everybody's while it is on. Beyond this machine only with `auth`."""
    wait: float = 5.0
    """How long SendMessages waits for outcomes before it answers that they are pending."""

    idempotency_window: float = 86400.0
    """How long a request that is sent again with its idempotency key gets the first one's answer.
    After that the key is free for another request."""

    dedupe_window: float = 0.0
    """How long the same message is not sent to the same recipient again, whoever asks for it and
    however often; 0 is off. One that failed and surely was not delivered may be."""

    codes_per_hour: int = 60
    """One-time codes that an application may send to one phone number within an hour; 0 is no
    limit. Who can have codes sent again and again gets as many more guesses, and can make a number
    that costs or earns money ring up a bill."""

    message_ttl: float = 86400.0
    """From acceptance to the deadline after which a message is not sent any more."""
    max_attempts: int = 8
    """How often a message is sent at most; answers that it is too much do not count."""
    backoff_base: float = 2.0
    """The longest pause before the second attempt; it doubles with each that follows."""
    backoff_cap: float = 900.0
    """The longest pause between two attempts, unless the provider asks for more."""
    strict_variables: bool = False
    """Refuse a message that names a variable nobody gave, instead of leaving it out."""
    lease: float = 60.0
    """How long a worker holds a message before the others take it for lost. A send takes at most
    half of it."""
    concurrency: int = 256
    """Messages in flight in one worker process; up to twice as many while several providers are
    slow, so that the others' find a place (see `worker.places`)."""
    backlog: int = 1_000_000
    """Messages of one application that may wait on one queue, unless `sendpoint rate` says
    otherwise for it; requests beyond that are answered 429. 0 is any number."""
    window: int = 500
    """Rings that may wait in one queue; what is accepted beyond it waits in the database. A longer
    queue would let one application's messages stand in front of another's."""
    sweep_interval: float = 1.0
    """How often each worker looks for what was left behind, and tells events at the latest."""
    ring_again_after: float = 10.0
    """How long a ring may go unanswered before the sweep rings again."""
    stall_after: float = 60.0
    """How long a worker may hear none of the rings that it rings for itself before it starts
    anew."""
    retention: float = 0.0
    """How long a request is kept, with its messages and their attempts, after the last of them was
    settled or heard of; at least as long as a repetition is known for one. 0 is for ever."""
    drain: float = 45.0
    """How long a stopping worker waits for what is in flight."""

    events: str = ""
    """Where the applications' event streams go: `redis://HOST:PORT/DB`, `file:///PATH` or
    `https://…`; see `worker.sinks`. Without it nobody is told anything."""
    events_secret: str = ""
    """What `https://…` is signed with (`whsec_…`), or the access key that it asks for."""
    events_keep: float = 86400.0
    """How long an event waits for a sink that does not take it before it is given up."""
    events_most: int = 1_000_000
    """How many events wait before the oldest are given up."""

    log_level: str = "INFO"
    """DEBUG, INFO (a line for each attempt), WARNING, ERROR or CRITICAL."""

    def __post_init__(self) -> None:
        vault.parse(self.secret_keys)
        _check_broker(self.broker_url)
        sinks.build(self.events, self.events_secret)
        _check_networks(self.allow_from)
        for name in (
            "idempotency_window",
            "message_ttl",
            "backoff_base",
            "backoff_cap",
            "lease",
            "sweep_interval",
            "ring_again_after",
            "stall_after",
            "drain",
            "events_keep",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        for name in ("dedupe_window", "codes_per_hour", "backlog", "retention"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if 0 < self.retention < self.shortest_retention:
            raise ValueError(
                "retention must be 0 or at least "
                "SENDPOINT_IDEMPOTENCY_WINDOW and SENDPOINT_DEDUPE_WINDOW"
            )
        for name in ("max_attempts", "concurrency", "window", "events_most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.log_level.upper() not in logging.getLevelNamesMapping():
            raise ValueError("log_level must be DEBUG, INFO, WARNING, ERROR or CRITICAL")

    def __repr__(self) -> str:
        """Without what holds a secret, such as a URL's password."""
        shown = {
            name: "***" if name in _SECRET and getattr(self, name) else getattr(self, name)
            for name in self.__struct_fields__
        }
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def send_timeout(self) -> float:
        """The time one attempt has, well inside the lease."""
        return self.lease / 2

    @property
    def shortest_retention(self) -> float:
        """How long a request must be kept, since what is done with a repetition depends on what
        became of it."""
        return max(self.idempotency_window, self.dedupe_window)

    def vault(self) -> vault.Vault:
        """What seals credentials, with this deployment's keys."""
        keys = vault.parse(self.secret_keys)
        return vault.Vault(keys, None if keys else Path(self.secret_keys_file))

    @property
    def embedded(self) -> bool:
        """Whether the broker lives in this process, so that API and worker must share it."""
        return self.broker_url.startswith("memory://")


def _check_broker(url: str) -> None:
    transport = url.partition("://")[0].partition("+")[0]
    known = transport in TRANSPORT_ALIASES or ":" in transport  # MODULE:CLASS
    if "://" not in url or not known:
        raise ValueError("broker_url must be a URL that Celery takes, as redis://HOST:6379/0")
    if url.startswith(f"{sentinels.SCHEME}:"):
        try:
            sentinels.parse(url)
        except ValueError as error:
            raise ValueError(f"broker_url {error}") from None


def _check_networks(networks: Iterable[str]) -> None:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"allow_from: {error}") from None


PREFIX = "SENDPOINT_"


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that an environment says. The sandbox is on where everything runs in one
    process, unless the environment says anything of it.

    `ValueError`, naming the variable, for one that is unknown or cannot be read; its value is not
    shown, since it may be a secret.
    """
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    values: dict[str, object] = {}
    for name, text in given.items():
        if name not in known:
            raise ValueError(f"{PREFIX}{name.upper()} is not a setting of Sendpoint")
        values[name] = _read(name, text, known[name].type)
    settings = _made(values)
    if "sandbox" in given:
        return settings
    return msgspec.structs.replace(settings, sandbox=settings.embedded)


def _made(values: Mapping[str, object]) -> Settings:
    try:
        return Settings(**values)  # type: ignore[arg-type] # read to their types before
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise ValueError(f"{PREFIX}{name.rstrip(':').upper()} {rest}") from None


def _read(name: str, text: str, kind: object) -> object:
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        words = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError(f"{PREFIX}{name.upper()} must be on or off")
        return words[text.lower()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        number = "a whole number" if kind is int else "a number"
        raise ValueError(f"{PREFIX}{name.upper()} must be {number}") from None
