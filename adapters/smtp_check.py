"""Whether a relay would take mail with the settings there are, in words for who can mend them."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiosmtplib

from adapters import smtp_pool
from adapters.smtp_options import Relay

_WRONG_NAME = {62, 64}  # OpenSSL: X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


async def wrong(relay: Relay, sender: str | None, seconds: float) -> str | None:
    """None if the relay lets us in, and takes `sender` as MAIL FROM if there is one. No message is
    sent. The text may quote the relay: `smtp_replies.shown` must have a look at it.
    """
    client = smtp_pool.client(relay)
    try:
        async with asyncio.timeout(seconds):
            await smtp_pool.open_client(client)
            return await _refusal(client, sender)
    except (aiosmtplib.SMTPException, OSError, ValueError) as trouble:
        # aiosmtplib wraps what it meets when it connects, and not what it meets in STARTTLS.
        beneath = trouble.__cause__
        if isinstance(trouble, aiosmtplib.SMTPConnectError) and isinstance(beneath, OSError):
            trouble = beneath
        return _words(trouble, relay, seconds)
    finally:
        smtp_pool.hang_up(client)


async def _refusal(client: aiosmtplib.SMTP, sender: str | None) -> str | None:
    if sender is None:
        return None
    if not sender.isascii() and not client.supports_extension("smtputf8"):
        return "The relay lacks SMTPUTF8: from_address or return_path must be ASCII before the @"
    utf8 = [] if sender.isascii() else [b"SMTPUTF8"]
    reply = await client.execute_command(b"MAIL", b"FROM:<%b>" % sender.encode(), *utf8)
    if 200 <= reply.code < 300:
        await client.execute_command(b"RSET")
        return None
    return (
        "The relay does not take mail from this from_address or return_path; have it allowed for "
        f"this account. It says: {reply.code} {reply.message}"
    )


def _words(trouble: Exception, relay: Relay, seconds: float) -> str:
    if isinstance(trouble, aiosmtplib.SMTPResponseException):
        return _reply_words(trouble, relay)
    if type(trouble) is aiosmtplib.SMTPException:
        return _missing_words(trouble, relay)
    if isinstance(trouble, ssl.SSLError):
        return _tls_words(trouble, relay)
    return _unreached_words(trouble, relay, seconds)


def _unreached_words(trouble: Exception, relay: Relay, seconds: float) -> str:
    where = f"{relay.host} port {relay.port}"
    if isinstance(trouble, socket.gaierror | UnicodeError):  # UnicodeError: no name at all
        return f"The host {relay.host} is not found: check host, and this machine's DNS"
    if isinstance(trouble, TimeoutError):
        return (
            f"No answer from {where} in {seconds:g} seconds: check host and port, whether a "
            "firewall is in between, and that security is tls if the port is for TLS (465)"
        )
    if isinstance(trouble, ConnectionRefusedError):
        return f"{where} refuses connections: check host and port, and whether the relay runs"
    if isinstance(trouble, ConnectionError):
        return (
            f"{where} closes the connection: check port and security (465: tls, 587: starttls), "
            "and whether the relay lets this machine in"
        )
    return f"{where} is not reached ({type(trouble).__name__}): check host and port"


def _tls_words(trouble: ssl.SSLError, relay: Relay) -> str:
    if not isinstance(trouble, ssl.SSLCertVerificationError):
        return (
            f"No TLS with {relay.host} port {relay.port} ({trouble.reason or 'failed'}): check "
            "port and security (465: tls, 587: starttls)"
        )
    if trouble.verify_code in _WRONG_NAME:
        return f"The relay's certificate is not for {relay.host}: host must be a name it has"
    return (
        f"The relay's certificate is not trusted ({trouble.verify_message}): give the authority "
        "that signed it as ca_file"
    )


def _reply_words(trouble: aiosmtplib.SMTPResponseException, relay: Relay) -> str:
    if not 200 <= trouble.code < 600:
        return f"{relay.host} port {relay.port} does not speak SMTP: check host and port"
    said = f"It says: {trouble.code} {trouble.message}"
    if not isinstance(trouble, aiosmtplib.SMTPAuthenticationError):
        return f"The relay turns this machine away. {said}"
    if trouble.code < 500:
        return f"The relay can not check the password now; try again later. {said}"
    return f"The relay does not accept username and password. {said}"


def _missing_words(trouble: aiosmtplib.SMTPException, relay: Relay) -> str:
    """What the library itself misses in the relay's EHLO."""
    if "STARTTLS extension" in trouble.message:
        return (
            f"{relay.host} port {relay.port} offers no STARTTLS: set security to tls and port to "
            "465, or security to none on a network of your own"
        )
    if "AUTH" in trouble.message or "authentication" in trouble.message:
        return (
            "The relay offers no way to log in that this adapter knows (CRAM-MD5, PLAIN, LOGIN): "
            "check port and security, or leave username and password out"
        )
    return f"The relay is not reached: {trouble.message}"
