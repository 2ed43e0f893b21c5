"""What happened, for whoever watches: one log record per attempt and per acceptance.

Records carry ids, never an address, a body, a token or a secret.
"""

from __future__ import annotations

import logging
from uuid import UUID

from adapters.contract import Fault, Outcome
from worker import limits, retry, store

_log = logging.getLogger("sendpoint")
_OURS = (Fault.PROVIDER, Fault.CREDENTIALS)


def accepted(application_id: str, request_id: UUID, recipients: int, settled: int) -> None:
    """A request was stored."""
    _log.info(
        "accepted request=%s application=%s recipients=%d settled=%d",
        request_id,
        application_id,
        recipients,
        settled,
    )


def attempted(
    claimed: store.Claimed, decision: retry.Decision, *, seconds: float, recorded: bool
) -> None:
    """An attempt came to something. Faults that an operator can mend are warnings."""
    outcome = decision.outcome
    level = logging.WARNING if outcome.fault in _OURS else logging.INFO
    if not _log.isEnabledFor(level):
        return
    _log.log(
        level,
        "attempted message=%s request=%s channel=%s attempt=%d status=%s code=%d fault=%s "
        "seconds=%.3f %s",
        claimed.id,
        claimed.request_id,
        claimed.channel_type,
        claimed.attempt,
        outcome.status,
        outcome.status_code,
        outcome.fault or "-",
        seconds,
        _next(decision, recorded=recorded),
    )


def held(claimed: store.Claimed, limit: limits.Limit, *, seconds: float) -> None:
    """A limit lets a message through only later."""
    if _log.isEnabledFor(logging.INFO):
        # What a limit is for may name a sender.
        _log.info(
            "held message=%s request=%s channel=%s limit=%s of=%s seconds=%.3f",
            claimed.id,
            claimed.request_id,
            claimed.channel_type,
            limit.what.partition(":")[0],
            limit.owner,
            seconds,
        )


def reported(handed: store.Handed, outcome: Outcome, *, recorded: bool) -> None:
    """A provider said what became of a message that it took."""
    level = logging.WARNING if outcome.fault in _OURS else logging.INFO
    _log.log(
        level,
        "reported message=%s application=%s channel=%s status=%s code=%d fault=%s %s",
        handed.id,
        handed.application_id,
        handed.channel_type,
        outcome.status,
        outcome.status_code,
        outcome.fault or "-",
        "news" if recorded else "old",
    )


def refused(application_id: str, limit: str, of: str, *, seconds: float) -> None:
    """A request was answered 429 for a limit: an owner's, or for the backlog of a queue."""
    _log.info(
        "refused application=%s limit=%s of=%s seconds=%.3f", application_id, limit, of, seconds
    )


def paused(claimed: store.Claimed, provider: str, outcome: Outcome, *, seconds: float) -> None:
    """A provider failed so often that it is left alone for a while."""
    _log.error(
        "paused provider=%s channel=%s application=%s seconds=%.0f status=%s code=%d fault=%s",
        provider,
        claimed.channel_type,
        claimed.application_id,
        seconds,
        outcome.status,
        outcome.status_code,
        outcome.fault,
    )


def swept(*, rung: int, rescued: int, expired: int) -> None:
    """A sweep found something to do."""
    if rung or rescued or expired:
        level = logging.WARNING if rescued or expired else logging.INFO
        _log.log(level, "swept rung=%d rescued=%d expired=%d", rung, rescued, expired)


def pruned(*, requests: int, messages: int) -> None:
    """Requests were deleted since they were settled so long ago."""
    if requests:
        _log.info("pruned requests=%d messages=%d", requests, messages)


def _next(decision: retry.Decision, *, recorded: bool) -> str:
    if not recorded:
        return "late"
    return "done" if decision.done else f"again_in={decision.delay:.1f}"
