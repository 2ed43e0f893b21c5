"""What a benchmark runs on and sends to: the machine, a mail server, the providers' doubles."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

IN_FLIGHT = 100
MAIL_CONNECTIONS = 20


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The mail server, in a process of its own."""
    process = _started("benchmarks.sink")
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def doubles() -> Iterator[dict[str, dict[str, Any]]]:
    """The settings by channel that reach the doubles, and the mail server, while they run; with
    room for all that is in flight."""
    process = _started("benchmarks.doubles")
    assert process.stdout is not None
    try:
        with sink() as (mail_port, _):
            settings = json.loads(process.stdout.readline())
            settings["EMAIL"] = {
                "host": "127.0.0.1",
                "port": mail_port,
                "security": "none",
                "connections": MAIL_CONNECTIONS,
            }
            for name in ("GCM", "ADM", "BAIDU", "SMS", "VOICE", "CUSTOM"):
                settings[name]["connections"] = IN_FLIGHT
            yield settings
    finally:
        process.communicate()


def _started(module: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
