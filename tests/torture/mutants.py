"""Sendpoint with one guard taken out at a time: what the fault suite must notice.

    python -m tests.torture.mutants            # each in the simulator, until it is caught
    python -m tests.torture.mutants --list

A mutant is a function with other code in it, so that it is seen wherever it was imported. That the
lines which it changes are there, once, is checked: a guard that is written anew needs a new mutant.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture import simulator
from tests.torture.checker import Violation
from worker import attempt, events, intake, retry, sweeping
from worker.store import deliveries, feeding, recent, requests, settling

SEEDS = 60
"""How many storms a mutant may live through before the suite is held to be blind."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`function` without the guard `old`, which becomes `new`; it breaks one of `invariants`.
    `options` are those of the storms that bring it out."""

    name: str
    invariants: Sequence[str]
    function: Callable[..., Any]
    old: str
    new: str
    options: tuple[tuple[str, int], ...] = ()


MUTANTS = (
    Mutant(
        "a database that is gone is answered with 200",
        ("I1",),
        intake._way,
        "except wire.RequestError as refusal:\n        return _as_before(runtime, key, refusal)",
        "except store.Unavailable:\n        return Accepted(uuid7())",
    ),
    Mutant(
        "nobody takes messages back from a lost worker",
        ("I2",),
        settling.rescue,
        ".limit(limit)",
        ".limit(0)",
    ),
    Mutant(
        "lost rings are not rung again",
        ("I2",),
        feeding._due,
        '.limit(bindparam("each", type_=Integer()))',
        ".limit(0)",
    ),
    Mutant(
        "what is too late to be sent is not closed",
        ("I2",),
        settling.expire,
        ".limit(limit)",
        ".limit(0)",
    ),
    Mutant(
        "a late result overwrites the row",
        ("I3", "I8", "I9"),
        deliveries._finish,
        "row.lease_token == new.lease_token,\n            state == State.SENDING,\n",
        "",
    ),
    Mutant(
        "a result is recorded under somebody else's lease",
        ("I8",),
        deliveries._finish,
        "row.lease_token == new.lease_token,\n",
        "",
        (("stops", 12), ("failing", 12), ("recipients", 4)),
    ),
    Mutant(
        "a claim does not count the attempt",
        ("I4", "I8"),
        deliveries._claim,
        "attempt=row.attempt + 1,",
        "attempt=row.attempt,",
    ),
    Mutant(
        "a message that kills its worker is tried for ever",
        ("I4",),
        settling.rescue,
        "not_(again)), row.attempt >= max_attempts)",
        "not_(again)), row.attempt >= 1000)",
        (("kills", 15), ("recipients", 2)),
    ),
    Mutant(
        "a provider that fails is asked for ever",
        ("I4",),
        retry.decide,
        "if attempt >= policy.max_attempts:",
        "if attempt >= 1000:",
        (("failing", 200), ("recipients", 2), ("steps", 400)),
    ),
    Mutant(
        "what is held can be claimed",
        ("I5", "I8", "I9"),
        deliveries._claim,
        "state == State.QUEUED,\n",
        "",
    ),
    Mutant(
        "a text message that may have been sent is sent again",
        ("I5",),
        retry.decide,
        "if outcome.indeterminate and channel in AT_MOST_ONCE and not again:",
        "if False:",
    ),
    Mutant(
        "a text message whose worker was lost is sent again",
        ("I5",),
        settling.rescue,
        "and_(row.channel_type.in_(at_most_once), not_(again))",
        "row.id.is_(None)",
    ),
    Mutant(
        "an attempt that may have arrived leaves no record",
        ("I5",),
        settling.rescue,
        "connection.execute(keep_attempts(db), [_lost(one) for one in rescued])",
        "pass",
    ),
    Mutant(
        "an attempt without an answer counts as a success",
        ("I6",),
        retry.decide,
        "if outcome.indeterminate and channel in AT_MOST_ONCE and not again:",
        "if outcome.indeterminate:\n"
        "        outcome = replace(outcome, status=DeliveryStatus.SUCCESSFUL)",
    ),
    Mutant(
        "an attempt without an answer counts as a refusal",
        ("I7",),
        retry.decide,
        "if outcome.indeterminate and channel in AT_MOST_ONCE and not again:",
        "if outcome.indeterminate:\n"
        "        outcome = replace(outcome, status=DeliveryStatus.PERMANENT_FAILURE)",
    ),
    Mutant(
        "a claim takes no new token",
        ("I8", "I5"),
        deliveries._claim,
        "lease_token=row.lease_token + 1,",
        "lease_token=row.lease_token,",
    ),
    Mutant(
        "a message is taken from who still holds it",
        ("I9",),
        settling.rescue,
        "row.lease_until <= db.after(0)",
        "row.lease_until <= db.after(8.0)",
    ),
    Mutant(
        "a send may go on after its lease",
        ("I9",),
        attempt._time_left,
        "min(runtime.settings.send_timeout, claimed.held_until - margin - time.monotonic())",
        "runtime.settings.send_timeout + margin",
    ),
    Mutant(
        "an idempotency key is not kept",
        ("I10",),
        intake._draft,
        "key=key,",
        "key=None,",
    ),
    Mutant(
        "a request is stored before it is looked at",
        ("I11",),
        intake._message,
        "body = wire.check(request)",
        "body = b''",
    ),
    Mutant(
        "the queues are fed without looking at them",
        ("I12",),
        sweeping.feed,
        "runtime.settings.window - runtime.rings.waiting(queue)",
        "runtime.settings.window - 0 * runtime.rings.waiting(queue)",
    ),
    Mutant(
        "a row is stored in the first application there is",
        ("I13",),
        requests._values,
        'new["application_id"]',
        "select(func.min(message_request.c.application_id)).scalar_subquery()",
        (("applications", 2),),
    ),
    Mutant(
        "a request is stored in two transactions",
        ("I14",),
        requests.save,
        "            connection.execute(statement, new | given | database.as_rows(recipients))\n",
        "            first = database.as_rows(recipients[:1])\n"
        "            connection.execute(statement, new | given | first)\n"
        "    with db.engine.begin() as connection:\n"
        "        if recipients[1:]:\n"
        "            rest = database.as_rows(recipients[1:])\n"
        "            connection.execute(statement, new | given | rest)\n",
    ),
    Mutant(
        "each attempt has an id of its own",
        ("I14",),
        attempt._send,
        "id=str(claimed.id),",
        'id=f"{claimed.id}/{claimed.attempt}",',
    ),
    Mutant(
        "a log names the recipient",
        ("I15",),
        events.attempted,
        "claimed.id,",
        "claimed.address,",
    ),
    Mutant(
        "a ring names the recipient",
        ("I15",),
        intake._way,
        "store.Ring(one.id, one.queue, application_id)",
        "store.Ring(one.id, one.queue, one.address)",
    ),
    Mutant(
        "a message is taken back long after its lease",
        ("I16",),
        settling.rescue,
        "row.lease_until <= db.after(0)",
        "row.lease_until <= db.after(-25.0)",
    ),
    Mutant(
        "the same message is sent again before its window ends",
        ("I17",),
        recent._take,
        "column.expires_at <= db.after(0)",
        "column.expires_at <= db.after(8.0)",
        (("repeats", 6),),
    ),
    Mutant(
        "a message that failed is sent again although it may have been delivered",
        ("I17",),
        recent._take,
        "standing.IS[Standing.READY],",
        "",
        (("failing", 40), ("recipients", 4), ("repeats", 6), ("steps", 500)),
    ),
    Mutant(
        "a message is withheld after its window has ended",
        ("I17",),
        recent._take,
        "column.expires_at <= db.after(0)",
        "column.expires_at <= db.after(-1000.0)",
        (("repeats", 6),),
    ),
)


@contextlib.contextmanager
def alive(mutant: Mutant) -> Iterator[None]:
    """Let the mutant live. `ValueError` if its guard is not there, or more than once."""
    function = mutant.function
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {source.count(mutant.old)} times in {function.__name__}")
    names: dict[str, Any] = {}
    code = compile("from __future__ import annotations\n" + source.replace(mutant.old, mutant.new),
                   f"<mutant of {function.__module__}>", "exec")  # fmt: skip
    exec(code, dict(function.__globals__), names)
    before, function.__code__ = function.__code__, names[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before


def caught(site: simulator.Site, mutant: Mutant, seeds: Sequence[int]) -> Violation | None:
    """What the simulator says of a mutant, in the first of these seeds that brings it out."""
    site.forget()
    try:
        with alive(mutant):
            for seed in seeds:
                report = simulator.simulate(site, seed, **dict(mutant.options)).report
                for one in report.violations:
                    if one.invariant in mutant.invariants:
                        return one
    finally:
        site.forget()
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.mutants", description=__doc__)
    parser.add_argument("--list", action="store_true", help="only say which there are")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{'/'.join(one.invariants):9} {one.name}" for one in MUTANTS))
        return 0
    alive_still = 0
    with tempfile.TemporaryDirectory() as directory:
        site = simulator.Site(f"sqlite:///{Path(directory) / 'mutants.sqlite'}")
        for mutant in MUTANTS:
            started = time.monotonic()
            found = caught(site, mutant, range(SEEDS))
            alive_still += found is None
            said = "NOT CAUGHT" if found is None else f"{found.invariant}: {found.what}"
            print(f"{mutant.name} ({time.monotonic() - started:.1f} s)\n    {said}", flush=True)
        site.close()
    print(f"{len(MUTANTS) - alive_still} of {len(MUTANTS)} mutants were caught")
    return 1 if alive_still else 0


if __name__ == "__main__":
    sys.exit(main())
