"""The relay's double refuses what a relay refuses."""

import asyncio
import base64

import pytest

from adapters.doubles import smtp

LOGIN = base64.b64encode(f"\0{smtp.USERNAME}\0{smtp.PASSWORD}".encode()).decode()
READY = ["EHLO a", f"AUTH PLAIN {LOGIN}"]
NAMED = [*READY, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>"]


def last_reply(*lines):
    """The reply to the last of the lines, without its text."""

    async def run():
        async with smtp.SmtpDouble() as double:
            reader, writer = await asyncio.open_connection(double.host, double.port)
            await reader.readline()
            reply = b""
            for line in lines:
                writer.write(line.encode() + b"\r\n")
                reply = await reader.readline()
                while reply[3:4] == b"-":
                    reply = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return reply.decode().split(" ", 2)[:2], double.taken

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([*READY, "MAIL FROM:<>"], ["250", "2.1.0"]),
        (["EHLO a", "MAIL FROM:<a@example.com>"], ["530", "5.7.0"]),
        (["EHLO a", "AUTH PLAIN AGEAYg=="], ["535", "5.7.8"]),
        (["EHLO a", "AUTH PLAIN ?"], ["501", "5.5.4"]),
        (["EHLO a", "AUTH LOGIN"], ["504", "5.5.4"]),
        ([*READY, "RCPT TO:<b@example.com>"], ["503", "5.5.1"]),
        ([*READY, "DATA"], ["503", "5.5.1"]),
        ([*READY, "MAIL FROM:a@example.com"], ["501", "5.5.4"]),
        ([*READY, "MAIL FROM:<a@example.com> SIZE=99999999"], ["552", "5.3.4"]),
        ([*NAMED[:3], "RCPT TO:<nobody>"], ["501", "5.5.4"]),
        ([*NAMED, "MAIL FROM:<c@example.com>"], ["503", "5.5.1"]),
        ([*NAMED, "NOOP", "DATA"], ["354", "Go"]),
        ([*NAMED, "RSET", "DATA"], ["503", "5.5.1"]),
        (["VRFY b"], ["500", "5.5.2"]),
        (["QUIT"], ["221", "2.0.0"]),
        ([*NAMED, "DATA", "Subject: Hi\r\n\r\nHo\nHo\r\n."], ["550", "5.6.11"]),
        ([*NAMED, "DATA", f"{999 * 'x'}\r\n."], ["550", "5.6.0"]),
    ],
)
def test_a_relays_rules(lines, reply):
    assert last_reply(*lines)[0] == reply


def test_what_is_taken_has_its_envelope_and_lost_the_dots():
    reply, taken = last_reply(*NAMED, "DATA", "Subject: Hi\r\n\r\n..\r\n.")
    assert reply == ["250", "2.0.0"]
    assert taken == [
        smtp.Mail(
            sender="a@example.com",
            recipients=("b@example.com",),
            content=b"Subject: Hi\r\n\r\n.\r\n",
        )
    ]
