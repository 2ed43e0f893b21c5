"""The doorbell: publishing rings, and the transport that workers hear them through.

A ring is a Celery task message that carries one row's id and whose it is. Losing one, or ringing
twice, does no harm (see `worker.store.deliveries`), so ringing is best effort: it never raises and
never holds its caller up for long.
"""

from __future__ import annotations

import binascii
import functools
import itertools
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import kombu
import msgspec
from kombu import pools
from kombu.exceptions import KombuError
from kombu.transport import memory, redis, virtual
from kombu.utils import scheduling
from kombu.utils.encoding import bytes_to_str

from worker import plan, sentinels, store

TASK = "sendpoint.deliver"

_log = logging.getLogger(__name__)
_QUIET = 1.0  # seconds without trying again after the broker did not answer
_TRYING = 10.0  # seconds for which one who tries again has, at most, before another does
_PUBLISHING = {"max_retries": 1, "interval_start": 0, "socket_timeout": 2}
_LATELY = 0.02  # seconds for which a queue that was full is taken to be
_tags = itertools.count()
_origin = f"{os.getpid()}@{socket.gethostname()}"


class _Together(dict[str, Any]):
    """Rings as one message of kombu's. `calls` are the arguments of each."""

    def __init__(self, calls: Sequence[Sequence[str]]) -> None:
        super().__init__(headers={"task": TASK}, properties={"delivery_tag": next(_tags)})
        self.calls = calls


class _Popped(virtual.Message):
    """What was popped: any message, or rings together, so that what kombu and Celery do for a
    message they do once. Those take as much of the prefetch's room as there are, and each
    acknowledgement gives back the room of one."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel, **kwargs)
        self.calls = payload.calls if isinstance(payload, _Together) else ()
        self.tags = [self.delivery_tag, *itertools.islice(_tags, max(0, len(self.calls) - 1))]

    def ack(self, multiple: bool = False) -> None:
        if len(self.tags) > 1:
            self.channel.basic_ack(self.tags.pop())
        else:
            super().ack(multiple)

    def reject(self, requeue: bool = False) -> None:
        while len(self.tags) > 1:
            self.channel.basic_reject(self.tags.pop())
        super().reject(requeue)


class _Qos(virtual.QoS):
    """What is in flight, by tags. Unacknowledged rings live in memory only: without this, kombu
    writes them to a temporary file when the broker is gone at shutdown."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: Any) -> None:
        super().append(message, delivery_tag)
        for tag in message.tags[1:]:
            self._quick_append(tag, message)


class Lanes(scheduling.round_robin_cycle):
    """The order in which a worker looks at its queues: in turn, but at promotional messages only
    when nothing else waits."""

    def consume(self, n: int) -> list[str]:
        return sorted(self.items[:n], key=plan.PROMOTIONAL.__eq__)


class _BulkPop:
    """BRPOP for the first ring, then RPOP with a count for whatever else waits, within the room
    that the worker's prefetch leaves. One round trip and one wake-up a bulk, not a ring.

    Promotional rings take at most half of the room at a time, so that those which come after them
    and matter more find some.
    """

    bulk = 200
    Message = _Popped

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # which sets QoS when ack_emulation is off
        self.QoS = _Qos

    def _brpop_read(self: Any, **options: Any) -> bool:
        connection = self.client.connection
        try:
            reply = self.client.parse_response(connection, "BRPOP", **options)
            if not reply:
                raise Empty
            key, first = reply
            rings = [first, *self._pop_more(connection, key)]
        except self.connection_errors:
            connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        # What nobody listens to any more kombu gives back.
        listening = queue in self.connection._callbacks  # noqa: SLF001 - as kombu does
        for message in _together(rings) if listening else _each(rings):
            self.connection._deliver(message, queue)  # noqa: SLF001 - as kombu does
        return True

    def _pop_more(self: Any, connection: Any, key: bytes) -> Sequence[bytes]:
        room = self.qos.can_consume_max_estimate()  # None: no limit
        count = self.bulk if room is None else min(self.bulk, room - 1)
        if bytes_to_str(key) == plan.PROMOTIONAL:
            count = min(count, self.bulk // 2, (count - 1) // 2)
        if count < 1:
            return ()
        connection.send_command("RPOP", key, count)
        popped: Sequence[bytes] | None = self.client.parse_response(connection, "RPOP")
        return popped or ()


class _Headers(msgspec.Struct):
    task: str = ""


class _Heard(msgspec.Struct):
    """What is read of a ring."""

    headers: _Headers
    body: bytes  # in base64


_heard = msgspec.json.Decoder(_Heard).decode
_arguments = msgspec.json.Decoder(tuple[list[str], dict[str, Any], Any]).decode


def _together(popped: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """The messages of kombu's that were popped, with all rings as one."""
    calls = []
    for one in popped:
        arguments = _rung(one)
        if arguments is None:
            yield from _each([one])
        else:
            calls.append(arguments)
    if calls:
        yield _Together(calls)


def _rung(popped: bytes) -> Sequence[str] | None:
    """What a ring says; None if it is something else."""
    try:
        heard = _heard(popped)
        return _arguments(heard.body)[0] if heard.headers.task == TASK else None
    except msgspec.MsgspecError:
        return None


def _each(popped: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """The messages of kombu's that were popped, as they are."""
    for one in popped:
        try:
            yield msgspec.json.decode(one)
        except msgspec.DecodeError:  # which must not take others along
            _log.error("What was popped is no ring")


class RedisChannel(_BulkPop, redis.Channel):
    """kombu's Redis channel, popping in bulk."""


class SentinelChannel(_BulkPop, redis.SentinelChannel):
    """kombu's Sentinel channel, popping in bulk. All sentinels are in its options: those that kombu
    takes from alternative URLs it would also connect to in turn, over its own transport."""

    from_transport_options = (*redis.SentinelChannel.from_transport_options, "sentinels")

    def _sentinel_managed_pool(self: Any, asynchronous: bool = False) -> Any:
        options = self._connparams(asynchronous)
        del options["host"], options["port"]
        manager = sentinels.Manager(self.sentinels, sentinel_kwargs=self.sentinel_kwargs, **options)
        if asynchronous:  # who closes them is kombu
            self._async_sentinel_manager = manager
        else:
            self._sentinel_manager = manager
        return manager.master_for(self.master_name).connection_pool


class RedisTransport(redis.Transport):
    """kombu's Redis transport over `RedisChannel`."""

    Channel = RedisChannel


class SentinelTransport(redis.SentinelTransport):
    """kombu's Sentinel transport over `SentinelChannel`."""

    Channel = SentinelChannel


class MemoryTransport(memory.Transport):
    """kombu's in-process transport, looked at often enough that a ring is answered at once."""

    polling_interval = 0.02


_TRANSPORTS = {
    "redis": "worker.rings:RedisTransport",
    "rediss": "worker.rings:RedisTransport",
    "sentinel": "worker.rings:SentinelTransport",
    "memory": "worker.rings:MemoryTransport",
}


def transport(url: str) -> str | None:
    """The transport for a broker's URL; None for kombu's own choice."""
    return _TRANSPORTS.get(urlsplit(url).scheme)


def address(url: str) -> str:
    """The URL that kombu is told."""
    return sentinels.parse(url).url if urlsplit(url).scheme == sentinels.SCHEME else url


def transport_options(url: str) -> dict[str, Any]:
    """What every connection to the broker needs: without time-outs, a half-open connection hangs
    a worker or a publisher for ever; the database is the ledger, so Redis keeps none."""
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss", sentinels.SCHEME}:
        return {}
    more = sentinels.parse(url).transport_options if scheme == sentinels.SCHEME else {}
    return more | {
        "ack_emulation": False,
        "priority_steps": [0],  # each is one more key for every pop and count to look at
        "queue_order_strategy": "worker.rings:Lanes",
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }


def tls(url: str) -> dict[str, Any] | None:
    """TLS settings for a `rediss` URL. kombu would not verify the server's certificate unless the
    URL's query says so; here it does, and the query may say otherwise."""
    if urlsplit(url).scheme == "rediss":
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return None


@dataclass(frozen=True, slots=True)
class _Length:
    """How many rings waited on a queue, as the broker said at a (monotonic) time."""

    count: int
    at: float

    def longer(self) -> _Length:
        return replace(self, count=self.count + 1)


class Rings:
    """The publishing end. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(
            address(url),
            transport=transport(url),
            transport_options=transport_options(url) | _PUBLISHING,
            ssl=tls(url),
            connect_timeout=2,
        )
        self._producers = pools.Producers(limit=8)[self._connection]
        # A full or read-only Redis answers with what kombu calls channel errors.
        self._errors = (
            KombuError,
            OSError,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
        )
        self._quiet_until = 0.0
        self._is_away = False
        self._asking = threading.Lock()
        self._lengths: dict[str, _Length] = {}

    def ring(self, rings: Sequence[store.Ring], *, lasting: int | None = None) -> bool:
        """Ring for these rows, in one pipelined batch. Says whether the broker took them, which
        proves nothing: the sweep rings again for what was not answered. Redis forgets a queue that
        nobody answers `lasting` seconds after its last ring."""
        if not rings or self._is_left_alone():
            return not rings
        try:
            with self._producers.acquire(block=True, timeout=2) as producer:
                if isinstance(producer.channel, redis.Channel):
                    self._lengths |= _push(producer.channel, rings, lasting)
                else:
                    for one in rings:
                        _publish(producer, one)
                        self._lengths[one.queue] = self._length(one.queue).longer()
        except self._errors as error:
            self._leave_alone()
            _log.warning("The broker did not take %d rings: %s", len(rings), type(error).__name__)
            return False
        self._is_away = False
        return True

    def waiting(self, queue: str) -> int:
        """How many rings of `queue` nobody has answered yet. `ConnectionError` if the broker is
        not there to ask."""
        if self._is_left_alone():
            raise ConnectionError("the broker did not answer a moment ago")
        try:
            with self._producers.acquire(block=True, timeout=2) as producer:
                count = _waiting(producer.channel, queue)
        except self._connection.channel_errors:
            count = 0  # nobody has rung on it yet
        except self._errors as error:
            self._leave_alone()
            raise ConnectionError(str(error) or type(error).__name__) from error
        self._is_away = False
        self._lengths[queue] = _Length(count, time.monotonic())
        return count

    def is_full(self, queue: str, window: int) -> bool:
        """Whether as many rings as `window` wait on a queue, or nobody takes any: then a new row
        is better left to those who feed the queue. Mostly known from the last ring's answer."""
        if self._is_away and time.monotonic() < self._quiet_until:
            return True
        length = self._length(queue)
        if length.count < window or time.monotonic() - length.at < _LATELY:
            return length.count >= window
        try:
            return self.waiting(queue) >= window
        except ConnectionError:
            return True

    def _is_left_alone(self) -> bool:
        """Whether the broker did not answer, and it is not for this caller to try it again: of
        those who come after a pause one does, so that a broker that hangs holds up nobody else."""
        if not self._is_away:
            return False
        with self._asking:
            now = time.monotonic()
            if now < self._quiet_until:
                return self._is_away
            self._quiet_until = now + _TRYING
            return False

    def _leave_alone(self) -> None:
        self._quiet_until = time.monotonic() + _QUIET
        self._is_away = True

    def _length(self, queue: str) -> _Length:
        return self._lengths.get(queue, _Length(0, 0.0))

    def close(self) -> None:
        """Close every connection."""
        self._producers.force_close_all()
        self._connection.release()


def _publish(producer: Any, one: store.Ring) -> None:
    """Ring once, over any transport."""
    producer.publish(
        _body(one.id.hex, one.lane),
        exchange="",
        routing_key=one.queue,
        serializer="json",
        headers=_headers(uuid4().hex),
        correlation_id=one.id.hex,
        retry=False,
    )


def _waiting(channel: Any, queue: str) -> int:
    """What is not there is empty. Redis is asked outright: what kombu raises for an empty queue
    would end the connection that it was asked on."""
    if isinstance(channel, redis.Channel):
        return int(channel.client.llen(queue))
    return int(channel.queue_declare(queue=queue, passive=True).message_count)


def _push(channel: Any, rings: Sequence[store.Ring], lasting: int | None) -> dict[str, _Length]:
    """Ring for all in one round trip, and say how long the queues are now. A Redis ring is made by
    hand: what kombu does for each message is a hundred times the work of pushing it."""
    batch = uuid4().hex.encode()
    waiting: dict[str, list[bytes]] = {}
    for number, one in enumerate(rings):
        waiting.setdefault(one.queue, []).append(_redis_ring(one, b"%b-%d" % (batch, number)))
    with channel.client.pipeline(transaction=False) as pipeline:
        for queue, messages in waiting.items():
            pipeline.lpush(queue, *messages)
        if lasting is not None:
            for queue in waiting:
                pipeline.expire(queue, lasting)
        counts = pipeline.execute()
    now = time.monotonic()
    return {queue: _Length(count, now) for queue, count in zip(waiting, counts, strict=False)}


def _redis_ring(one: store.Ring, ring_id: bytes) -> bytes:
    """A ring as kombu's Redis transport writes it."""
    row = {b"row": one.id.hex.encode()}
    body, ring = _templates(*one.lane)
    own = {b"ring": ring_id, b"body": binascii.b2a_base64(body % row, newline=False)}
    return ring % (row | own)


@functools.lru_cache(maxsize=1000)
def _templates(*lane: str) -> tuple[bytes, bytes]:
    """The bodies of a lane's rings, and the rings around them, but for what differs: encoding each
    of them anew takes several times as long."""
    ring = {
        "body": "<body>",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers("<ring>"),
        "properties": {
            "correlation_id": "<row>",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": lane[0]},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "<ring>",
        },
    }
    return _template(_body("<row>", lane)), _template(ring)


def _template(value: Any) -> bytes:
    """JSON for `%` to fill in what is in angle brackets."""
    text = msgspec.json.encode(value).replace(b"%", b"%%")
    return re.sub(rb"<(row|ring|body)>", rb"%(\1)b", text)


def _body(row: str, lane: Sequence[str]) -> list[Any]:
    """Celery's positional and named arguments, and its options: one id, and whose place it takes in
    a worker."""
    return [[row, *lane], {}, {}]


def _headers(ring_id: str) -> Mapping[str, Any]:
    """Celery's message protocol, version 2. The task's id is the ring's, not the row's."""
    return {
        "lang": "py",
        "task": TASK,
        "id": ring_id,
        "root_id": ring_id,
        "parent_id": None,
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": _origin,
        "ignore_result": True,
    }
