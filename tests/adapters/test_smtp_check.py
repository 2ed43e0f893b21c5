"""Smtp.check: one line on what is wrong, against real relays."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.adapters import test_smtp
from tests.adapters.test_smtp import HANG_UP, SILENT

LOGIN = {"username": "acme", "password": "pa55-word"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return test_smtp.self_signed(tmp_path_factory.mktemp("tls"))


def checked(*, replies=None, timeout=5.0, **settings):
    async def scene(adapter, relay):
        relay.replies = replies or {}
        return await adapter.check(timeout), relay.commands

    return test_smtp.run(scene, **settings)


def checked_by_aiosmtpd(*, timeout=5.0, **parts):
    async def scene(adapter, inbox):
        return await adapter.check(timeout), inbox.envelopes

    said, envelopes = test_smtp.with_aiosmtpd(scene, **parts)
    assert envelopes == []
    return said


@pytest.mark.parametrize(
    ("settings", "commands"),
    [
        ({}, ["EHLO client.example", "MAIL FROM:<news@acme.example>", "RSET"]),
        ({"from_address": None}, ["EHLO client.example"]),
        (
            {"return_path": "b@acme.example", "verp": True},
            ["EHLO client.example", "MAIL FROM:<b@acme.example>", "RSET"],
        ),
    ],
)
def test_a_relay_that_works_is_asked_and_left_as_it_was(settings, commands):
    async def scene(adapter, relay):
        said = await adapter.check(5.0)
        await relay.left.wait()
        return said, relay.commands

    assert test_smtp.run(scene, **settings) == (None, [*commands, "QUIT"])


def test_starttls_and_a_password_work(authority):
    ca_file, context = authority
    server = {"tls_context": context, "require_starttls": True, "authenticator": test_smtp.logins}
    settings = {"security": "starttls", "ca_file": ca_file}
    assert checked_by_aiosmtpd(server=server, **settings, **LOGIN) is None


def test_a_wrong_password(authority):
    ca_file, context = authority
    said = checked_by_aiosmtpd(
        server={"tls_context": context, "authenticator": test_smtp.logins},
        security="starttls",
        ca_file=ca_file,
        username="acme",
        password="wrong-word",
    )
    assert said == (
        "The relay does not accept username and password. It says: 535 5.7.8 Authentication "
        "credentials invalid"
    )


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_nobody_vouches_for(authority, security):
    _, context = authority
    direct = security == "tls"
    said = checked_by_aiosmtpd(
        tls=context if direct else None,
        server=None if direct else {"tls_context": context},
        security=security,
    )
    assert said == (
        "The relay's certificate is not trusted (self-signed certificate): give the authority "
        "that signed it as ca_file"
    )


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_of_another_name(authority, security):
    ca_file, context = authority
    direct = security == "tls"
    said = checked_by_aiosmtpd(
        tls=context if direct else None,
        server=None if direct else {"tls_context": context},
        security=security,
        ca_file=ca_file,
        host="localhost",
    )
    assert said == "The relay's certificate is not for localhost: host must be a name it has"


@pytest.mark.parametrize(
    ("settings", "replies", "words"),
    [
        ({"security": "starttls"}, {}, "offers no STARTTLS: set security to tls and port to 465"),
        ({"security": "tls"}, {}, "No TLS with 127.0.0.1 port "),
        (LOGIN, {}, "The relay offers no way to log in that this adapter knows"),
        (
            LOGIN,
            {"EHLO": "250-relay.example\r\n250 AUTH GSSAPI"},
            "The relay offers no way to log in that this adapter knows",
        ),
        (
            LOGIN,
            {"EHLO": "250-r\r\n250 AUTH PLAIN", "AUTH": "454 4.7.0 Directory is down"},
            "The relay can not check the password now; try again later. It says: 454 4.7.0 Dir",
        ),
        (
            {},
            {"MAIL": "550 5.7.1 <news@acme.example> is not yours"},
            "have it allowed for this account. It says: 550 5.7.1 <***> is not yours",
        ),
        ({"from_address": "jürgen@b.example"}, {}, "The relay lacks SMTPUTF8: from_address or"),
        (
            {},
            {"CONNECT": "554 5.7.1 Not from there"},
            "The relay turns this machine away. It says: 554 5.7.1 Not from there",
        ),
        ({}, {"CONNECT": "SSH-2.0-OpenSSH_9.6"}, "does not speak SMTP: check host and port"),
        ({}, {"CONNECT": HANG_UP}, "closes the connection: check port and security"),
        ({}, {"MAIL": HANG_UP}, "closes the connection: check port and security"),
    ],
)
def test_what_is_wrong_is_said(settings, replies, words):
    said, _ = checked(replies=replies, **settings)
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL"])
def test_a_relay_that_does_not_answer(stage):
    said, _ = checked(replies={stage: SILENT}, timeout=0.2)
    assert "No answer from 127.0.0.1 port " in said
    assert "in 0.2 seconds" in said


def test_a_relay_that_does_not_listen():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        said = asyncio.run(test_smtp.smtp(port).check(5.0))
    assert said == (
        f"127.0.0.1 port {port} refuses connections: check host and port, and whether the relay "
        "runs"
    )


def test_a_host_that_is_not_found(monkeypatch):
    def nobody(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)  # a name server would be another network
    said = asyncio.run(test_smtp.smtp(25, host="relay.example").check(5.0))
    assert said == "The host relay.example is not found: check host, and this machine's DNS"


def test_a_host_that_is_no_name():
    said = asyncio.run(test_smtp.smtp(25, host="relay..example").check(5.0))
    assert said == "The host relay..example is not found: check host, and this machine's DNS"


def test_no_secret_is_told():
    replies = {
        "EHLO": "250-relay.example\r\n250 AUTH PLAIN",
        "AUTH": "535 5.7.8 pa55-word is not the password",
    }
    said, _ = checked(replies=replies, **LOGIN)
    assert said.endswith("It says: 535 5.7.8 *** is not the password")
