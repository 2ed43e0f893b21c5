"""What a provider posts of a message after it took it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from adapters.contract import Forged, Receipt
from worker import channels, events, lifecycle, store, telling, wire
from worker.runtime import Runtime


def receive(runtime: Runtime, message: str, headers: Mapping[str, str], body: bytes) -> None:
    """Bring the message with this id up to date by what its provider says. What it said before, or
    what comes too late, changes nothing.

    `Forbidden`, whatever it is, unless a provider that may have the message signed it: nobody
    learns which messages there are.
    """
    handed = _handed(runtime, message)
    if handed is None:
        raise wire.Forbidden(_REFUSED)
    provider, receipt = _read(runtime, handed, headers, body)
    if receipt is None:
        return
    outcome = receipt.outcome
    report = store.Report(
        id=handed.id,
        delivery_status=outcome.status,
        status_code=outcome.status_code,
        status_message=outcome.status_message,
        message_id=outcome.message_id,
        fault=outcome.fault,
        final=receipt.final,
    )
    told = telling.of_receipt(runtime, receipt, provider.settings)
    recorded = store.report(runtime.db, report, tell=told)
    events.reported(handed, outcome, recorded=recorded)
    if recorded:
        _follow(runtime, handed, receipt)


def _handed(runtime: Runtime, message: str) -> store.Handed | None:
    try:
        message_id = UUID(message)
    except ValueError:
        return None
    # Only the form in which we gave it out: it is part of what was signed.
    return store.find_handed(runtime.db, message_id) if str(message_id) == message else None


def _read(
    runtime: Runtime, handed: store.Handed, headers: Mapping[str, str], body: bytes
) -> tuple[store.Provider, Receipt | None]:
    """The provider that signed it, and what it says."""
    at = handed.application_id
    channel = (runtime.channels.cached(at) or runtime.channels.of(at)).get(handed.channel_type)
    for provider in channel.providers if channel else ():
        read = channels.receiver(provider.adapter)
        if read is None or handed.provider not in {None, provider.name}:
            continue
        try:
            return provider, read(provider.settings, str(handed.id), headers, body)
        except Forged:
            continue
    raise wire.Forbidden(_REFUSED)


def _follow(runtime: Runtime, handed: store.Handed, receipt: Receipt) -> None:
    """Carry over to endpoints what it says of the address."""
    outcome = receipt.outcome
    believed = runtime.guard.believes(
        handed.application_id, handed.channel_type, dead=outcome.dead_address
    )
    if lifecycle.says_something(outcome) and (believed or not outcome.dead_address):
        lifecycle.follow(runtime.db, handed, outcome)


_REFUSED = "This is no receipt of a message that was sent from here"
