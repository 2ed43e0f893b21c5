"""The judge: three ledgers against the invariants of `docs/guarantees.md`. Pure.

The words of the totals are those of Jepsen's total-queue checker.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tests.torture.ledgers import Answer, Attempt, Call, Change, Ledgers, Receipt, Row

SUCCESSFUL = "SUCCESSFUL"
UNKNOWN = "UNKNOWN_FAILURE"
DUPLICATE = "DUPLICATE"
FAILED = frozenset({"PERMANENT_FAILURE", "TIMEOUT", "OPT_OUT"})
NOT_SENT = FAILED | {DUPLICATE}
PENDING = 202
_ROUNDING = 0.001  # seconds, of a database's times


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """A promise that was not kept: which one, in which of Jepsen's words, and where."""

    invariant: str
    word: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """Totals are in recipients. `lost`, `stuck`, `unexpected`, `wrongly_reported` and
    `doubled_outside` are 0 in every run that keeps its promises; `duplicated` counts the repeated
    sends that an attempt on record explains, `recovered` those whose caller never got an answer
    and which were sent all the same, `withheld` what was asked for again within the window."""

    attempted: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    ok: int = 0
    failed: int = 0
    lost: int = 0
    stuck: int = 0
    unexpected: int = 0
    duplicated: int = 0
    doubled_outside: int = 0
    recovered: int = 0
    wrongly_reported: int = 0
    withheld: int = 0
    rescued: int = 0
    late_results: int = 0
    most_attempts: int = 0
    violations: tuple[Violation, ...] = field(default=())

    @property
    def valid(self) -> bool:
        return not self.violations

    def totals(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self).items() if name != "violations"}


class _Run:
    """The ledgers, joined."""

    def __init__(self, ledgers: Ledgers) -> None:
        self.rules = ledgers.rules
        self.calls = ledgers.calls
        self.rows = ledgers.rows
        self.peak_rings = ledgers.peak_rings
        self.leaks = ledgers.leaks
        self.by_address = _grouped(ledgers.rows, lambda row: row.address)
        self.attempts = _grouped(ledgers.attempts, lambda one: one.row)
        self.changes = _grouped(
            sorted(ledgers.changes, key=lambda one: one.number), lambda one: one.row
        )
        self.asked = Counter(address for call in ledgers.calls for address in call.addresses)
        self.sent_to = {one.address for one in ledgers.receipts}
        self._of = {(row.address, row.id): row.id for row in ledgers.rows}
        self.receipts: Mapping[str | None, Sequence[Receipt]] = _grouped(
            ledgers.receipts, self._row_of
        )
        self.accepted: Mapping[str | None, Sequence[Receipt]] = {
            row: [one for one in receipts if one.accepted]
            for row, receipts in self.receipts.items()
        }

    def _row_of(self, receipt: Receipt) -> str | None:
        """The id of the row that a receipt is about: by our id and its address, else by the
        address alone."""
        known = self._of.get((receipt.address, receipt.message_id or ""))
        rows = self.by_address.get(receipt.address, ())
        return known or next((row.id for row in rows), None)

    def accepts(self, row: Row) -> int:
        return len(self.accepted.get(row.id, ()))

    def had_failed(self, row: Row, by: float) -> bool:
        """Whether a row had failed by then, and surely had not been delivered."""
        settled = [one.at for one in self.changes.get(row.id, ()) if one.state == "DONE"]
        ended = (
            row.state == "DONE"
            and row.status in FAILED
            and max(settled, default=by) <= by + _ROUNDING
        )
        return ended and not self.ambiguous(row)

    def ambiguous(self, row: Row) -> set[int]:
        """The lease tokens of attempts that the record says may have reached the provider, beside
        the one that settled the row."""
        return {
            one.token for one in self.attempts.get(row.id, ()) if one.late or one.status == UNKNOWN
        }

    def may_have_been_sent(self, row: Row) -> int:
        """By how many attempts the row says that the provider may have got the message."""
        tokens = self.ambiguous(row)
        if row.state != "DONE" or row.status in {SUCCESSFUL, UNKNOWN}:
            tokens = tokens | {row.token}
        return len(tokens)


def check(ledgers: Ledgers) -> Report:
    """Compare the ledgers. Every violation is listed; none is tolerated."""
    run = _Run(ledgers)
    violations = [
        Violation(invariant, word, what)
        for invariant, word, look in _INVARIANTS
        for what in look(run)
    ]
    told = Counter(call.answer for call in run.calls for _ in call.addresses)
    words = Counter(one.word for one in violations)
    acknowledged = {
        address for call in run.calls if call.answer is Answer.ACKNOWLEDGED
        for address in call.addresses
    }  # fmt: skip
    unknown = {
        address for call in run.calls if call.answer is Answer.UNKNOWN for address in call.addresses
    }
    done = [row for row in run.rows if row.state == "DONE"]
    return Report(
        attempted=sum(told.values()),
        acknowledged=told[Answer.ACKNOWLEDGED],
        refused=told[Answer.REFUSED],
        unknown=told[Answer.UNKNOWN],
        ok=sum(row.status == SUCCESSFUL for row in done if row.address in acknowledged),
        failed=sum(row.status != SUCCESSFUL for row in done if row.address in acknowledged),
        lost=words["lost"],
        stuck=words["stuck"],
        unexpected=words["unexpected"],
        duplicated=sum(max(0, run.accepts(row) - 1) for row in run.rows),
        doubled_outside=words["duplicated"],
        recovered=sum(row.address in unknown and run.accepts(row) > 0 for row in done),
        wrongly_reported=words["wrongly reported"],
        withheld=sum(row.status == DUPLICATE for row in done),
        rescued=sum(
            not one.late and one.status == UNKNOWN for of in run.attempts.values() for one in of
        ),
        late_results=sum(one.late for of in run.attempts.values() for one in of),
        most_attempts=max((row.attempt for row in run.rows), default=0),
        violations=tuple(sorted(violations)),
    )


def _accepted_is_stored(run: _Run) -> Iterator[str]:
    for call in run.calls:
        if call.answer is Answer.ACKNOWLEDGED:
            for address in call.addresses:
                if not any(
                    row.request_id in call.request_ids for row in run.by_address.get(address, ())
                ):
                    yield f"{address} of request {call.name} was accepted and has no row"


def _settled_in_the_end(run: _Run) -> Iterator[str]:
    for row in run.rows:
        if row.state != "DONE":
            yield f"{row.address} is still {row.state} ({row.status}, attempt {row.attempt})"


def _done_is_done(run: _Run) -> Iterator[str]:
    for changes in run.changes.values():
        for one in changes:
            if one.old_state == "DONE":
                yield f"row {one.row} was DONE and was changed again, to {one.state}"


def _told_what_the_row_says(run: _Run) -> Iterator[str]:
    for call in run.calls:
        for address, (status, code, message_id) in call.told.items():
            for row in run.by_address.get(address, ()):
                final = code != PENDING and row.request_id in call.request_ids
                if final and (status, code, message_id) != (row.status, row.code, row.message_id):
                    yield (
                        f"{address} was told {status} {code} {message_id}, its row says "
                        f"{row.status} {row.code} {row.message_id}"
                    )


def _attempts_are_bounded(run: _Run) -> Iterator[str]:
    for row in run.rows:
        if row.attempt > run.rules.max_attempts:
            yield f"{row.address} took {row.attempt} attempts of {run.rules.max_attempts}"
        if run.accepts(row) > row.attempt:
            yield f"{row.address} was accepted {run.accepts(row)} times in {row.attempt} attempts"


def _doubles_are_explained(run: _Run) -> Iterator[str]:
    for row in run.rows:
        accepts, explained = run.accepts(row), run.may_have_been_sent(row)
        if accepts > 1 and accepts > explained:
            yield f"{row.address} was accepted {accepts} times, {explained} are on record"


def _at_most_once(run: _Run) -> Iterator[str]:
    for row in run.rows:
        if row.channel in run.rules.at_most_once and run.accepts(row) > 1:
            yield f"{row.address} on {row.channel} was accepted {run.accepts(row)} times"


def _success_was_accepted(run: _Run) -> Iterator[str]:
    for row in run.rows:
        if row.status != SUCCESSFUL or row.state != "DONE":
            continue
        accepted = run.accepted.get(row.id, ())
        if not accepted:
            yield f"{row.address} is SUCCESSFUL and no provider accepted it"
            continue
        ids = {one.provider_id for one in accepted}
        if None not in ids and row.message_id not in ids:
            yield f"{row.address} has the MessageId {row.message_id}, its provider gave {ids}"


def _failure_was_not_accepted(run: _Run) -> Iterator[str]:
    for row in run.rows:
        sent = run.accepts(row) and not run.ambiguous(row)
        if sent and row.state == "DONE" and row.status in NOT_SENT:
            yield f"{row.address} is {row.status}, and its provider accepted it"


def _tokens_only_grow(run: _Run) -> Iterator[str]:
    for changes in run.changes.values():
        for one in changes:
            claimed = (one.old_state, one.state) == ("QUEUED", "SENDING")
            if one.token != one.old_token + claimed:
                yield (
                    f"row {one.row} went from {one.old_state} to {one.state} and from token "
                    f"{one.old_token} to {one.token}"
                )
            grown = one.attempt - one.old_attempt
            if grown != 1 if claimed else grown not in {0, -1}:
                yield f"row {one.row} went to {one.state}, its attempts by {grown}"
    for row in run.rows:
        changes = run.changes.get(row.id)
        if changes and max(one.token for one in changes) != row.token:
            yield f"{row.address} has token {row.token}, a later one was given out"


def _one_holder_at_a_time(run: _Run) -> Iterator[str]:
    for changes in run.changes.values():
        for one in changes:
            if one.old_state == one.state == "SENDING" and one.token != one.old_token:
                yield f"row {one.row} was claimed while it was held"
            if one.lost and one.at < (one.old_lease_until or 0.0):
                early = (one.old_lease_until or 0.0) - one.at
                yield f"row {one.row} was taken from its holder {early:.1f} s before its time"


def _sent_within_a_lease(run: _Run) -> Iterator[str]:
    """A send that was read outside every lease, before its claim or after its end, is no holder's;
    a holder that was stopped half way is on record as lost."""
    slack = run.rules.slack
    for row in run.rows:
        claims = [one for one in run.changes.get(row.id, ()) if one.state == "SENDING"]
        for receipt in run.accepted.get(row.id, ()):
            begun = [one for one in claims if one.at <= receipt.at + slack]
            if not begun:
                yield f"{row.address} was sent and nobody had claimed it"
                continue
            last = begun[-1]
            stalled = last.token in run.ambiguous(row) or row.status == UNKNOWN
            until = min(last.lease_until or last.at, row.expires_at)
            if receipt.at > until + slack and not stalled:
                yield f"{row.address} was sent {receipt.at - until:.1f} s after its time"


def _one_set_of_rows(run: _Run) -> Iterator[str]:
    for call in run.calls:
        if len(set(call.request_ids)) > 1:
            yield f"request {call.name} was answered as {len(set(call.request_ids))} requests"
    for address, rows in run.by_address.items():
        if len(rows) > max(1, run.asked[address]):
            yield f"{address} has {len(rows)} rows and was asked for {run.asked[address]} times"


def _refused_is_not_stored(run: _Run) -> Iterator[str]:
    for call in run.calls:
        if call.answer is Answer.REFUSED:
            for address in call.addresses:
                if address in run.by_address:
                    yield f"{address} of request {call.name} was refused ({call.status}) and stored"


def _nothing_out_of_nowhere(run: _Run) -> Iterator[str]:
    asked = {address for call in run.calls for address in call.addresses}
    for address in run.by_address.keys() - asked:
        yield f"{address} has a row and nobody asked for it"
    for address in run.sent_to - run.by_address.keys():
        yield f"{address} was sent to and has no row"


def _in_its_own_application(run: _Run) -> Iterator[str]:
    of = defaultdict(set)
    for call in run.calls:
        for address in call.addresses:
            of[address].add(call.application_id)
    for row in run.rows:
        if row.application_id not in of.get(row.address, {row.application_id}):
            yield f"{row.address} is stored in application {row.application_id}"


def _all_or_nothing(run: _Run) -> Iterator[str]:
    for call in run.calls:
        own = [address for address in call.addresses if run.asked[address] == 1]
        stored = sum(address in run.by_address for address in own)
        if stored not in {0, len(own)}:
            yield f"request {call.name} has {stored} of {len(own)} rows"


def _the_same_id_each_time(run: _Run) -> Iterator[str]:
    for row in run.rows:
        for receipt in run.receipts.get(row.id, ()):
            if receipt.message_id not in {None, row.id}:
                yield f"{row.address} was sent as {receipt.message_id}, its row is {row.id}"


def _redis_is_bounded(run: _Run) -> Iterator[str]:
    bound = run.rules.rings_bound
    if bound is not None and run.peak_rings > bound:
        yield f"{run.peak_rings} rings were in Redis, at most {bound} may be"


def _nothing_leaks(run: _Run) -> Iterator[str]:
    yield from run.leaks


def _nobody_holds_for_long(run: _Run) -> Iterator[str]:
    since, most = run.rules.quiet_since, run.rules.oldest_sending
    if since is None or most is None:
        return
    for changes in run.changes.values():
        for before, after in itertools.pairwise(changes):
            held = after.at - max(before.at, since)
            if before.state == "SENDING" and held > most:
                yield f"row {before.row} was SENDING for {held:.1f} s and nothing broke"


def _sent_once_within_the_window(run: _Run) -> Iterator[str]:
    """Of the same messages, which are those to one address here, one holds the window until it
    ends or the message has failed; what is withheld is withheld for its sake."""
    window = run.rules.dedupe_window
    of = _grouped(run.rows, lambda row: (row.application_id, row.channel, row.address))
    for rows in of.values() if window else ():
        held = sorted(
            (row for row in rows if row.status != DUPLICATE), key=lambda row: row.accepted_at
        )
        for first, again in itertools.pairwise(held):
            after = again.accepted_at - first.accepted_at
            if after < window - _ROUNDING and not run.had_failed(first, again.accepted_at):
                yield f"{again.address} was accepted again {after:.1f} s after the same message"
        for row in rows:
            if row.status == DUPLICATE and not any(
                0.0 <= row.accepted_at - first.accepted_at < window + _ROUNDING for first in held
            ):
                yield f"{row.address} was withheld for the sake of none"


_INVARIANTS: Sequence[tuple[str, str, Callable[[_Run], Iterator[str]]]] = (
    ("I1", "lost", _accepted_is_stored),
    ("I2", "stuck", _settled_in_the_end),
    ("I3", "wrongly reported", _done_is_done),
    ("I3", "wrongly reported", _told_what_the_row_says),
    ("I4", "unbounded", _attempts_are_bounded),
    ("I5", "duplicated", _doubles_are_explained),
    ("I5", "duplicated", _at_most_once),
    ("I6", "wrongly reported", _success_was_accepted),
    ("I7", "wrongly reported", _failure_was_not_accepted),
    ("I8", "unfenced", _tokens_only_grow),
    ("I9", "unfenced", _one_holder_at_a_time),
    ("I9", "unfenced", _sent_within_a_lease),
    ("I10", "duplicated", _one_set_of_rows),
    ("I11", "unexpected", _refused_is_not_stored),
    ("I11", "unexpected", _nothing_out_of_nowhere),
    ("I12", "unbounded", _redis_is_bounded),
    ("I13", "unexpected", _in_its_own_application),
    ("I14", "lost", _all_or_nothing),
    ("I14", "unfenced", _the_same_id_each_time),
    ("I15", "leaked", _nothing_leaks),
    ("I16", "stuck", _nobody_holds_for_long),
    ("I17", "duplicated", _sent_once_within_the_window),
)


def _grouped(values: Sequence, key: Callable) -> Mapping[str, list]:
    groups = defaultdict(list)
    for one in values:
        groups[key(one)].append(one)
    return groups


__all__ = ["Attempt", "Call", "Change", "Report", "Violation", "check"]
