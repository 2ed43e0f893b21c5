"""Sendpoint: a self-hosted, Amazon-Pinpoint-compatible sending backend.

`send_messages` is Pinpoint's SendMessages as a function. The life of a message is in two others,
`worker.intake.accept` and `worker.dispatch.deliver`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.sending import send_messages

__all__ = ["send_messages"]


def __getattr__(name: str) -> Any:
    """Import the edge when it is asked for, so that importing a leaf does not import the house."""
    if name != "send_messages":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker.sending import send_messages  # noqa: PLC0415 - see above

    return send_messages
