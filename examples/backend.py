"""The processes that the demo needs: Sendpoint itself, and the providers' doubles."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# A retry in the demo comes at once, not in minutes; giving up takes three attempts, not eight; and
# a provider that does not answer is given four seconds, not thirty.
_SETTINGS = {
    "SENDPOINT_WAIT": "0",
    "SENDPOINT_MAX_ATTEMPTS": "3",
    "SENDPOINT_BACKOFF_BASE": "0.2",
    "SENDPOINT_BACKOFF_CAP": "0.5",
    "SENDPOINT_SWEEP_INTERVAL": "0.2",
    "SENDPOINT_LEASE": "8",
    "SENDPOINT_LOG_LEVEL": "WARNING",
}


class Failed(Exception):
    """The demo cannot go on; the text says why."""


@contextlib.contextmanager
def started(
    command: str,
    *arguments: str,
    directory: Path,
    give_up: float,
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """`sendpoint COMMAND ARGUMENTS` with its data in `directory`, for the length of the block.
    Gives what it writes to its `--ready-file`; its output is in `COMMAND.log`. `give_up` is when it
    must have started, in `time.monotonic`."""
    ready, log = directory / f"{command}.ready", directory / f"{command}.log"
    # The settings of a real deployment must not make the demo send through it.
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SENDPOINT_")}
    own = {
        "SENDPOINT_DATABASE_URL": f"sqlite:///{directory / 'sendpoint.db'}",
        "SENDPOINT_SECRET_KEYS_FILE": str(directory / "secret.keys"),
        "SENDPOINT_INBOX": str(directory / "inbox.jsonl"),
    }
    sendpoint = [sys.executable, "-m", "worker.cli", command, *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a command of our own
            [*sendpoint, "--ready-file", str(ready)],
            env={**inherited, **_SETTINGS, **own, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                raise Failed(f"`sendpoint {command}` does not start: {_end_of(log)}")
            time.sleep(0.05)
        yield ready.read_text(encoding="ascii").strip()
    finally:
        _end(process)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
