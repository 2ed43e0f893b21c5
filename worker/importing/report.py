"""What came of an import."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

MOST_FINDINGS = 10_000
"""How many findings a report lists; the others are counted."""

MOST_REASONS = 1000
"""How many reasons are counted apart: some name an attribute, and those are without end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was not taken over, where it is and why. `attention` if somebody should look
    at it. No address and no text of a user's is in it."""

    kind: str
    where: str
    reason: str
    attention: bool


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel that is enabled and has no credentials yet, which Pinpoint never told."""

    application_id: str
    channel_type: str
    command: str


@dataclass(slots=True)
class Report:
    """What came of an import so far."""

    dry_run: bool = False
    complete: bool = False
    files: int = 0
    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind: how many were imported, unchanged and skipped."""
    reasons: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """How often something was not taken over, by kind, reason and whether to look at it."""
    findings: list[Finding] = field(default_factory=list)
    open_channels: list[OpenChannel] = field(default_factory=list)
    event_streams: list[str] = field(default_factory=list)
    """The applications whose events went somewhere."""

    @property
    def attention(self) -> bool:
        """Whether somebody should look at something that was not taken over."""
        return any(attention for _, _, attention in self.reasons)

    def count(self, kind: str, *, imported: bool) -> None:
        """Take note of something that was taken over, or that the database has already."""
        self.counts[kind]["imported" if imported else "unchanged"] += 1

    def skip(self, kind: str, where: str, reason: str, *, attention: bool = True) -> None:
        """Take note of something that was not."""
        self.counts[kind]["skipped"] += 1
        self.note(kind, where, reason, attention=attention)

    def note(self, kind: str, where: str, reason: str, *, attention: bool) -> None:
        """The same of something that is not one of those that are counted."""
        key = kind, reason, attention
        if key not in self.reasons and len(self.reasons) >= MOST_REASONS:
            key = kind, "other reasons", attention
        self.reasons[key] += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, where, reason, attention))
