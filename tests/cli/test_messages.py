"""`sendpoint send` and `sendpoint results` where no worker runs: what is pending stays so."""

import contextlib
import json

import pytest
from sqlalchemy import text

from tests.cli.conftest import APP
from worker import plan, runtime, sending, settings, store, wire

REQUEST = {
    "Addresses": {"+15550100200": {"ChannelType": "SMS"}},
    "MessageConfiguration": {"SMSMessage": {"Body": "Hello"}},
}


def send(sendpoint, request=REQUEST, *arguments):
    return sendpoint("send", "-", "--wait", "0", *arguments, stdin=json.dumps(request))


def test_what_nobody_delivers_is_pending(prepared):
    sent = send(prepared)
    assert sent.exit_code == 0
    first, *table, last = sent.output.splitlines()
    request_id = first.removeprefix("Request ")
    assert table == [
        "RECIPIENT     CHANNEL  STATE   STATUS  CODE  ATTEMPTS  MESSAGE",
        "+15550100200  SMS      QUEUED                0",
    ]
    assert last.endswith(f"sendpoint results {request_id}")
    assert prepared("results", request_id).output.splitlines() == table


def test_what_it_accepts_is_due_at_once_for_the_worker_that_cannot_hear_it(prepared, db):
    assert send(prepared).exit_code == 0
    queue = plan.QUEUE_OF[wire.ChannelType.SMS]
    assert len(store.waiting(db, [queue])[queue]) == 1


@pytest.mark.parametrize("wrapper", ["MessageRequest", "request"])
def test_a_request_may_be_wrapped_as_boto3_and_the_examples_do(prepared, wrapper):
    sent = send(prepared, {"about": "a message", wrapper: REQUEST})
    assert "+15550100200  SMS      QUEUED" in sent.output


def test_an_answer_as_json(prepared):
    answer = json.loads(send(prepared, REQUEST, "--json", "--app", APP).output)
    assert answer.pop("RequestId")
    assert answer == {
        "ApplicationId": APP,
        "Result": {
            "+15550100200": {
                "DeliveryStatus": "SUCCESSFUL",
                "StatusCode": 202,
                "StatusMessage": "Accepted; the outcome is pending",
            }
        },
    }


def test_a_recipient_that_failed_for_good(prepared):
    sent = send(prepared, {**REQUEST, "Endpoints": {"nobody": {}}})
    assert sent.exit_code == 1
    line = next(line for line in sent.output.splitlines() if line.startswith("nobody"))
    assert line.split() == [
        *("nobody", "DONE", "PERMANENT_FAILURE", "404", "0", "Resource", "not", "found")
    ]


def test_nobody_failed_who_opted_out(prepared, db):
    store.add_opt_out(db, APP, "SMS", "+15550100200")
    sent = send(prepared)
    assert sent.exit_code == 0
    assert "+15550100200  SMS      DONE   OPT_OUT  400" in sent.output


def test_an_idempotency_key(prepared):
    first = send(prepared, REQUEST, "--idempotency-key", "k").output.splitlines()[0]
    again = send(prepared, REQUEST, "--idempotency-key", "k")
    assert again.output.splitlines()[0] == f"{first} (sent before, not again)"
    other = {**REQUEST, "TraceId": "another"}
    told = send(prepared, other, "--idempotency-key", "k")
    assert told.exit_code == 1
    assert "was used for a different request" in told.output


def test_the_python_function_and_the_command_line_are_one_caller(prepared, monkeypatch):
    first = json.loads(send(prepared, REQUEST, "--json", "--idempotency-key", "k").output)
    with contextlib.closing(runtime.open_client(settings.load())) as held:
        monkeypatch.setattr(sending, "_runtime", lambda: held)
        again = sending.send_messages(APP, REQUEST, idempotency_key="k")
        assert again.RequestId == first["RequestId"]
        with pytest.raises(wire.Conflict):
            sending.send_messages(APP, {**REQUEST, "TraceId": "another"}, idempotency_key="k")


def test_the_python_function_raises_nothing_once_the_request_is_stored(prepared, monkeypatch, db):
    """The database goes away while it waits: an error would have its caller send it again."""

    def go_away(_):
        with db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE message_result RENAME TO gone"))

    with contextlib.closing(runtime.open_client(settings.load())) as held:
        monkeypatch.setattr(sending, "_runtime", lambda: held)
        monkeypatch.setattr(held.rings, "ring", go_away)
        answer = sending.send_messages(APP, REQUEST, wait=20)
    assert answer.Result["+15550100200"].StatusCode == 202


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "The request body is not valid JSON"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "MessageConfiguration"),
        ('{"MessageConfiguration": {}}', "at least one recipient is required"),
    ],
)
def test_a_request_that_is_refused(prepared, body, words):
    told = prepared("send", "-", stdin=body)
    assert told.exit_code == 1
    assert words in told.output
    assert told.output.count("\n") == 1


def test_one_of_several_applications_must_be_named(prepared):
    prepared("app", "create", "blog")
    told = send(prepared)
    assert told.exit_code == 2
    assert f"{APP} (shop)" in told.output
    assert send(prepared, REQUEST, "--app", APP).exit_code == 0


def test_results_as_json(prepared):
    request_id = json.loads(send(prepared, REQUEST, "--json").output)["RequestId"]
    outcomes = json.loads(prepared("results", request_id, "--json").output)
    assert outcomes["Settled"] is False
    assert outcomes["Result"]["+15550100200"]["State"] == "QUEUED"


@pytest.mark.parametrize(
    ("request_id", "code"), [("00000000-0000-7000-8000-000000000000", 1), ("nonsense", 2)]
)
def test_results_of_no_request(prepared, request_id, code):
    assert prepared("results", request_id).exit_code == code
