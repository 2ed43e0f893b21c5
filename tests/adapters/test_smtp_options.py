"""What Smtp adds on request: unsubscribe headers, bounce addresses, delivery reports, and the
extensions that a message needs."""

from __future__ import annotations

import base64
import hashlib
import inspect
import random
import re
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from adapters.contract import Outcome
from adapters.messages import Part, RawEmail
from adapters.smtp import Smtp
from tests.adapters import test_smtp
from tests.adapters.test_smtp import MESSAGE, PERMANENT, RECIPIENT, SUCCESSFUL, delivery, email

ID = "01890000-0000-7000-8000-0000000000ab"
RAW = b"From: a@acme.example\r\nSubject: Hi\r\n"


def sent(message=None, *, ehlo=(), address="jo@example.org", **settings):
    """The outcome, the commands and the header of what arrived, if anything did."""

    async def scene(adapter, relay):
        relay.replies["EHLO"] = "\r\n".join([*(f"250-{one}" for one in ("r", *ehlo)), "250 HELP"])
        outcome = await adapter.send(delivery(message, address=address, delivery_id=ID))
        head = relay.messages[0].partition(b"\r\n\r\n")[0] if relay.messages else b""
        return outcome, relay.commands[1:], head.decode()

    return test_smtp.run(scene, **settings)


def unsubscribing(head):
    parsed = message_from_bytes(head.encode(), policy=policy.default)
    return parsed.get_all("List-Unsubscribe"), parsed.get_all("List-Unsubscribe-Post")


ONE_CLICK = ["List-Unsubscribe=One-Click"]
URL = "https://acme.example/u?m={message}&a={address}&p={application}"
FILLED = f"<https://acme.example/u?m={ID}&a=jo%2Btag%40example.org&p=app>"


@pytest.mark.parametrize("message", [email(), RawEmail(data=RAW + b"\r\nHi\r\n")])
@pytest.mark.parametrize(
    ("settings", "listed", "post"),
    [
        ({}, None, None),
        ({"unsubscribe_url": URL}, [FILLED], ONE_CLICK),
        ({"unsubscribe_url": "https://acme.example"}, ["<https://acme.example>"], ONE_CLICK),
        ({"unsubscribe_mailto": "off@acme.example"}, ["<mailto:off@acme.example>"], None),
        (
            {"unsubscribe_url": URL, "unsubscribe_mailto": "off+{message}@acme.example?subject=x"},
            [f"{FILLED}, <mailto:off+{ID}@acme.example?subject=x>"],
            ONE_CLICK,
        ),
    ],
)
def test_the_unsubscribe_button(message, settings, listed, post):
    outcome, _, head = sent(message, address="jo+tag@example.org", **settings)
    assert outcome.status is SUCCESSFUL
    assert unsubscribing(head) == (listed, post)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("list-unsubscribe", "<mailto:own@acme.example>", (["<mailto:own@acme.example>"], None)),
        ("List-Unsubscribe-Post", "Own", (None, ["Own"])),
    ],
)
def test_headers_the_caller_gave_are_left_alone(name, value, found):
    for message in (
        email(headers=((name, value),)),
        RawEmail(data=RAW + f"{name}: {value}\r\n\r\nHi\r\n".encode()),
    ):
        _, _, head = sent(message, unsubscribe_url=URL)
        assert unsubscribing(head) == found


def test_the_longest_addresses_fit_in_a_line():
    address = "é" * 32 + "@" + ".".join(["d" * 61] * 3) + ".ex"
    outcome, _, head = sent(
        address=address, ehlo=["SMTPUTF8"], unsubscribe_url="https://a.example/{address}"
    )
    assert outcome.status is SUCCESSFUL
    assert unsubscribing(head)[0][0].startswith("<https://a.example/%C3%A9%C3%A9")
    assert max(map(len, head.encode().split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("message", "settings", "sender"),
    [
        (None, {"return_path": "b@acme.example"}, "b@acme.example"),
        (
            None,
            {"return_path": "Bounces <b@acme.example>", "verp": True},
            "b+018900000000700080000000000000ab@acme.example",
        ),
        (
            RawEmail(data=RAW + b"\r\nHi\r\n"),
            {"return_path": "b+x@acme.example", "verp": True},
            "b+x+018900000000700080000000000000ab@acme.example",
        ),
        (
            email(feedback_address="f@acme.example"),
            {"return_path": "b@acme.example", "verp": True},
            "f@acme.example",
        ),
    ],
)
def test_bounces_come_back_to_an_address_for_the_message(message, settings, sender):
    _, commands, _ = sent(message, **settings)
    assert commands[0] == f"MAIL FROM:<{sender}>"


@pytest.mark.parametrize(
    ("dsn", "ehlo", "mail", "rcpt"),
    [
        (None, ["DSN"], "", ""),
        ("failure", [], "", ""),
        ("failure", ["DSN"], f" RET=HDRS ENVID={ID}", " NOTIFY=FAILURE"),
        ("success,failure", ["dsn"], f" RET=HDRS ENVID={ID}", " NOTIFY=SUCCESS,FAILURE"),
        ("never", ["DSN"], f" RET=HDRS ENVID={ID}", " NOTIFY=NEVER"),
    ],
)
def test_delivery_reports_are_asked_of_a_relay_that_writes_them(dsn, ehlo, mail, rcpt):
    outcome, commands, _ = sent(dsn=dsn, ehlo=ehlo)
    assert outcome.status is SUCCESSFUL
    assert commands[:2] == [
        f"MAIL FROM:<news@acme.example>{mail}",
        f"RCPT TO:<jo@example.org>{rcpt}",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"verp": True}, "verp needs a return_path"),
        ({"verp": True, "return_path": "b" * 32 + "@acme.example"}, "return_path must have no"),
        ({"verp": True, "return_path": '"b c"@acme.example'}, "return_path must have no"),
        ({"dsn": "always"}, "dsn must be never or failure or success,failure"),
        ({"unsubscribe_url": "http://acme.example/u"}, "unsubscribe_url must be an https"),
        ({"unsubscribe_url": "https://{address}/u"}, "unsubscribe_url must be an https"),
        ({"unsubscribe_url": "https:///u"}, "unsubscribe_url must be an https"),
        ({"unsubscribe_url": "https://acme.example/{adress}"}, "unsubscribe_url may have {message"),
        ({"unsubscribe_url": "https://acme.example/a b"}, "unsubscribe_url has characters"),
        ({"unsubscribe_url": "https://acme.example/>\r\nX: y"}, "unsubscribe_url has characters"),
        ({"unsubscribe_url": "https://acme.example/{"}, "unsubscribe_url has characters"),
        ({"unsubscribe_url": "https://acme.example/" + "u" * 770}, "unsubscribe_url is too long"),
        ({"unsubscribe_mailto": "nobody"}, "unsubscribe_mailto is not an email address"),
        ({"unsubscribe_mailto": "mailto:off@acme.example"}, "unsubscribe_mailto is not an email"),
        ({"unsubscribe_mailto": "a@acme.example,b@acme.example"}, "unsubscribe_mailto is not an"),
        ({"unsubscribe_mailto": "{}@acme.example"}, "unsubscribe_mailto may have {message}"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, words):
    with pytest.raises(ValueError, match="^" + words):
        Smtp(host="relay.example", **settings)


# What a relay can not take is not handed to it.


def test_a_message_over_the_relays_size_never_leaves():
    outcome, commands, head = sent(email(text=Part(data="x" * 3000)), ehlo=["SIZE 2000"])
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 552, MESSAGE)
    assert outcome.status_message.endswith(" octets; the relay takes 2000")
    assert (commands, head) == ([], "")


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE 99999", "SIZE lots"])
def test_a_relay_that_names_no_size_or_a_large_one_is_asked(size):
    outcome, commands, _ = sent(email(text=Part(data="x" * 3000)), ehlo=[size])
    assert outcome.status is SUCCESSFUL
    assert commands[0].startswith("MAIL FROM:<news@acme.example> SIZE=3")


def test_the_size_told_is_that_of_the_message_without_its_stuffing():
    raw = RAW + b"Date: x\r\nMessage-ID: <a@b.example>\r\n\r\n.\r\n.\r\n"
    _, commands, _ = sent(RawEmail(data=raw), ehlo=["SIZE 2000"])
    assert commands[0].endswith(f" SIZE={len(raw)}")


def test_the_connection_serves_the_next_message():
    async def scene(adapter, relay):
        relay.replies["EHLO"] = "250-r\r\n250 SIZE 2000"
        await adapter.send(delivery(email(text=Part(data="x" * 3000))))
        return await adapter.send(delivery()), relay.connections

    outcome, connections = test_smtp.run(scene)
    assert (outcome.status, connections) == (SUCCESSFUL, 1)


def test_a_large_attachment_arrives_byte_for_byte():
    attachment = random.Random(7).randbytes(3_000_000)
    raw = (
        RAW + b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <own@acme.example>\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n"
        b"--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="a.zip"\r\n\r\n'
        + base64.encodebytes(attachment).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )
    outcome, envelopes = test_smtp.through_aiosmtpd(RawEmail(data=raw))
    assert outcome.status is SUCCESSFUL
    assert envelopes[0].original_content == raw
    _, part = message_from_bytes(envelopes[0].original_content).get_payload()
    found = part.get_payload(decode=True)
    assert hashlib.sha256(found).digest() == hashlib.sha256(attachment).digest()


# Addresses in other scripts (RFC 6531): the domain becomes ASCII, the local part needs the relay.


RAW_8BIT = "From: jürgen@acme.example\r\nSubject: Grüße\r\n\r\nHi\r\n".encode()


@pytest.mark.parametrize(
    ("message", "address", "settings", "options"),
    [
        (email(), "jürgen@bücher.example", {}, True),
        (email(from_address="jürgen@b.example"), "jo@example.org", {}, True),
        (email(), "jo@bücher.example", {}, False),
        (email(subject=Part(data="Grüße")), "jo@example.org", {}, False),
        (email(reply_to=("jürgen@b.example",)), "jo@example.org", {}, True),
        (
            email(from_address="jürgen@b.example"),
            "jo@example.org",
            {"return_path": "b@acme.example"},
            True,
        ),
        (RawEmail(data=RAW_8BIT), "jo@example.org", {"return_path": "b@acme.example"}, True),
    ],
)
def test_smtputf8_is_asked_for_exactly_when_it_is_needed(message, address, settings, options):
    outcome, commands, _ = sent(message, address=address, ehlo=["SMTPUTF8"], **settings)
    assert outcome.status is SUCCESSFUL
    assert commands[0].endswith(" SMTPUTF8") is options


@pytest.mark.parametrize(
    ("message", "address", "fault"),
    [
        (email(), "jürgen@b.example", RECIPIENT),
        (email(from_address="jürgen@b.example"), "jo@example.org", MESSAGE),
        (email(reply_to=("jürgen@b.example",)), "jo@example.org", MESSAGE),
        (email(feedback_address="jürgen@b.example"), "jo@example.org", MESSAGE),
    ],
)
def test_without_smtputf8_such_an_address_is_refused(message, address, fault):
    outcome, commands, _ = sent(message, address=address)
    assert outcome == Outcome(
        status=PERMANENT,
        status_code=553,
        status_message="5.6.7 The address needs SMTPUTF8, which the relay lacks",
        fault=fault,
    )
    assert commands == []


def test_without_smtputf8_a_callers_own_header_goes_as_it_is():
    outcome, commands, _ = sent(
        RawEmail(data=RAW_8BIT), ehlo=["8BITMIME"], return_path="b@acme.example"
    )
    assert outcome.status is SUCCESSFUL
    assert commands[0] == "MAIL FROM:<b@acme.example> BODY=8BITMIME"


def test_every_setting_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "email.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert documented == set(inspect.signature(Smtp).parameters)
