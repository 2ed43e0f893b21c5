"""What the settings of `adapters.smtp` may be. Whatever is wrong is a ValueError that names the
setting, and quotes no secret."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from adapters import mime

Security = Literal["starttls", "tls", "opportunistic", "none"]
Dsn = Literal["never", "failure", "success,failure"]

_PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "opportunistic": 25, "none": 25}
_DSN = ("never", "failure", "success,failure")
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where the relay is, and how to talk to it. `tls` is None if nothing is encrypted."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    security: Security
    local_hostname: str
    tls: ssl.SSLContext | None

    @property
    def secrets(self) -> Sequence[str]:
        """What must not be shown: the password, and the forms in which AUTH sends it."""
        if not self.password:
            return ()
        sent = (self.password, f"\0{self.username}\0{self.password}")
        return (self.password, *(base64.b64encode(one.encode()).decode() for one in sent))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPath:
    """Where bounces go. With `verp` each message has an address of its own there, from which a
    reader of that mailbox knows the message: `bounces+<its id, 32 hex digits>@domain`."""

    address: str
    verp: bool

    def of(self, delivery_id: str) -> str:
        """The MAIL FROM for one message."""
        local, _, domain = self.address.rpartition("@")
        return f"{local}+{delivery_id.replace('-', '')}@{domain}" if self.verp else self.address


def relay(
    *,
    host: str,
    port: int | None,
    username: str | None,
    password: str | None,
    security: Security,
    ca_file: str | None,
    local_hostname: str | None,
) -> Relay:
    """The settings of the connection, checked, with the TLS context made."""
    if not re.fullmatch(r"[!-~]+", host):
        raise ValueError("host must be a host name or an IP address")
    if security not in _PORTS:
        raise ValueError(f"security must be one of {', '.join(_PORTS)}")
    if port is not None and not 0 < port < 65536:
        raise ValueError("port must be between 1 and 65535")
    if (username is None) is not (password is None):
        raise ValueError("username and password go together")
    if password is not None and security == "opportunistic":
        raise ValueError("security must not be opportunistic with a password: use starttls or tls")
    if local_hostname is not None and not re.fullmatch(r"[!-~]+", local_hostname):
        raise ValueError("local_hostname must be a host name or an IP address in brackets")
    return Relay(
        host=host,
        port=port or _PORTS[security],
        username=username,
        password=password,
        security=security,
        local_hostname=local_hostname or socket.gethostname(),
        # Made once: a context costs ten times what a handshake does.
        tls=None if security == "none" else _tls(security, ca_file),
    )


def return_path(address: str | None, *, verp: bool) -> ReturnPath | None:
    if address is None:
        if verp:
            raise ValueError("verp needs a return_path to make its addresses of")
        return None
    checked = ReturnPath(address=mailbox("return_path", address), verp=verp)
    local = checked.of("0" * 32).rpartition("@")[0]
    if verp and (len(local.encode()) > _LONGEST_LOCAL or local.startswith('"')):
        raise ValueError("return_path must have no more than 31 octets before its @ with verp")
    return checked


def mailbox(setting: str, value: str) -> str:
    """The addr-spec of a setting that is an address, perhaps with a display name."""
    try:
        return mime.mailbox(value)[1]
    except ValueError as error:
        raise ValueError(f"{setting} is {error}") from None


def dsn(value: Dsn | None) -> Dsn | None:
    if value is not None and value not in _DSN:
        raise ValueError(f"dsn must be {' or '.join(_DSN)}")
    return value


def check_pool(connections: int, messages_per_connection: int, idle_seconds: float) -> None:
    if connections < 1:
        raise ValueError("connections must be at least 1")
    if messages_per_connection < 1:
        raise ValueError("messages_per_connection must be at least 1")
    if idle_seconds < 0:
        raise ValueError("idle_seconds must not be negative")


def _tls(security: Security, ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"ca_file can not be read: {error.strerror or 'not PEM'}") from None
    if security == "opportunistic":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
