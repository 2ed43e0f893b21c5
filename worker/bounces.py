"""What mail servers send back of letters that a relay took."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from adapters import smtp_bounces
from adapters.contract import ChannelType, DeliveryStatus, Fault, Outcome
from adapters.smtp_bounces import Bounce, Complaint, Nothing, Verdict
from worker import events, lifecycle, store, telling
from worker.runtime import Runtime

LONGEST = 1024 * 1024
"""Bytes of a message that are read: a report says in front what it says."""

_OPTED_OUT = Outcome(
    status=DeliveryStatus.OPT_OUT,
    status_code=200,
    status_message="The recipient complained",
    fault=Fault.RECIPIENT,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it, in words without an address. `message` is the one that it is about; None if
    it is about none of ours. `news` if anything changed."""

    message: UUID | None
    what: str
    news: bool = False


def receive(runtime: Runtime, mail: bytes, recipient: str | None = None) -> Heard:
    """Bring the message that a bounce or a complaint is about up to date. `recipient` is whom its
    envelope names. What was heard before, or comes too late, changes nothing.

    Anybody may send one. Whoever knows the id of a message is believed, of that message and of the
    address that it went to, and of nothing else; see docs/decisions.md.

    Addresses are seen to before the result is recorded: whoever is interrupted in between, and
    hears it again, does both.
    """
    said = smtp_bounces.read(mail[:LONGEST], recipient)
    if isinstance(said, Nothing):
        return Heard(None, said.why)
    handed = store.find_handed(runtime.db, said.message)
    if handed is None or handed.channel_type != ChannelType.EMAIL:
        return Heard(None, "it is about no message that was sent from here")
    if isinstance(said, Complaint):
        return _complained(runtime, handed, said)
    return _bounced(runtime, handed, said)


def _complained(runtime: Runtime, handed: store.Handed, complaint: Complaint) -> Heard:
    if not handed.complained:
        lifecycle.follow(runtime.db, handed, _OPTED_OUT)
    told = telling.of_complaint(runtime, complaint, _settings(runtime, handed))
    news = store.complain(runtime.db, handed.id, tell=told)
    return Heard(handed.id, f"complaint ({complaint.kind})", news)


def _bounced(runtime: Runtime, handed: store.Handed, bounce: Bounce) -> Heard:
    verdict = smtp_bounces.verdict(bounce, handed.address)
    if verdict is None:
        return Heard(handed.id, "still on its way")
    outcome = verdict.outcome
    report = store.Report(
        id=handed.id,
        delivery_status=outcome.status,
        status_code=outcome.status_code,
        status_message=outcome.status_message,
        message_id=None,
        fault=outcome.fault,
        final=verdict.final,
    )
    news = store.is_news(runtime.db, report)
    if news and outcome.dead_address and _believed(runtime.db, handed):
        lifecycle.follow(runtime.db, handed, outcome)
    news = news and store.report(runtime.db, report, tell=_told(runtime, handed, verdict))
    events.reported(handed, outcome, recorded=news)
    return Heard(handed.id, f"{outcome.status} {verdict.status}".rstrip(), news)


def _told(runtime: Runtime, handed: store.Handed, verdict: Verdict) -> store.Tell | None:
    """Of a letter that arrived, only if it was not told that the relay took it."""
    successful = DeliveryStatus.SUCCESSFUL
    if verdict.outcome.status is successful and handed.delivery_status == successful:
        return None
    return telling.of_bounce(runtime, verdict, _settings(runtime, handed))


def _believed(db: store.Database, handed: store.Handed) -> bool:
    """What `lifecycle.Guard` is for, but asked of the ledger: this process sees but one bounce."""
    refused = store.refused_before(db, handed, most=lifecycle.WINDOW)
    if not lifecycle.too_many(sum(refused), len(refused)):
        return True
    _log.error(
        "%d of the last %d messages on channel %s of application %s were refused for their "
        "recipients' sake: none is deactivated until its relay was looked at",
        sum(refused),
        len(refused),
        handed.channel_type,
        handed.application_id,
    )
    return False


def _settings(runtime: Runtime, handed: store.Handed) -> Mapping[str, object]:
    """Those of the provider that has it, which only events need: without a key to them these tell
    less."""
    if runtime.sink is None:
        return {}
    try:
        channel = runtime.channels.of(handed.application_id).get(handed.channel_type)
    except ValueError:
        return {}
    for provider in channel.providers if channel else ():
        if handed.provider in {None, provider.name}:
            return provider.settings
    return {}
