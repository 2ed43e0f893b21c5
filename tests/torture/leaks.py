"""What must not be said where anybody may read it: addresses, bodies and secrets of a run, in Redis
and in logs (I15)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

import redis

PRIVATE = re.compile(
    rb"confidential|@torture\.example|\+155(?:5[789]|6[0-6])\d{6}|tok-torture-|746f7274757265"
    rb"|custom-torture-|the-double's|whsec_|BEGIN (?:EC |RSA )?PRIVATE KEY"
)
_OF_EACH_QUEUE = 4  # rings to look at: there may be thousands, several times a second


def in_redis(client: redis.Redis) -> tuple[int, set[str]]:
    """How many rings wait on all queues, and what is private in the names of keys, or in those
    rings that came last."""
    found, waiting = set(), 0
    for key in client.scan_iter(count=1000):
        found |= _private("Redis", key)
        if b"sendpoint" in key and client.type(key) == b"list":
            waiting += client.llen(key)
            for ring in client.lrange(key, 0, _OF_EACH_QUEUE - 1):
                found |= _private("Redis", _readable(ring))
    return waiting, found


def in_logs(directory: Path) -> set[str]:
    """What is private in the logs there."""
    logs = directory.glob("*.log")
    return {one for log in logs for one in _private(log.name, log.read_bytes())}


def _private(where: str, words: bytes) -> set[str]:
    return {f"{where}: {found.decode()}" for found in PRIVATE.findall(words)}


def _readable(ring: bytes) -> bytes:
    """A ring with its body, which is in base64, in plain words behind it."""
    try:
        body: Any = json.loads(ring)["body"]
        return ring + b"\n" + base64.b64decode(body, validate=True)
    except (ValueError, LookupError, TypeError, binascii.Error):
        return ring  # whatever it is, what it says in plain words is seen
