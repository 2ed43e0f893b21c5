"""The sandbox plays every outcome on every channel and writes the dev inbox."""

import asyncio
import json
import multiprocessing
import stat

import pytest

from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.magic import AWS_SIMULATOR
from adapters.messages import (
    AdmPush,
    ApnsPush,
    BaiduPush,
    Custom,
    Email,
    FcmPush,
    Part,
    Sms,
    Voice,
)
from adapters.sandbox import Sandbox

ID = "3f0f3c9e-7f0e-4c0c-8b3e-2a6f1f1f1f1f"
APNS = ApnsPush(payload={"aps": {}})
MESSAGES = {
    ChannelType.APNS: APNS,
    ChannelType.APNS_SANDBOX: APNS,
    ChannelType.APNS_VOIP: APNS,
    ChannelType.APNS_VOIP_SANDBOX: APNS,
    ChannelType.GCM: FcmPush(message={}),
    ChannelType.ADM: AdmPush(data={}),
    ChannelType.BAIDU: BaiduPush(message={}),
    ChannelType.SMS: Sms(body="Hi"),
    ChannelType.VOICE: Voice(body="Hi"),
    ChannelType.EMAIL: Email(from_address=None, subject=Part(data="Hi")),
    ChannelType.CUSTOM: Custom(),
}
every_channel = pytest.mark.parametrize("channel", MESSAGES)


def delivery(address, channel=ChannelType.EMAIL, *, attempt=1, message=None, of=ID):
    return Delivery(
        id=of,
        application_id="app",
        request_id="request",
        channel=channel,
        address=address,
        message=message or MESSAGES[channel],
        attempt=attempt,
    )


def send(sandbox, *deliveries):
    async def all_of_them():
        outcomes = [await sandbox.send(one) for one in deliveries]
        await sandbox.aclose()
        await sandbox.aclose()
        return outcomes

    return asyncio.run(all_of_them())


def statuses(address, channel, tries):
    """What each of the tries comes to; a throttled one is not an attempt."""
    sandbox, attempt, seen = Sandbox(), 1, []
    for _ in range(tries):
        [outcome] = send(sandbox, delivery(address, channel, attempt=attempt))
        attempt += outcome.status is not DeliveryStatus.THROTTLED
        seen.append((str(outcome.status), outcome.status_code))
    return seen


OK = ("SUCCESSFUL", 200)
ONE = ("THROTTLED", 429)
LATER = ("TEMPORARY_FAILURE", 503)
WORDS = [
    ("permanent-failure", "+15550100400", [("PERMANENT_FAILURE", 400)]),
    ("duplicate", "+15550100409", [("DUPLICATE", 400)]),
    ("dead-token", "+15550100410", [("PERMANENT_FAILURE", 410)]),
    ("throttled", "+15550100429", [ONE, OK, OK]),
    ("throttled-always", "+15550100430", [ONE, ONE, ONE]),
    ("opt-out", "+15550100451", [("OPT_OUT", 400)]),
    ("unknown-failure", "+15550100500", [("UNKNOWN_FAILURE", 504)]),
    ("temporary-failure-once", "+15550100501", [LATER, OK, OK]),
    ("temporary-failure-twice", "+15550100502", [LATER, LATER, OK]),
    ("temporary-failure", "+15550100503", [LATER, LATER, LATER]),
    ("timeout", "+15550100504", [("TIMEOUT", 504)]),
    ("updated-token", "+15550100301", [OK]),
    ("ada", "+15550100200", [OK]),
]


@every_channel
@pytest.mark.parametrize(("word", "number", "expected"), WORDS, ids=[word for word, _, _ in WORDS])
def test_a_word_in_the_address_decides_on_every_channel(channel, word, number, expected):
    assert statuses(f"test+{word}@example.com", channel, len(expected)) == expected


@pytest.mark.parametrize("channel", [ChannelType.SMS, ChannelType.VOICE])
@pytest.mark.parametrize(("word", "number", "expected"), WORDS, ids=[word for word, _, _ in WORDS])
def test_a_fictional_number_decides(channel, word, number, expected):
    assert statuses(number, channel, len(expected)) == expected


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("PERMANENT_FAILURE@example.com", "PERMANENT_FAILURE"),
        ("https://example.com/hook/Opt-Out?x=1", "OPT_OUT"),
        ("unthrottled@example.com", "SUCCESSFUL"),
        ("timeouts@example.com", "SUCCESSFUL"),
        ("throttled-always-1", "THROTTLED"),
    ],
)
def test_a_word_counts_whole_in_any_spelling(address, status):
    [outcome] = send(Sandbox(), delivery(address, ChannelType.CUSTOM))
    assert outcome.status == status


@pytest.mark.parametrize("country", AWS_SIMULATOR)
def test_the_numbers_of_awss_simulator_work(country):
    succeeds, fails = AWS_SIMULATOR[country]
    assert statuses(succeeds, ChannelType.SMS, 1) == [OK]
    assert statuses(fails, ChannelType.SMS, 1) == [("PERMANENT_FAILURE", 400)]


def test_a_number_may_be_written_with_spaces():
    assert statuses("+1 (425) 414-7167", ChannelType.SMS, 1) == [("PERMANENT_FAILURE", 400)]


def test_throttled_is_remembered_for_each_message():
    sandbox = Sandbox()
    outcomes = send(
        sandbox,
        delivery("throttled@example.com", of="a"),
        delivery("throttled@example.com", of="b"),
        delivery("throttled@example.com", of="a"),
    )
    assert [outcome.status for outcome in outcomes] == ["THROTTLED", "THROTTLED", "SUCCESSFUL"]
    assert outcomes[0].retry_after == 1.0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("unknown-failure", {"indeterminate": True, "dead_address": False}),
        ("timeout", {"indeterminate": True, "dead_address": False}),
        ("dead-token", {"indeterminate": False, "dead_address": True}),
        ("permanent-failure", {"indeterminate": False, "dead_address": False}),
    ],
)
def test_a_failure_is_the_recipients_fault(address, expected):
    [outcome] = send(Sandbox(), delivery(address))
    assert outcome.fault is Fault.RECIPIENT
    said = {"indeterminate": outcome.indeterminate, "dead_address": outcome.dead_address}
    assert said == expected


ACCEPTED = "lqpi0kq0r1guvfl9fvnfoaq23j75b9jbhthrg7rh"


@pytest.mark.parametrize(
    ("channel", "message_id", "text"),
    [
        (ChannelType.SMS, ACCEPTED, f"MessageId: {ACCEPTED}"),
        (ChannelType.VOICE, ACCEPTED, f"MessageId: {ACCEPTED}"),
        (
            ChannelType.EMAIL,
            f"02000000lqpi0kq0-{ID}-000000",
            f"02000000lqpi0kq0-{ID}-000000",
        ),
        (ChannelType.APNS, None, ""),
        (ChannelType.GCM, None, ""),
        (ChannelType.CUSTOM, None, ""),
    ],
)
def test_accepted_looks_as_pinpoints_does(channel, message_id, text):
    [outcome] = send(Sandbox(), delivery("ada", channel))
    assert outcome == Outcome(
        status=DeliveryStatus.SUCCESSFUL,
        status_code=200,
        status_message=text,
        message_id=message_id,
    )


@pytest.mark.parametrize(
    ("channel", "code", "error", "response"),
    [
        (ChannelType.APNS_SANDBOX, "400", "BadDeviceToken", '{"reason":"BadDeviceToken"}'),
        (ChannelType.GCM, "404", "UNREGISTERED", '{"status":"NOT_FOUND"}'),
        (ChannelType.ADM, "400", "Unregistered", '{"reason":"Unregistered"}'),
        (ChannelType.BAIDU, "400", "Bind Relation Not Found", '{"error_code":30608}'),
    ],
)
def test_a_dead_token_has_the_providers_words(channel, code, error, response):
    [outcome] = send(Sandbox(), delivery("dead-token", channel))
    assert json.loads(outcome.status_message) == {
        "errorMessage": "Unregistered or expired token",
        "channelType": str(channel),
        "pushProviderStatusCode": code,
        "pushProviderError": error,
        "pushProviderResponse": response,
    }


@pytest.mark.parametrize(
    ("address", "channel", "renewed"),
    [
        ("A-Updated_Token-7", ChannelType.GCM, "A-current-token-7"),
        ("+15550100301", ChannelType.SMS, "+15550100200"),
    ],
)
def test_an_updated_token_is_not_magic_any_more(address, channel, renewed):
    [outcome] = send(Sandbox(), delivery(address, channel))
    assert outcome.updated_token == renewed
    [again] = send(Sandbox(), delivery(renewed, channel))
    assert again.updated_token is None


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_inbox_has_one_line_for_each_attempt(tmp_path):
    inbox = tmp_path / "new" / "inbox.jsonl"
    sandbox = Sandbox(inbox=str(inbox), clock=lambda: 1_795_000_000.25)
    send(
        sandbox,
        delivery("+15550100501", ChannelType.SMS),
        delivery("+15550100501", ChannelType.SMS, attempt=2),
    )
    first = {
        "Time": "2026-11-18T11:06:40.250Z",
        "MessageId": ID,
        "RequestId": "request",
        "ApplicationId": "app",
        "ChannelType": "SMS",
        "Address": "+15550100501",
        "Attempt": 1,
        "Outcome": "TEMPORARY_FAILURE",
        "Provider": "sms",
        "Headers": {},
        "Payload": {"To": "+15550100501", "Body": "Hi"},
    }
    assert read(inbox) == [first, {**first, "Attempt": 2, "Outcome": "SUCCESSFUL"}]
    assert stat.S_IMODE(inbox.stat().st_mode) == 0o600
    assert not sandbox.messages


def test_without_a_file_the_messages_are_kept_in_memory():
    sandbox = Sandbox()
    send(sandbox, delivery("ada@example.com"), delivery("bob@example.com"))
    assert [entry["Address"] for entry in sandbox.messages] == [
        "ada@example.com",
        "bob@example.com",
    ]


def test_memory_is_bounded_by_count_and_by_bytes():
    sandbox = Sandbox()
    send(sandbox, *(delivery(f"{number}@example.com") for number in range(1_001)))
    assert len(sandbox.messages) == 1_000
    assert sandbox.messages[0]["Address"] == "1@example.com"

    sandbox = Sandbox(limit_bytes=1_500)
    big = Custom(data={"text": "x" * 1_000})
    send(
        sandbox,
        delivery("first", ChannelType.CUSTOM, message=big),
        delivery("second", ChannelType.CUSTOM, message=big),
    )
    assert [entry["Address"] for entry in sandbox.messages] == ["second"]


def test_a_full_inbox_is_moved_aside(tmp_path):
    inbox, full = tmp_path / "inbox.jsonl", tmp_path / "inbox.jsonl.1"
    sandbox = Sandbox(inbox=str(inbox), limit_bytes=600)
    send(sandbox, *(delivery(address, ChannelType.CUSTOM) for address in "abc"))
    assert [entry["Address"] for entry in read(full)] == ["a", "b"]
    assert [entry["Address"] for entry in read(inbox)] == ["c"]


def write_a_hundred(inbox, name):
    sandbox = Sandbox(inbox=inbox, limit_bytes=60_000)
    send(sandbox, *(delivery(f"{name}{number}") for number in range(100)))


def test_processes_that_share_an_inbox_lose_no_line(tmp_path):
    """200 lines of about 400 bytes are rotated once while two processes write."""
    spawn = multiprocessing.get_context("spawn")
    inbox = tmp_path / "inbox.jsonl"
    writers = [
        spawn.Process(target=write_a_hundred, args=(str(inbox), name)) for name in ("a", "b")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    entries = read(tmp_path / "inbox.jsonl.1") + read(inbox)
    assert sorted(entry["Address"] for entry in entries) == sorted(
        f"{name}{number}" for name in ("a", "b") for number in range(100)
    )


def test_what_utf8_cannot_hold_is_still_written(tmp_path):
    inbox = tmp_path / "inbox.jsonl"
    message = Custom(data={"text": "half \ud83d"})
    send(Sandbox(inbox=str(inbox)), delivery("a", ChannelType.CUSTOM, message=message))
    [entry] = read(inbox)
    assert entry["Payload"]["text"] == "half \ud83d"


def test_an_inbox_that_cannot_be_written_sends_nothing(tmp_path):
    [outcome] = send(Sandbox(inbox=str(tmp_path)), delivery("secret@example.com"))
    assert outcome == Outcome(
        status=DeliveryStatus.TEMPORARY_FAILURE,
        status_code=503,
        status_message="The dev inbox cannot be written: Is a directory",
        fault=Fault.PROVIDER,
    )
