"""What comes back, as mail servers of all kinds write it: which message, what became of it, and
whether the address is dead. And whatever else anybody may send is read in little time."""

import time
from uuid import uuid4

import pytest

from adapters import smtp_bounces
from adapters.contract import DeliveryStatus, Fault
from adapters.smtp_bounces import Bounce, Complaint, Nothing
from tests.adapters import returned
from tests.adapters.returned import DOMAIN, ID, TO

PERMANENT, SUCCESSFUL = DeliveryStatus.PERMANENT_FAILURE, DeliveryStatus.SUCCESSFUL


def verdict(mail, to=TO, recipient=None):
    said = smtp_bounces.read(mail, recipient)
    assert isinstance(said, Bounce), said
    assert said.message == ID
    return smtp_bounces.verdict(said, to)


# What it is; the code, whose fault, whether the address is dead, and words of the reason.
FAILURES = {
    "Postfix": (returned.postfix(), 550, "5.1.1", "RECIPIENT", True, "User unknown"),
    "Postfix gave up": (
        *(returned.postfix_gave_up(), 450, "4.4.1", "PROVIDER", False),
        "Connection timed out",
    ),
    "no enhanced code, but words": (
        *(returned.postfix(status="5.0.0", reply="550 No such user here"), 550, "5.0.0"),
        *("RECIPIENT", True, "No such user here"),
    ),
    "an enhanced code beside the reply": (
        *(returned.postfix(reply="550 Requested action not taken"), 550, "5.1.1"),
        *("RECIPIENT", True, "not taken"),
    ),
    "a status of another class than the reply": (
        *(returned.postfix(reply="450 try later"), 450, "5.1.1"),
        *("PROVIDER", False, "try later"),
    ),
    "full": (
        *(returned.postfix(status="5.2.2", reply="552 5.2.2 Over quota"), 552, "5.2.2"),
        *("RECIPIENT", False, "Over quota"),
    ),
    "spam": (
        *(returned.postfix(status="5.7.1", reply="554 5.7.1 Looks like spam"), 554, "5.7.1"),
        *("MESSAGE", False, "spam"),
    ),
    "Exim": (returned.exim(), 550, "5.1.2", "RECIPIENT", True, "Unrouteable address"),
    "old Exim": (returned.exim_of_old(), 550, "5.1.2", "RECIPIENT", True, "Unrouteable address"),
    "old Exim, of a reply": (
        returned.exim_of_old(
            reason="SMTP error from remote mailer after RCPT TO:<x>:\n"
            "    host mx.example.net [192.0.2.25]: 550 Mailbox unavailable"
        ),
        *(550, "5.0.0", "RECIPIENT", False, "Mailbox unavailable"),
    ),
    "old Exim, of nothing": (
        returned.exim_of_old(reason="retry timeout exceeded"),
        *(550, "", "PROVIDER", False, ""),
    ),
    "Exchange": (returned.exchange(), 550, "5.1.10", "RECIPIENT", True, "RecipientNotFound"),
    "Exchange, expired": (
        returned.exchange(status="4.4.7", reason="QUEUE.Expired; message expired"),
        *(550, "4.4.7", "RECIPIENT", False, "expired"),
    ),
    "Gmail": (returned.gmail(), 550, "5.1.1", "RECIPIENT", True, "does not exist. Try"),
    "qmail": (returned.qmail(), 550, "5.1.1", "RECIPIENT", True, "5.1.1 Sorry, no mailbox"),
    "qmail, of a reply": (
        returned.qmail(
            reason="192.0.2.25 does not like recipient.\n"
            f"Remote host said: 550 5.1.1 <{TO}>: User unknown\nGiving up on 192.0.2.25."
        ),
        *(550, "5.1.1", "RECIPIENT", True, "User unknown"),
    ),
    "qmail, too long in the queue": (
        returned.qmail(
            reason="CNAME lookup failed temporarily. (#4.4.3)\n"
            "I'm not going to try again; this message has been in the queue too long."
        ),
        *(450, "4.4.3", "PROVIDER", False, "4.4.3 CNAME lookup failed temporarily. I'm not"),
    ),
    "UTF-8": (
        returned.postfix(kind="message/global-delivery-status", returned="message/global-headers"),
        *(550, "5.1.1", "RECIPIENT", True, "User unknown"),
    ),
    "OpenSMTPD": (
        *(returned.postfix(action="error"), 550, "5.1.1", "RECIPIENT", True),
        "User unknown",
    ),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure(what):
    mail, code, status, fault, dead, words = FAILURES[what]
    said = verdict(mail)
    outcome = said.outcome
    assert (outcome.status, said.final, said.action) == (PERMANENT, True, "failed")
    assert (outcome.status_code, said.status) == (code, status)
    assert (outcome.fault, outcome.dead_address) == (Fault[fault], dead)
    assert outcome.status_message.startswith("Bounced")
    assert words in outcome.status_message
    assert "@" not in outcome.status_message
    assert "550 5.1.1 " not in outcome.status_message.removeprefix("Bounced: 550 5.1.1 ")


@pytest.mark.parametrize(
    ("mail", "why"),
    [
        (returned.out_of_office(), "automatic reply"),
        (returned.challenge(), "automatic reply"),
        (returned.read_receipt(), "receipt of reading"),
        (returned.complaint(kind="not-spam"), "no complaint"),
        (returned.complaint(kind="auth-failure"), "no complaint"),
        (returned.mail("Subject: Buy!\n\nCheap watches, 550 5.1.1 of them\n"), "automatic reply"),
        (b"", "automatic reply"),
        (b"\r\n\r\n", "automatic reply"),
    ],
)
def test_what_says_nothing(mail, why):
    said = smtp_bounces.read(mail, returned.verp())
    assert isinstance(said, Nothing)
    assert why in said.why
    assert "@" not in said.why


def test_a_delay_is_nothing_yet():
    assert verdict(returned.postfix(action="delayed", status="4.4.1", reply="421 later")) is None
    assert verdict(returned.postfix_gave_up(action="delayed (will retry)")) is None
    assert verdict(returned.postfix(action="expanded", status="2.0.0", reply="250 ok")) is None
    words = "Warning: message 1abc delayed 24 hours\n\n" + TO + "\n  550 unknown user"
    warned = returned.exim_of_old().replace(b"This message was created", words.encode(), 1)
    assert isinstance(smtp_bounces.read(warned), Nothing)


@pytest.mark.parametrize(("action", "final"), [("delivered", True), ("relayed", False)])
def test_what_arrives(action, final):
    said = verdict(returned.postfix(action=action, status="2.0.0", reply="250 2.0.0 Ok: queued"))
    assert (said.outcome.status, said.final) == (SUCCESSFUL, final)
    assert said.outcome.status_message == f"{action.capitalize()}: 250 2.0.0 Ok: queued"
    assert not said.outcome.dead_address


@pytest.mark.parametrize("kind", ["abuse", "Fraud", "virus", "other"])
def test_a_complaint(kind):
    said = smtp_bounces.read(returned.complaint(kind=kind))
    assert said == Complaint(message=ID, kind=kind.lower(), user_agent="Mail.example-Feedback/1.0")


def test_the_message_is_the_one_of_the_address_then_of_the_envelope_then_of_its_id():
    other, third = uuid4(), uuid4()
    elsewhere = f"postmaster@{DOMAIN}"
    mail = returned.postfix(of=f"Original-Envelope-Id: {other}\n", message=third)
    assert smtp_bounces.read(mail, returned.verp()).message == ID
    assert smtp_bounces.read(mail).message == third, "Delivered-To"
    mail = returned.postfix(of=f"Original-Envelope-Id: {other}\n", message=third, sent_to=elsewhere)
    assert smtp_bounces.read(mail, elsewhere).message == other
    mail = returned.postfix(message=third, sent_to=elsewhere)
    assert smtp_bounces.read(mail, elsewhere).message == third
    assert smtp_bounces.read(returned.complaint(third, mail_from=False)).message == third
    quoted = returned.qmail(third).replace(returned.verp(third).encode(), elsewhere.encode())
    assert smtp_bounces.read(quoted).message == third
    nobody = returned.postfix(sent_to=elsewhere).replace(str(ID).encode(), b"20261126.1")
    assert isinstance(smtp_bounces.read(nobody), Nothing)


@pytest.mark.parametrize(
    "recipient",
    [
        f"bounces+{ID.hex}@{DOMAIN}",
        f"<bounces+{ID.hex.upper()}@{DOMAIN}>",
        f"bounces+{ID.hex}",
        ID.hex,
        f"prvs=2873a1b5c4=bounces+{ID.hex}@{DOMAIN}",
    ],
)
def test_addresses_that_name_a_message(recipient):
    mail = returned.qmail(uuid4())
    assert smtp_bounces.read(mail, recipient).message == ID


def test_a_header_in_front_of_the_header_is_none():
    assert verdict(b"From MAILER-DAEMON Thu Nov 26 10:00:09 2026\n" + returned.qmail())


def block(name, action="failed", status="5.1.1"):
    return f"Final-Recipient: rfc822; {name}\nAction: {action}\nStatus: {status}\n"


def test_an_address_is_dead_only_by_its_name():
    """Whom it was passed on to is nobody that we know of."""
    said = verdict(returned.report("", block("elsewhere@example.org")))
    assert (said.outcome.status, said.outcome.dead_address) == (PERMANENT, False)
    said = verdict(returned.report("", block("elsewhere@example.org", "delivered", "2.0.0")))
    assert (said.outcome.status, said.final) == (SUCCESSFUL, False)
    both = "\n".join([block("elsewhere@example.org"), block(TO.upper(), status="5.2.2")])
    said = verdict(returned.report("", both))
    assert (said.status, said.outcome.dead_address) == ("5.2.2", False)
    some = "\n".join([block("a@example.org"), block("b@example.org", "delivered", "2.0.0")])
    assert verdict(returned.report("", some)).outcome.status is SUCCESSFUL
    later = "\n".join([block("a@example.org"), block("b@example.org", "delayed", "4.4.1")])
    assert verdict(returned.report("", later)) is None


def test_names_are_known_as_they_are_written():
    xtext = "Original-Recipient: rfc822;nina+2Bnews@example.net\nAction: failed\nStatus: 5.1.1\n"
    assert verdict(returned.report("", xtext), "nina+news@example.net").outcome.dead_address
    ascii_form = block("nina@xn--bcher-kva.example")
    assert verdict(
        returned.report("", ascii_form), "nina@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"
    ).outcome.dead_address


def test_a_report_within_what_was_forwarded_is_not_ours():
    forwarded = (
        returned.mail(
            "From: nina@example.net\nContent-Type: multipart/mixed; boundary=x\n\n"
            "--x\nContent-Type: message/rfc822\n\n"
        )
        + returned.postfix()
        + b"\r\n--x--\r\n"
    )
    assert isinstance(smtp_bounces.read(forwarded, returned.verp()), Nothing)


# Whatever anybody sends.

MEGABYTE = 1024 * 1024
HOSTILE = {
    "nested": "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(20_000)
    ),
    "nested in itself": "Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 20_000,
    "messages within messages": "Content-Type: message/rfc822\n\n" * 30_000,
    "a parameter without end": "Content-Type: multipart/report" + ";" * MEGABYTE,
    "quotes": 'Content-Type: multipart/report; boundary="' + '"\\' * (MEGABYTE // 2),
    "folds": "Content-Type: multipart/report" + "\n\t;" * (MEGABYTE // 3),
    "headers": "A: b\n" * (MEGABYTE // 5),
    "a header": "A: " + "b" * MEGABYTE,
    "parts": "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n" * (MEGABYTE // 5),
    "at signs": "From: mailer-daemon@x\n\n" + "a@" * (MEGABYTE // 2),
    "codes": "From: mailer-daemon@x\n\n" + "550 5.1.1 " * (MEGABYTE // 10),
    "tags": "From: mailer-daemon@x\nContent-Type: text/html\n\n" + "<" * MEGABYTE,
    "spaces": "From: mailer-daemon@x\nSubject: undelivered\n\n" + " " * MEGABYTE,
    "line ends": "\n" * MEGABYTE,
    "ids": "From: mailer-daemon@x\nSubject: undelivered\n\n" + "Message-ID: <\n" * 70_000,
    "blocks": "Content-Type: message/delivery-status\n\n" + "Action: failed\n\n" * 65_000,
    "recipients": "Content-Type: message/delivery-status\n\nAction: failed\n"
    "Final-Recipient: rfc822;" + "a@b," * 200_000,
    "base64": "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n"
    + "=" * MEGABYTE,
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_mail_is_read_in_little_time(what):
    mail = HOSTILE[what].encode()[:MEGABYTE]
    started = time.process_time()
    said = smtp_bounces.read(mail, returned.verp())
    if isinstance(said, Bounce):
        smtp_bounces.verdict(said, TO)
    assert time.process_time() - started < 20, "what is not linear takes minutes"
