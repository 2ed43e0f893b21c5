"""Redis whose master is asked of Sentinel: what the URL says, and who connects by it.

    sentinel://[USER[:PASSWORD]@]HOST[:PORT][;sentinel://HOST[:PORT]…][/DB]?master_name=NAME

User, password and database are Redis's. Where Sentinel asks for its own, they are in the query, as
`sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

SCHEME = "sentinel"
_PORT = 26379

# They have no types.
Manager: Any = redis.sentinel.Sentinel
_AsyncManager: Any = redis.asyncio.sentinel.Sentinel


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where the sentinels are, which of their masters is meant, and what it is connected to with.
    `own` is what the sentinels are connected to with."""

    hosts: Sequence[tuple[str, int]]
    master_name: str
    database: int = 0
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    own: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """What kombu is told: one of the sentinels, and what is Redis's. The others are options
        of its transport."""
        names = ("username", "password")
        login = ":".join(quote(self.login.get(one, ""), safe="") for one in names)
        host, port = self.hosts[0]
        host = f"[{host}]" if ":" in host else host
        return f"{SCHEME}://{login}@{host}:{port}/{self.database}".replace("//:@", "//")

    @property
    def transport_options(self) -> dict[str, Any]:
        """The options of kombu's transport."""
        return {
            "sentinels": self.hosts,
            "master_name": self.master_name,
            "sentinel_kwargs": self._to_ask_with(Retry(NoBackoff(), 0)),
        }

    def client(self, **options: Any) -> redis.Redis:
        """A client of whoever is master when it connects. Nothing is connected yet."""
        manager = Manager(self.hosts, sentinel_kwargs=self._to_ask_with(Retry(NoBackoff(), 0)))
        client: redis.Redis = manager.master_for(
            self.master_name, db=self.database, **self.login, **options
        )
        return client

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """The same for asyncio."""
        manager = _AsyncManager(
            self.hosts, sentinel_kwargs=self._to_ask_with(AsyncRetry(NoBackoff(), 0))
        )
        client: redis.asyncio.Redis = manager.master_for(
            self.master_name, db=self.database, **self.login, **options
        )
        return client

    def _to_ask_with(self, retry: object) -> dict[str, Any]:
        """What a sentinel is connected to with. One that does not answer is passed over."""
        return {
            "socket_timeout": 1.0,
            "socket_connect_timeout": 1.0,
            "retry": retry,
            **self.own,
        }


def parse(url: str) -> Sentinels:
    """What a URL says. `ValueError`, which shows nothing of it, for one that is none."""
    addresses, _, query = url.partition("?")
    parts = [urlsplit(one) for one in addresses.split(";")]
    options = dict(parse_qsl(query))
    name = options.pop("master_name", "")
    own = {one: options.pop(f"sentinel_{one}", "") for one in ("username", "password")}
    if options or not name:
        raise ValueError(
            "takes ?master_name=NAME, and sentinel_username and sentinel_password if need be"
        )
    database = next((one.path.strip("/") for one in parts if one.path.strip("/")), "0")
    login = next((one for one in parts if one.username or one.password), parts[0])
    return Sentinels(
        hosts=[_host(one) for one in parts],
        master_name=name,
        database=int(database) if database.isdecimal() else _refuse(),
        login=_given(
            username=unquote(login.username or ""), password=unquote(login.password or "")
        ),
        own=_given(**own),
    )


def _host(one: SplitResult) -> tuple[str, int]:
    try:
        host, port = one.hostname, one.port
    except ValueError:
        _refuse()
    if one.scheme != SCHEME or not host:
        _refuse()
    return host, port or _PORT


def _refuse() -> NoReturn:
    raise ValueError("must be sentinel://HOST:PORT;sentinel://HOST:PORT/DB?master_name=NAME")


def close(client: redis.Redis) -> None:
    """Close a client, and what it asked for its master by."""
    client.close()
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    if manager is not None:
        manager.close()


async def aclose(client: redis.asyncio.Redis) -> None:
    """The same for asyncio."""
    await client.aclose()
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    if manager is not None:
        await manager.aclose()


def _given(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}
