"""The dev inbox: what the sandbox did not send, one JSON line a message and attempt."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from adapters import preview
from adapters.contract import Delivery, Outcome


def entry(delivery: Delivery, outcome: Outcome, now: float) -> dict[str, Any]:
    """Who, what and how it ended; `now` is in seconds since the epoch."""
    moment = dt.datetime.fromtimestamp(now, dt.UTC)
    return {
        "Time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "MessageId": delivery.id,
        "RequestId": delivery.request_id,
        "ApplicationId": delivery.application_id,
        "ChannelType": str(delivery.channel),
        "Address": delivery.address,
        "Attempt": delivery.attempt,
        "Outcome": str(outcome.status),
        **preview.preview(delivery),
    }


def line(entry: dict[str, Any]) -> bytes:
    """The entry as JSON on a line of its own."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    # What UTF-8 cannot hold, a lone surrogate, becomes the escape that JSON has for it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def append(inbox: str, line: bytes, limit_bytes: int) -> None:
    """Write one whole line; a file that is full then becomes `<inbox>.1`. Raises OSError.

    Processes that share the file take turns. Only the file that is still the inbox is moved away:
    who had it open at that moment writes to `<inbox>.1`, and moves nothing.
    """
    path = Path(inbox)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line)
        file.flush()
        written = os.fstat(descriptor)
        with contextlib.suppress(FileNotFoundError):
            if written.st_size > limit_bytes and os.path.samestat(written, path.stat()):
                path.replace(f"{inbox}.1")
