"""Smtp against real relays: a scripted one on the same loop, and aiosmtpd for TLS and AUTH."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import uuid
from email import message_from_bytes, policy

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.messages import Email, Part, RawEmail, Sms
from adapters.smtp import Smtp
from tests.contracts.adapter import AdapterContract, Answer

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE

SILENT = object()
HANG_UP = object()
REPLIES = {
    "CONNECT": "220 relay.example",
    "EHLO": "250-relay.example\r\n250-SIZE 100000\r\n250 8BITMIME",
    "HELO": "250 relay.example",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go on",
    ".": "250 2.0.0 Ok: queued as 4F2A",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


class Relay:
    """Answers each command with `replies[verb]`: a text, SILENT or HANG_UP, or a list of these to
    use up before the usual answer. `reached` is set by a whole message, which is answered once
    `go_on` is set; `left` is set by QUIT.
    """

    def __init__(self):
        self.replies = {}
        self.commands = []
        self.messages = []
        self.connections = 0
        self.reached = asyncio.Event()
        self.left = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.pieces = False
        self._tasks = set()
        self._writers = set()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks)

    def hang_up(self):
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)
        self._writers.discard(writer)
        self._tasks.discard(asyncio.current_task())
        writer.close()

    async def _talk(self, reader, writer):
        verb, taken = "CONNECT", set()
        while await self._answer(verb, taken, reader, writer) and verb != "QUIT":
            line = (await reader.readuntil(b"\r\n")).decode().removesuffix("\r\n")
            self.commands.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "QUIT":
                self.left.set()

    async def _answer(self, verb, taken, reader, writer):
        reply = self.replies.get(verb, REPLIES.get(verb, "500 5.5.1 Unknown command"))
        if isinstance(reply, list):
            reply = reply.pop(0) if reply else REPLIES[verb]
        if verb == "DATA" and verb not in self.replies and not taken >= {"MAIL", "RCPT"}:
            reply = "503 5.5.1 No valid recipients"
        if verb == ".":
            self.reached.set()
            await self.go_on.wait()
        if reply is SILENT:
            await reader.read()
        if reply in (SILENT, HANG_UP):
            return False
        for byte in (reply + "\r\n") if self.pieces else (reply + "\r\n",):
            writer.write(byte.encode())
            await writer.drain()
            await asyncio.sleep(0)
        if verb in {"RSET", "."}:
            taken.clear()
        elif reply.startswith("2"):
            taken.add(verb)
        if verb == "DATA" and reply.startswith("354"):
            self.messages.append((await reader.readuntil(b"\r\n.\r\n"))[:-3])
            return await self._answer(".", taken, reader, writer)
        return True


@pytest.fixture(autouse=True, params=["in turn", "together"])
def commands(request, monkeypatch):
    """How a relay takes them: it says so itself."""
    if request.param == "together":
        monkeypatch.setitem(REPLIES, "EHLO", "250-relay.example\r\n250-PIPELINING\r\n250 8BITMIME")
    return request.param


def run(scene, **settings):
    async def go():
        relay = Relay()
        await relay.start()
        adapter = smtp(relay.port, **settings)
        try:
            return await scene(adapter, relay)
        finally:
            await adapter.aclose()
            await relay.stop()

    return asyncio.run(go())


def smtp(port, **settings):
    settings = {"host": "127.0.0.1", "security": "none", **settings}
    settings = {"from_address": "Acme <news@acme.example>", **settings}
    return Smtp(port=port, local_hostname="client.example", **settings)


def delivery(message=None, *, address="jo@example.org", timeout=20.0, delivery_id=None):
    return Delivery(
        id=delivery_id or str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=ChannelType.EMAIL,
        address=address,
        message=message or email(),
        timeout=timeout,
    )


def email(**members):
    members = {"from_address": None, "subject": Part(data="Hello"), **members}
    return Email(**{"text": Part(data="Hi Jo"), **members})


def replied(stage, reply):
    async def scene(adapter, relay):
        relay.replies[stage] = reply
        return await adapter.send(delivery())

    return run(scene)


RECIPIENT, MESSAGE, CREDENTIALS, PROVIDER = (
    Fault.RECIPIENT,
    Fault.MESSAGE,
    Fault.CREDENTIALS,
    Fault.PROVIDER,
)


@pytest.mark.parametrize(
    ("stage", "reply", "status", "fault", "dead", "retry_after"),
    [
        ("RCPT", "421 4.3.2 Closing down", TEMPORARY, PROVIDER, False, None),
        ("RCPT", "421 4.7.28 Unusual rate of mail", THROTTLED, PROVIDER, False, None),
        ("MAIL", "421 4.7.0 Too much", THROTTLED, PROVIDER, False, None),
        ("MAIL", "421 Too many messages", THROTTLED, PROVIDER, False, None),
        (".", "421 4.3.2 Closing down", TEMPORARY, PROVIDER, False, None),
        ("CONNECT", "421 4.7.0 Too many connections", THROTTLED, PROVIDER, False, None),
        ("RCPT", "550 5.7.28 Mail flood", THROTTLED, PROVIDER, False, None),
        ("RCPT", "450 4.7.1 Rate limit reached", THROTTLED, PROVIDER, False, None),
        ("RCPT", "451 4.7.0 Too many mails", THROTTLED, PROVIDER, False, None),
        ("RCPT", "451 4.7.1 Please try again later", THROTTLED, PROVIDER, False, None),
        ("RCPT", "450 Too many mails", THROTTLED, PROVIDER, False, None),
        ("RCPT", "452 4.5.3 Too many recipients", THROTTLED, PROVIDER, False, None),
        ("RCPT", "450 4.7.1 Greylisted, try again later", TEMPORARY, RECIPIENT, False, 300.0),
        ("RCPT", "451 Graylisting in action", TEMPORARY, RECIPIENT, False, 300.0),
        ("RCPT", "450 4.7.1 Come back", TEMPORARY, RECIPIENT, False, 300.0),
        ("RCPT", "450 4.2.0 Come back", TEMPORARY, RECIPIENT, False, 300.0),
        ("RCPT", "452 4.2.2 Mailbox full", TEMPORARY, RECIPIENT, False, 3600.0),
        ("RCPT", "450 4.2.1 Mailbox busy", TEMPORARY, RECIPIENT, False, None),
        ("MAIL", "452 4.3.1 Disk full", TEMPORARY, PROVIDER, False, None),
        ("RCPT", "451 4.4.1 No answer from host", TEMPORARY, PROVIDER, False, None),
        ("RCPT", "451 Local error", TEMPORARY, PROVIDER, False, None),
        (".", "451 4.3.0 Local error", TEMPORARY, PROVIDER, False, None),
        ("MAIL", "454 4.7.0 Authentication is ill", TEMPORARY, CREDENTIALS, False, None),
        ("MAIL", "432 4.7.12 A password transition is needed", TEMPORARY, CREDENTIALS, False, None),
        ("MAIL", "535 5.7.8 Bad credentials", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "530 5.7.0 Authenticate first", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "530 Authenticate first", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "534 5.7.9 Mechanism too weak", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "538 5.7.11 Encryption required", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "525 5.7.13 Account disabled", PERMANENT, CREDENTIALS, False, None),
        ("RCPT", "550 5.1.1 Unknown", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "550 5.1.2 Unknown", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "553 5.1.3 Unknown", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "551 5.1.6 Moved", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "556 5.1.10 Null MX", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "521 No mail here", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "556 No mail there", PERMANENT, RECIPIENT, True, None),
        (".", "550 5.1.1 Unknown", PERMANENT, RECIPIENT, True, None),
        ("MAIL", "550 5.1.1 Unknown", PERMANENT, MESSAGE, False, None),
        ("MAIL", "550 5.1.7 Bad sender", PERMANENT, CREDENTIALS, False, None),
        ("MAIL", "550 5.1.8 Bad sender", PERMANENT, CREDENTIALS, False, None),
        ("RCPT", "550 5.2.1 Disabled", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "552 5.2.2 Full", PERMANENT, RECIPIENT, False, None),
        ("MAIL", "552 5.3.4 Too big", PERMANENT, MESSAGE, False, None),
        (".", "552 5.2.3 Too big", PERMANENT, MESSAGE, False, None),
        (".", "554 5.6.0 Bad content", PERMANENT, MESSAGE, False, None),
        ("RCPT", "553 5.6.7 Needs SMTPUTF8", PERMANENT, RECIPIENT, False, None),
        (".", "550 5.7.1 Spam", PERMANENT, MESSAGE, False, None),
        (".", "550 5.7.26 DMARC", PERMANENT, MESSAGE, False, None),
        ("RCPT", "550 5.4.4 No such domain", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "554 5.4.6 Loop", PERMANENT, RECIPIENT, False, None),
        ("RCPT", "550 5.4.7 Expired", PERMANENT, RECIPIENT, False, None),
        ("MAIL", "503 5.5.1 Nested MAIL", UNKNOWN, PROVIDER, False, None),
        ("RCPT", "501 5.5.4 Bad argument", UNKNOWN, PROVIDER, False, None),
        ("DATA", "502 Not implemented", UNKNOWN, PROVIDER, False, None),
        (".", "500 Line too long", PERMANENT, MESSAGE, False, None),
        ("RCPT", "550 No such user here", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "550 Recipient unknown", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "551 The mailbox does not exist", PERMANENT, RECIPIENT, True, None),
        ("RCPT", "554 No such user here", PERMANENT, RECIPIENT, False, None),
        ("RCPT", "550 Go away", PERMANENT, RECIPIENT, False, None),
        ("MAIL", "550 No such user here", PERMANENT, MESSAGE, False, None),
        (".", "554 Transaction failed", PERMANENT, MESSAGE, False, None),
        (".", "550 No such user here", PERMANENT, MESSAGE, False, None),
    ],
)
def test_each_reply_of_the_table(stage, reply, status, fault, dead, retry_after):
    code, _, words = reply.partition(" ")
    assert replied(stage, reply) == Outcome(
        status=status,
        status_code=int(code),
        status_message=words,
        fault=fault,
        dead_address=dead,
        retry_after=retry_after,
    )


@pytest.mark.parametrize("reply", ["554 5.1.1 Your address is blocked", "521 No mail from you"])
def test_a_relay_that_turns_us_away_blames_nobody_else(reply):
    outcome = replied("CONNECT", reply)
    assert (outcome.status, outcome.fault, outcome.dead_address) == (TEMPORARY, PROVIDER, False)


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", [HANG_UP, SILENT, "hello?"], ids=["lost", "silent", "malformed"])
def test_before_the_content_has_left_trouble_is_temporary(stage, reply):
    async def scene(adapter, relay):
        relay.replies[stage] = reply
        relay.replies["HELO"] = reply
        return await adapter.send(delivery(timeout=0.4)), relay.messages

    outcome, messages = run(scene)
    assert (outcome.status, outcome.fault, outcome.indeterminate) == (TEMPORARY, PROVIDER, False)
    assert outcome.status_code in {503, 504}
    assert messages == []


@pytest.mark.parametrize(
    "reply", [HANG_UP, SILENT, "hello?", "999 What"], ids=["lost", "silent", "malformed", "code"]
)
def test_after_the_final_dot_trouble_is_indeterminate_and_never_tried_again(reply):
    async def scene(adapter, relay):
        relay.replies["."] = reply
        return await adapter.send(delivery(timeout=2.0)), relay

    outcome, relay = run(scene)
    assert (outcome.status, outcome.indeterminate) == (UNKNOWN, True)
    assert len(relay.messages) == 1


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("CONNECT", "421 4.3.2 Later"),
        ("MAIL", "421 too many messages in this connection"),
        ("RCPT", "421 4.3.2 Later"),
        ("MAIL", "503 5.5.1 nested MAIL"),
        ("RCPT", "501 Syntax"),
        (".", "503 5.5.1 Out of step"),
    ],
)
def test_what_a_fresh_connection_cures_is_cured_within_the_send(stage, reply):
    async def scene(adapter, relay):
        relay.replies[stage] = [reply]
        return await adapter.send(delivery()), relay.connections

    outcome, connections = run(scene)
    assert outcome.status is SUCCESSFUL
    assert connections == 2


@pytest.mark.parametrize("reply", [HANG_UP, SILENT], ids=["lost", "half-open"])
def test_a_kept_connection_that_has_died_is_replaced(reply):
    async def scene(adapter, relay):
        await adapter.send(delivery())
        relay.replies["MAIL"] = [reply]
        return await adapter.send(delivery(timeout=2.0)), relay.connections

    outcome, connections = run(scene)
    assert outcome.status is SUCCESSFUL
    assert connections == 2


def test_a_kept_connection_closed_by_the_relay_is_not_used():
    async def scene(adapter, relay):
        await adapter.send(delivery())
        relay.hang_up()
        return await adapter.send(delivery()), relay.connections

    outcome, connections = run(scene)
    assert outcome.status is SUCCESSFUL
    assert connections == 2


def test_a_refused_recipient_leaves_nothing_behind_for_the_next(commands):
    async def scene(adapter, relay):
        relay.replies["RCPT"] = ["550 5.1.1 Unknown"]
        await adapter.send(delivery())
        await adapter.send(delivery())
        return relay.connections, [command.split(" ")[0] for command in relay.commands]

    refused = ["MAIL", "RCPT", "DATA"] if commands == "together" else ["MAIL", "RCPT"]
    assert run(scene) == (1, ["EHLO", *refused, "RSET", "MAIL", "RCPT", "DATA"])


def test_a_refused_recipient_and_a_relay_that_will_not_forget_it():
    async def scene(adapter, relay):
        relay.replies |= {"RCPT": ["550 5.1.1 Unknown"], "RSET": ["421 4.3.2 Closing down"]}
        await adapter.send(delivery())
        return await adapter.send(delivery()), relay.connections

    outcome, connections = run(scene)
    assert (outcome.status, connections) == (SUCCESSFUL, 2)


@pytest.mark.parametrize("commands", ["together"], indirect=True)
def test_commands_that_a_relay_takes_together_do_not_wait_for_each_other():
    async def relay(reader, writer):
        writer.write(b"220 r\r\n")
        await reader.readline()
        writer.write(b"250-r\r\n250 PIPELINING\r\n")
        for _ in range(2):
            said = [(await reader.readline())[:4] for _ in range(3)]
            assert said == [b"MAIL", b"RCPT", b"DATA"], "all are there before any is answered"
            writer.write(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 2.0.0 Ok\r\n")
        await reader.readline()
        writer.close()

    async def scene():
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        adapter = smtp(server.sockets[0].getsockname()[1])
        try:
            return [(await adapter.send(delivery())).status for _ in range(2)]
        finally:
            await adapter.aclose()
            server.close()

    assert asyncio.run(scene()) == [SUCCESSFUL, SUCCESSFUL]


@pytest.mark.parametrize("commands", ["together"], indirect=True)
def test_a_relay_that_wants_the_content_for_nobody_gets_none():
    async def scene(adapter, relay):
        relay.replies |= {"RCPT": ["550 5.1.1 Unknown"], "DATA": "354 Go on"}
        first = await adapter.send(delivery())
        return first, await adapter.send(delivery()), relay

    first, second, relay = run(scene)
    assert (first.status, first.status_code, first.dead_address) == (PERMANENT, 550, True)
    assert second.status is SUCCESSFUL
    assert (len(relay.messages), relay.connections) == (1, 2)


@pytest.mark.parametrize("commands", ["together"], indirect=True)
@pytest.mark.parametrize("reply", [HANG_UP, "hello?"], ids=["lost", "malformed"])
def test_what_is_refused_stays_refused_whatever_comes_behind_it(reply):
    async def scene(adapter, relay):
        relay.replies |= {"RCPT": ["550 5.1.1 Unknown"], "DATA": [reply]}
        return await adapter.send(delivery()), await adapter.send(delivery()), relay.connections

    first, second, connections = run(scene)
    assert (first.status, first.status_code) == (PERMANENT, 550)
    assert (second.status, connections) == (SUCCESSFUL, 2)


def test_a_relay_that_takes_its_leave_is_not_used_again():
    async def scene(adapter, relay):
        relay.replies["."] = ["250 2.0.0 Ok\r\n421 4.4.2 Enough for now"]
        return await adapter.send(delivery()), await adapter.send(delivery()), relay.connections

    first, second, connections = run(scene)
    assert (first.status, second.status, connections) == (SUCCESSFUL, SUCCESSFUL, 2)


def test_replies_may_come_in_pieces_and_have_many_lines():
    async def scene(adapter, relay):
        relay.pieces = True
        relay.replies["."] = "250-2.0.0 Ok:\r\n250-2.0.0 queued\r\n250 2.0.0 as 4F2A"
        return [await adapter.send(delivery()) for _ in range(2)]

    first, second = run(scene)
    assert (first.status, second.status) == (SUCCESSFUL, SUCCESSFUL)
    assert first.status_message.endswith("as 4F2A")


def test_a_reply_without_end_is_not_read_for_ever():
    async def scene(adapter, relay):
        relay.replies["MAIL"] = "\r\n".join(["250-and so on"] * 10_000)
        return await adapter.send(delivery(timeout=5.0))

    outcome = run(scene)
    assert (outcome.status, outcome.indeterminate) == (TEMPORARY, False)


def test_connections_are_shared_bounded_and_recycled():
    async def scene(adapter, relay):
        outcomes = await asyncio.gather(*(adapter.send(delivery()) for _ in range(20)))
        return [outcome.status for outcome in outcomes], relay.connections

    statuses, connections = run(scene, connections=2, messages_per_connection=5)
    assert statuses == [SUCCESSFUL] * 20
    assert connections == 4


def test_an_idle_connection_is_closed_in_time():
    async def scene(adapter, relay):
        await adapter.send(delivery())
        await relay.left.wait()
        await adapter.send(delivery())
        return relay.connections

    assert run(scene, idle_seconds=0.0) == 2


def test_a_send_that_outlives_the_adapter_closes_its_connection():
    async def scene(adapter, relay):
        relay.go_on.clear()
        send = asyncio.ensure_future(adapter.send(delivery()))
        await relay.reached.wait()
        await adapter.aclose()
        relay.go_on.set()
        outcome = await send
        await relay.left.wait()
        return outcome.status

    assert run(scene) is SUCCESSFUL


def test_waiting_for_a_connection_is_within_the_deadline():
    async def scene(adapter, relay):
        relay.go_on.clear()
        first = asyncio.ensure_future(adapter.send(delivery()))
        await relay.reached.wait()
        second = await adapter.send(delivery(timeout=0.05))
        relay.go_on.set()
        return await first, second

    first, second = run(scene, connections=1)
    assert first.status is SUCCESSFUL
    assert (second.status, second.status_code) == (TEMPORARY, 503)


def test_what_is_accepted_tells_the_message_id_and_the_relays_last_words():
    async def scene(adapter, relay):
        return await adapter.send(delivery(delivery_id="0f8d")), relay.messages[0]

    outcome, message = run(scene)
    assert outcome == Outcome(
        status=SUCCESSFUL,
        status_code=200,
        status_message="2.0.0 Ok: queued as 4F2A",
        message_id="0f8d@acme.example",
    )
    assert b"\r\nMessage-ID: <0f8d@acme.example>\r\n" in message


def test_lines_that_begin_with_a_dot_arrive_stuffed():
    async def scene(adapter, relay):
        raw = b"From: a@acme.example\r\n\r\n.\r\n..b\r\n"
        await adapter.send(delivery(RawEmail(data=raw)))
        return relay.messages[0].partition(b"\r\n\r\n")[2]

    assert run(scene) == b"..\r\n...b\r\n"


@pytest.mark.parametrize(
    ("message", "return_path", "commands"),
    [
        (email(), None, "MAIL FROM:<news@acme.example>"),
        (email(from_address="Jo <jo@b.example>"), None, "MAIL FROM:<jo@b.example>"),
        (email(), "bounce@acme.example", "MAIL FROM:<bounce@acme.example>"),
        (email(feedback_address="f@b.example"), "bounce@acme.example", "MAIL FROM:<f@b.example>"),
        (RawEmail(data=b"From: Raw <raw@b.example>\n\nHi"), None, "MAIL FROM:<raw@b.example>"),
        (RawEmail(data=b"Subject: x\n\nHi"), None, "MAIL FROM:<news@acme.example>"),
        (
            RawEmail(data=b"From: raw@b.example\n\nHi", from_address="own@b.example"),
            None,
            "MAIL FROM:<own@b.example>",
        ),
        (email(from_address="jo@bücher.example"), None, "MAIL FROM:<jo@xn--bcher-kva.example>"),
    ],
)
def test_the_envelopes_sender(message, return_path, commands):
    async def scene(adapter, relay):
        outcome = await adapter.send(delivery(message))
        return outcome.status, relay.commands[1].partition(" SIZE=")[0]

    assert run(scene, return_path=return_path) == (SUCCESSFUL, commands)


def test_a_name_in_another_script_becomes_ascii():
    async def scene(adapter, relay):
        await adapter.send(delivery(address="jo@straße.example"))
        return relay.commands[2]

    assert run(scene) == "RCPT TO:<jo@xn--strae-oqa.example>"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jo",
        "@example.org",
        "jo@",
        "jo@example.org, eve@evil.example",
        "Jo <jo@example.org>",
        "jo@example.org\r\nRCPT TO:<eve@evil.example>",
        "jo@example.org> NOTIFY=NEVER",
        "jo@example.org\0",
        "jo@exa mple.org",
        "jo@bücher..example",
        "jo@example..org",
        "a@b@c.example",
        "jo\u2028@example.org",
        "x" * 65 + "@example.org",
        "jo@" + "a." * 130 + "org",
    ],
)
def test_what_is_not_one_address_is_never_sent(address):
    async def scene(adapter, relay):
        return await adapter.send(delivery(address=address)), relay.connections

    outcome, connections = run(scene)
    assert (outcome.status, outcome.status_code) == (PERMANENT, 400)
    assert outcome.fault is RECIPIENT
    assert connections == 0


@pytest.mark.parametrize(
    "message",
    [
        Sms(body="Hi"),
        email(from_address="no address"),
        email(from_address="a@b.example, c@d.example"),
        email(feedback_address="x\r\n@b.example"),
        email(text=None),
        email(text=Part(data="Grüße", charset="US-ASCII")),
        email(headers=(("Subject", "Another"),)),
        RawEmail(data=b"no header at all\n\nHi"),
    ],
)
def test_a_message_that_can_not_be_written_is_never_sent(message):
    async def scene(adapter, relay):
        return await adapter.send(delivery(message)), relay.connections

    outcome, connections = run(scene)
    assert (outcome.status, outcome.status_code) == (PERMANENT, 400)
    assert outcome.fault is MESSAGE
    assert connections == 0


def test_a_message_without_any_sender_is_never_sent():
    outcome = run(lambda adapter, relay: adapter.send(delivery()), from_address=None)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, MESSAGE)
    assert outcome.status_message == (
        "The email can not be sent: it has no sender, and neither has the channel"
    )


def test_a_reply_is_told_in_one_line_without_addresses_and_not_at_length():
    reply = (
        "550-5.7.1 <jo@example.org> and JO@EXAMPLE.ORG\r\n550 from news@acme.example " + "x" * 900
    )
    message = replied("RCPT", reply).status_message
    assert message.startswith("5.7.1 <***> and *** from *** xxx")
    assert len(message) == 500


def test_bytes_that_are_no_text_do_not_get_through():
    async def scene(adapter, relay):
        relay.replies["RCPT"] = "550 5.7.1 a\x07b\x00c"
        return await adapter.send(delivery())

    assert run(scene).status_message == "5.7.1 a?b?c"


def test_a_cancelled_send_leaves_no_connection_for_the_next():
    """aiosmtplib says that a connection is connected while the late reply of a cancelled command
    is still to come on it."""

    async def scene(adapter, relay):
        relay.go_on.clear()
        send = asyncio.ensure_future(adapter.send(delivery()))
        await relay.reached.wait()
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send
        relay.go_on.set()
        return await adapter.send(delivery()), relay.connections

    outcome, connections = run(scene)
    assert outcome.status is SUCCESSFUL
    assert connections == 2


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": ""}, "host"),
        ({"host": "a\r\nb"}, "host"),
        ({"port": 70000}, "port"),
        ({"security": "ssl"}, "security"),
        ({"username": "me"}, "password"),
        ({"username": "me", "password": "p4ss-w0rd", "security": "opportunistic"}, "security"),
        ({"from_address": "nobody"}, "from_address"),
        ({"return_path": "a@b\r\n"}, "return_path"),
        ({"connections": 0}, "connections"),
        ({"messages_per_connection": 0}, "messages_per_connection"),
        ({"idle_seconds": -1.0}, "idle_seconds"),
        ({"ca_file": "/no/such/file"}, "ca_file"),
        ({"local_hostname": "a b"}, "local_hostname"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as error:
        Smtp(**{"host": "relay.example", **settings})
    assert "p4ss-w0rd" not in str(error.value)


class SmtpPeer:
    """One relay and one adapter for the contract."""

    LOGIN = {"EHLO": "250-relay.example\r\n250 AUTH PLAIN", "AUTH": "235 2.7.0 Welcome"}
    ANSWERS = {
        Answer.ACCEPTS: {},
        Answer.RATE_LIMITS: {"RCPT": "450 4.7.1 Rate limit, see pa55-word"},
        Answer.FAILS: {"MAIL": "451 4.3.0 Local error"},
        Answer.STAYS_SILENT: {".": SILENT},
        Answer.HANGS_UP: {".": HANG_UP},
        Answer.REFUSES_RECIPIENT: {"RCPT": "553 5.1.3 Bad address <someone@example.org>"},
        Answer.GONE: {"RCPT": "550 5.1.1 <someone@example.org> User unknown"},
        Answer.UNKNOWN_CODE: {".": "599 5.9.9 Moon in the wrong phase"},
        Answer.GARBAGE: {".": "\x00\x01 <html>"},
        Answer.WAITS: {},
    }

    def __init__(self, relay, adapter):
        self.relay, self.adapter = relay, adapter
        self.reached, self.go_on = relay.reached, relay.go_on

    def delivery(self, *, timeout=20.0):
        return delivery(address="someone@example.org", timeout=timeout)

    def will(self, answer):
        self.relay.replies = {**self.LOGIN, **self.ANSWERS[answer]}
        self.reached.clear()
        if answer is Answer.WAITS:
            self.go_on.clear()

    async def stop_listening(self):
        await self.relay.stop()


class TestSmtp(AdapterContract):
    secrets = ("pa55-word",)

    @contextlib.asynccontextmanager
    async def peer(self):
        relay = Relay()
        await relay.start()
        adapter = smtp(relay.port, username="acme", password="pa55-word")
        try:
            peer = SmtpPeer(relay, adapter)
            peer.will(Answer.ACCEPTS)
            yield peer
        finally:
            await adapter.aclose()
            await relay.stop()


# With aiosmtpd: somebody else's reading of TLS, AUTH, SMTPUTF8 and of the bytes on the wire.


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder):
    """A certificate for 127.0.0.1 that signs itself: (file to trust it by, server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "both.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return str(folder / "ca.pem"), context


class Inbox:
    def __init__(self):
        self.envelopes = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 2.0.0 Kept"


def with_aiosmtpd(scene, *, server=None, tls=None, **settings):
    """What `scene(adapter, inbox)` gives."""

    async def go():
        inbox = Inbox()
        listening = await asyncio.get_running_loop().create_server(
            lambda: SMTP(inbox, hostname="relay.example", **(server or {})),
            "127.0.0.1",
            0,
            ssl=tls,
        )
        adapter = smtp(listening.sockets[0].getsockname()[1], **settings)
        try:
            return await scene(adapter, inbox)
        finally:
            await adapter.aclose()
            listening.close()

    return asyncio.run(go())


def through_aiosmtpd(message=None, *, address="jo@example.org", **parts):
    """The outcome, and the envelopes that aiosmtpd understood."""

    async def scene(adapter, inbox):
        return await adapter.send(delivery(message, address=address)), inbox.envelopes

    return with_aiosmtpd(scene, **parts)


def logins(server, session, envelope, mechanism, auth_data):
    right = auth_data == LoginPassword(b"acme", b"pa55-word")
    return AuthResult(success=right, handled=False)


@pytest.mark.parametrize(
    ("password", "status", "code", "fault"),
    [("pa55-word", SUCCESSFUL, 200, None), ("wrong-word", PERMANENT, 535, CREDENTIALS)],
)
def test_starttls_and_a_password(authority, password, status, code, fault):
    ca_file, context = authority
    outcome, _ = through_aiosmtpd(
        server={"tls_context": context, "require_starttls": True, "authenticator": logins},
        security="starttls",
        ca_file=ca_file,
        username="acme",
        password=password,
    )
    assert (outcome.status, outcome.status_code, outcome.fault) == (status, code, fault)


def test_tls_from_the_first_byte(authority):
    ca_file, context = authority
    outcome, envelopes = through_aiosmtpd(tls=context, security="tls", ca_file=ca_file)
    assert outcome.status is SUCCESSFUL
    assert envelopes[0].rcpt_tos == ["jo@example.org"]


def test_a_certificate_nobody_vouches_for_is_not_accepted_for_starttls(authority):
    _, context = authority
    outcome, envelopes = through_aiosmtpd(server={"tls_context": context}, security="starttls")
    assert (outcome.status, outcome.fault) == (TEMPORARY, PROVIDER)
    assert envelopes == []


def test_a_certificate_nobody_vouches_for_is_not_accepted_for_tls(authority):
    _, context = authority
    outcome, envelopes = through_aiosmtpd(tls=context, security="tls")
    assert (outcome.status, outcome.fault) == (TEMPORARY, PROVIDER)
    assert envelopes == []


def test_opportunistic_takes_any_certificate(authority):
    _, context = authority
    outcome, _ = through_aiosmtpd(
        server={"tls_context": context, "require_starttls": True}, security="opportunistic"
    )
    assert outcome.status is SUCCESSFUL


def test_starttls_is_not_done_without():
    outcome, envelopes = through_aiosmtpd(security="starttls")
    assert (outcome.status, outcome.fault) == (TEMPORARY, CREDENTIALS)
    assert envelopes == []


@pytest.mark.parametrize(
    ("offered", "status", "code", "recipients"),
    [(True, SUCCESSFUL, 200, [["jürgen@xn--bcher-kva.example"]]), (False, PERMANENT, 553, [])],
)
def test_a_local_part_in_another_script_needs_smtputf8(offered, status, code, recipients):
    outcome, envelopes = through_aiosmtpd(
        server={"enable_SMTPUTF8": offered}, address="jürgen@bücher.example"
    )
    assert (outcome.status, outcome.status_code) == (status, code)
    assert outcome.fault is (None if offered else RECIPIENT)
    assert [envelope.rcpt_tos for envelope in envelopes] == recipients


def test_a_raw_message_arrives_byte_for_byte():
    raw = (
        b"From: a@acme.example\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <own@acme.example>\r\nX-Odd:   kept \r\n\tas it is\r\n\r\n"
        b".hidden\r\n\r\n.\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    )
    outcome, envelopes = through_aiosmtpd(RawEmail(data=raw))
    assert outcome.message_id == "own@acme.example"
    assert envelopes[0].original_content == raw


def test_a_built_message_arrives_as_it_was_built():
    _, envelopes = through_aiosmtpd(email(text=Part(data=".\n.hidden\nGrüße\n")))
    parsed = message_from_bytes(envelopes[0].original_content, policy=policy.SMTP)
    assert envelopes[0].mail_from == "news@acme.example"
    assert parsed["From"] == "Acme <news@acme.example>"
    assert parsed["To"] == "jo@example.org"
    assert parsed["Subject"] == "Hello"
    assert parsed.get_content() == ".\r\n.hidden\r\nGrüße\r\n"


def test_a_long_html_part_passes_a_server_that_counts_line_lengths():
    html = "<p>" + "long " * 1000 + "ü</p>"
    outcome, _ = through_aiosmtpd(email(html=Part(data=html)))
    assert outcome.status is SUCCESSFUL
