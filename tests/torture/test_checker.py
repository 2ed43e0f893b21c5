"""The judge must be able to condemn: for each invariant a ledger that breaks it and no other."""

import dataclasses

import pytest

from tests.torture.checker import check
from tests.torture.ledgers import Answer, Attempt, Call, Change, Ledgers, Receipt, Row, Rules

RULES = Rules(
    max_attempts=3,
    lease=10.0,
    rings_bound=100,
    quiet_since=50.0,
    oldest_sending=20.0,
    dedupe_window=60.0,
)
ROW = Row(
    id="row",
    request_id="request",
    application_id="app",
    address="ann",
    channel="EMAIL",
    state="DONE",
    status="SUCCESSFUL",
    code=200,
    message_id="id at provider",
    attempt=1,
    token=1,
    accepted_at=99.0,
    expires_at=1000.0,
)
CALL = Call(
    name="call",
    application_id="app",
    addresses=("ann",),
    answer=Answer.ACKNOWLEDGED,
    status=200,
    request_ids=("request",),
    told={"ann": ("SUCCESSFUL", 202, None)},
)
CLAIM = Change(
    number=1,
    row="row",
    at=100.0,
    old_state="QUEUED",
    state="SENDING",
    old_token=0,
    token=1,
    old_attempt=0,
    attempt=1,
    old_lease_until=None,
    lease_until=110.0,
)
RECORD = dataclasses.replace(
    CLAIM,
    number=2,
    at=101.0,
    old_state="SENDING",
    state="DONE",
    old_token=1,
    old_attempt=1,
    old_lease_until=110.0,
    lease_until=None,
)
RESCUE = dataclasses.replace(RECORD, at=110.5, state="QUEUED", lost=True)
RECEIPT = Receipt(
    channel="EMAIL",
    address="ann",
    at=100.5,
    accepted=True,
    message_id="row",
    provider_id="id at provider",
)
LOST_HOLDER = Attempt(row="row", token=1, status="UNKNOWN_FAILURE", late=False)
SOUND = Ledgers(
    rules=RULES, calls=(CALL,), rows=(ROW,), changes=(CLAIM, RECORD), receipts=(RECEIPT,)
)


def row(**changes):
    return (dataclasses.replace(ROW, **changes),)


def call(**changes):
    return (dataclasses.replace(CALL, **changes),)


def receipt(**changes):
    return dataclasses.replace(RECEIPT, **changes)


SECOND_CLAIM = dataclasses.replace(
    CLAIM, number=3, at=111.0, old_token=1, token=2, old_attempt=1, attempt=2, lease_until=121.0
)
SECOND_RECORD = dataclasses.replace(
    RECORD, number=4, at=112.0, old_token=2, token=2, old_attempt=2, attempt=2
)
TWICE = {
    "rows": row(attempt=2, token=2),
    "changes": (CLAIM, RESCUE, SECOND_CLAIM, SECOND_RECORD),
    "receipts": (RECEIPT, receipt(at=111.5)),
}
AGAIN = dataclasses.replace(ROW, id="row 2", request_id="request 2", accepted_at=120.0)
AGAIN_CHANGES = tuple(
    dataclasses.replace(one, row="row 2", number=one.number + 10, at=one.at + 21.0,
                        lease_until=one.lease_until and one.lease_until + 21.0)
    for one in (CLAIM, RECORD)
)  # fmt: skip
ASKED_AGAIN = {
    "calls": (
        CALL,
        dataclasses.replace(CALL, name="call 2", request_ids=("request 2",)),
    ),
    "rows": (ROW, AGAIN),
    "changes": (CLAIM, RECORD, *AGAIN_CHANGES),
    "receipts": (RECEIPT, receipt(at=121.5, message_id="row 2")),
}
WITHHELD = dataclasses.replace(
    AGAIN, status="DUPLICATE", code=409, message_id=None, attempt=0, token=0
)
"""The same message is asked for again within the window."""

BROKEN = [
    ("I1", "lost", {"rows": (), "changes": (), "receipts": ()}),
    ("I1", "lost", {"calls": call(request_ids=("another",))}),
    ("I2", "stuck", {"rows": row(state="QUEUED", status=None)}),
    ("I2", "stuck", {"rows": row(state="SENDING", status=None)}),
    ("I3", "wrongly reported", {"changes": (CLAIM, RECORD, dataclasses.replace(
        RECORD, number=3, old_state="DONE", old_token=1))}),
    ("I3", "wrongly reported", {"calls": call(told={"ann": ("PERMANENT_FAILURE", 400, None)})}),
    ("I3", "wrongly reported", {"calls": call(told={"ann": ("SUCCESSFUL", 200, "other id")})}),
    ("I4", "unbounded", {"rows": row(attempt=4)}),
    ("I4", "unbounded", {"receipts": (RECEIPT, RECEIPT), "attempts": (
        dataclasses.replace(LOST_HOLDER, token=0),)}),
    ("I5", "duplicated", TWICE),
    ("I5", "duplicated", TWICE | {"rows": row(attempt=2, token=2, channel="SMS"),
                                  "attempts": (LOST_HOLDER,)}),
    ("I6", "wrongly reported", {"receipts": ()}),
    ("I6", "wrongly reported", {"receipts": (receipt(accepted=False),)}),
    ("I6", "wrongly reported", {"receipts": (receipt(provider_id="another id"),)}),
    ("I7", "wrongly reported", {"rows": row(status="PERMANENT_FAILURE")}),
    ("I7", "wrongly reported", {"rows": row(status="TIMEOUT")}),
    ("I7", "wrongly reported", {"rows": row(status="OPT_OUT")}),
    ("I8", "unfenced", {"changes": (dataclasses.replace(CLAIM, token=0, old_token=0), RECORD)}),
    ("I8", "unfenced", {"changes": (CLAIM, dataclasses.replace(RECORD, token=0))}),
    ("I8", "unfenced", {"changes": (dataclasses.replace(CLAIM, attempt=0), RECORD)}),
    ("I8", "unfenced", {"rows": row(token=0)}),
    ("I9", "unfenced", {"changes": (CLAIM, dataclasses.replace(
        CLAIM, number=2, old_state="SENDING", old_token=1, token=1, old_attempt=1),
        dataclasses.replace(CLAIM, number=3, old_state="SENDING", old_token=1, token=2),
        dataclasses.replace(RECORD, number=4, old_token=2, token=2)), "rows": row(token=2)}),
    ("I9", "unfenced", {"changes": (CLAIM, dataclasses.replace(RESCUE, at=105.0))}),
    ("I9", "unfenced", {"receipts": (receipt(at=50.0),)}),
    ("I9", "unfenced", {"receipts": (receipt(at=112.0),)}),
    ("I9", "unfenced", {"receipts": (receipt(at=105.0),), "rows": row(expires_at=103.0)}),
    ("I10", "duplicated", {"calls": call(request_ids=("request", "another"))}),
    ("I10", "duplicated", {"rows": (ROW, dataclasses.replace(ROW, id="row 2"))}),
    ("I11", "unexpected", {"calls": call(answer=Answer.REFUSED, status=400, request_ids=())}),
    ("I11", "unexpected", {"calls": ()}),
    ("I11", "unexpected", {"receipts": (RECEIPT, receipt(address="eve", message_id=None))}),
    ("I12", "unbounded", {"peak_rings": 101}),
    ("I13", "unexpected", {"rows": row(application_id="another")}),
    ("I14", "lost", {"calls": call(addresses=("ann", "bob"), answer=Answer.UNKNOWN)}),
    ("I14", "unfenced", {"receipts": (receipt(message_id="another"),)}),
    ("I15", "leaked", {"leaks": ("worker.log: ann@example.com",)}),
    ("I16", "stuck", {"changes": (CLAIM, dataclasses.replace(RECORD, at=121.0))}),
    ("I16", "stuck", {"receipts": (receipt(at=41.0),), "changes": (
        dataclasses.replace(CLAIM, at=40.0), dataclasses.replace(RECORD, at=71.0))}),
    ("I17", "duplicated", ASKED_AGAIN),
    ("I17", "duplicated", ASKED_AGAIN | {"receipts": ASKED_AGAIN["receipts"][1:], "rows": (
        dataclasses.replace(ROW, status="PERMANENT_FAILURE"), AGAIN),
        "attempts": (LOST_HOLDER,)}),
    ("I17", "duplicated", ASKED_AGAIN | {"receipts": ASKED_AGAIN["receipts"][1:], "rows": (
        dataclasses.replace(ROW, status="PERMANENT_FAILURE"),
        dataclasses.replace(AGAIN, accepted_at=100.9))}),
    ("I17", "duplicated", {"rows": (WITHHELD,), "changes": (), "receipts": (),
                           "calls": call(request_ids=("request 2",), told={})}),
    ("I17", "duplicated", {"rows": (ROW, dataclasses.replace(WITHHELD, accepted_at=160.0)),
                           "calls": ASKED_AGAIN["calls"]}),
]  # fmt: skip


def test_a_sound_run_is_valid():
    report = check(SOUND)
    assert report.violations == ()
    assert report.valid
    assert (report.attempted, report.acknowledged, report.ok) == (1, 1, 1)


@pytest.mark.parametrize(("invariant", "word", "changes"), BROKEN)
def test_each_invariant_can_be_broken(invariant, word, changes):
    report = check(dataclasses.replace(SOUND, **changes))
    assert not report.valid
    assert (invariant, word) in {(one.invariant, one.word) for one in report.violations}


def test_every_invariant_is_broken_by_some_ledger():
    assert {invariant for invariant, _, _ in BROKEN} == {f"I{n}" for n in range(1, 18)}


def test_a_double_that_a_lost_holder_explains_is_counted_and_allowed():
    report = check(dataclasses.replace(SOUND, **TWICE, attempts=(LOST_HOLDER,)))
    assert report.violations == ()
    assert (report.duplicated, report.doubled_outside, report.rescued) == (1, 0, 1)


def test_a_late_result_explains_a_double_once():
    late = (LOST_HOLDER, Attempt(row="row", token=1, status="SUCCESSFUL", late=True))
    assert check(dataclasses.replace(SOUND, **TWICE, attempts=late)).valid
    thrice = TWICE | {"receipts": (*TWICE["receipts"], receipt(at=111.7))}
    report = check(dataclasses.replace(SOUND, **thrice, attempts=late))
    assert report.doubled_outside == 1, "two attempts do not explain three messages"


def test_a_failure_after_an_ambiguous_attempt_may_have_been_accepted():
    failed = TWICE | {"rows": row(attempt=2, token=2, status="PERMANENT_FAILURE", code=400)}
    ledgers = dataclasses.replace(SOUND, **failed, attempts=(LOST_HOLDER,))
    assert {one.invariant for one in check(ledgers).violations} == {"I5"}
    once = dataclasses.replace(ledgers, receipts=(RECEIPT,))
    assert check(once).valid


def test_a_holder_that_was_stopped_may_send_late_and_is_on_record():
    late = dataclasses.replace(
        SOUND,
        rows=row(status="UNKNOWN_FAILURE", channel="SMS", message_id=None),
        changes=(CLAIM, dataclasses.replace(RESCUE, state="DONE")),
        receipts=(receipt(at=115.0),),
        attempts=(LOST_HOLDER,),
    )
    assert check(late).valid


def test_a_request_nobody_was_answered_for_is_recovered_or_was_never_there():
    unknown = call(answer=Answer.UNKNOWN, request_ids=(), told={})
    assert check(dataclasses.replace(SOUND, calls=unknown)).recovered == 1
    nothing = dataclasses.replace(SOUND, calls=unknown, rows=(), changes=(), receipts=())
    report = check(nothing)
    assert report.valid
    assert (report.unknown, report.recovered, report.lost) == (1, 0, 0)


def test_a_message_that_was_given_back_takes_its_attempt_back():
    given_back = dataclasses.replace(RECORD, state="QUEUED", attempt=0)
    again = dataclasses.replace(CLAIM, number=3, at=102.0, old_token=1, token=2)
    done = dataclasses.replace(RECORD, number=4, at=103.0, old_token=2, token=2)
    ledgers = dataclasses.replace(
        SOUND,
        rows=row(token=2),
        changes=(CLAIM, given_back, again, done),
        receipts=(receipt(at=102.5),),
    )
    assert check(ledgers).violations == ()


def test_what_is_withheld_within_the_window_is_counted_and_may_be_sent_after_it():
    withheld = dataclasses.replace(SOUND, calls=ASKED_AGAIN["calls"], rows=(ROW, WITHHELD))
    report = check(withheld)
    assert report.violations == ()
    assert (report.withheld, report.duplicated) == (1, 0)
    later = {"rows": (ROW, dataclasses.replace(AGAIN, accepted_at=159.0))}
    assert check(dataclasses.replace(SOUND, **ASKED_AGAIN | later)).violations == ()
    nothing_promised = dataclasses.replace(RULES, dedupe_window=0.0)
    assert check(dataclasses.replace(SOUND, **ASKED_AGAIN, rules=nothing_promised)).valid


def test_what_had_failed_and_surely_was_not_delivered_may_be_sent_again_within_the_window():
    failed = ASKED_AGAIN | {
        "rows": (dataclasses.replace(ROW, status="PERMANENT_FAILURE"), AGAIN),
        "receipts": ASKED_AGAIN["receipts"][1:],
        "calls": tuple(dataclasses.replace(one, told={}) for one in ASKED_AGAIN["calls"]),
    }
    assert check(dataclasses.replace(SOUND, **failed)).violations == ()


def test_the_same_message_in_another_application_is_another():
    elsewhere = ASKED_AGAIN | {
        "rows": (ROW, dataclasses.replace(AGAIN, application_id="other")),
        "calls": (
            CALL,
            dataclasses.replace(ASKED_AGAIN["calls"][1], application_id="other"),
        ),
    }
    assert check(dataclasses.replace(SOUND, **elsewhere)).violations == ()


def test_a_receipt_is_its_own_rows_and_no_namesakes():
    twice = ASKED_AGAIN | {"receipts": (RECEIPT, receipt(at=100.7))}
    found = {one.invariant for one in check(dataclasses.replace(SOUND, **twice)).violations}
    assert {"I4", "I6"} <= found, "one row was sent twice, and the other never"
