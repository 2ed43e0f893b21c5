"""Email through an SMTP relay (RFC 5321), over connections that are kept and used again. What the
relay's replies mean is in `adapters.smtp_replies`."""

from __future__ import annotations

import asyncio
import dataclasses

from adapters import (
    dkim,
    smtp_check,
    smtp_letter,
    smtp_options,
    smtp_replies,
    smtp_transaction,
    unsubscribe,
)
from adapters.contract import Delivery, Outcome, temporary
from adapters.smtp_letter import Letter
from adapters.smtp_options import Dsn, Security
from adapters.smtp_pool import Connection, Pool
from adapters.smtp_transaction import Carried


class Smtp:
    """Hands email to one relay.

    `security` is `starttls` (refuses to go on without), `tls` (from the first byte),
    `opportunistic` (STARTTLS if offered, certificate not checked) or `none`; `port` follows it:
    587, 465, 25, 25. A password never goes over `opportunistic`: whoever sits in between could
    have it in the clear. `ca_file` is a PEM file of the authorities to trust, not the system's.
    `from_address` (a display name is fine) is for messages without a sender of their own.
    `local_hostname` is what EHLO says.

    At most `connections` are open at a time; each carries `messages_per_connection` messages, and
    is closed after `idle_seconds` without one.

    `return_path` gets the bounces, with `verp` at an address for each message. `dsn` is what a
    relay that can is asked to report. The three `dkim_*` sign every message;
    `unsubscribe_url` and `unsubscribe_mailto` are for the mail program's Unsubscribe button, unless
    a message has List-Unsubscribe already. ValueError names the setting that is wrong.
    """

    def __init__(  # noqa: PLR0913  # the keywords are the configuration
        self,
        *,
        host: str,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        security: Security = "starttls",
        from_address: str | None = None,
        return_path: str | None = None,
        verp: bool = False,
        dsn: Dsn | None = None,
        dkim_domain: str | None = None,
        dkim_selector: str | None = None,
        dkim_private_key: str | None = None,
        unsubscribe_url: str | None = None,
        unsubscribe_mailto: str | None = None,
        connections: int = 10,
        messages_per_connection: int = 100,
        idle_seconds: float = 30.0,
        ca_file: str | None = None,
        local_hostname: str | None = None,
    ) -> None:
        self._relay = smtp_options.relay(
            host=host,
            port=port,
            username=username,
            password=password,
            security=security,
            ca_file=ca_file,
            local_hostname=local_hostname,
        )
        if from_address is not None:
            smtp_options.mailbox("from_address", from_address)
        self._stationery = smtp_letter.Stationery(
            from_address=from_address,
            return_path=smtp_options.return_path(return_path, verp=verp),
            dsn=smtp_options.dsn(dsn),
            unsubscribe=unsubscribe.unsubscribe(unsubscribe_url, unsubscribe_mailto),
            signer=_signer(dkim_domain, dkim_selector, dkim_private_key),
        )
        self.sender = from_address
        smtp_options.check_pool(connections, messages_per_connection, idle_seconds)
        self._pool = Pool(
            self._relay,
            connections=connections,
            messages=messages_per_connection,
            idle_seconds=idle_seconds,
        )

    async def send(self, delivery: Delivery) -> Outcome:
        """One message to one recipient, within `delivery.timeout` seconds.

        Until the content has left, what a fresh connection may cure (a kept one that had died, a
        421, a server out of step) is tried once more on a fresh connection.
        """
        deadline = asyncio.get_running_loop().time() + delivery.timeout
        letter = await smtp_letter.write(delivery, self._stationery)
        outcome = letter if isinstance(letter, Outcome) else await self._send(letter, deadline)
        shown = self._shown(outcome.status_message, delivery.address)
        if shown == outcome.status_message:
            return outcome
        return dataclasses.replace(outcome, status_message=shown)

    async def check(self, timeout: float) -> str | None:  # noqa: ASYNC109  # seconds for the whole
        """Connect, log in, offer the sender and leave, on a connection of its own; no message is
        sent. One line on what is wrong and what to do about it, or None."""
        path, sender = self._stationery.return_path, self._stationery.from_address
        if path is not None:
            sender = path.address
        elif sender is not None:
            sender = smtp_options.mailbox("from_address", sender)
        wrong = await smtp_check.wrong(self._relay, sender, timeout)
        return wrong and self._shown(wrong, "")

    async def aclose(self) -> None:
        """Close what is idle; sends in flight end as they will, and close theirs."""
        self._pool.close()
        await asyncio.sleep(0)  # the sockets close in the loop's next turn

    async def _send(self, letter: Letter, deadline: float) -> Outcome:
        try:
            async with asyncio.timeout_at(deadline):
                await self._pool.free.acquire()
        except TimeoutError:
            return temporary(503, "No connection to the relay was free in time")
        try:
            if self._pool.closed:
                return temporary(503, "The adapter is closed")
            carried = await self._attempt(letter, deadline, self._pool.take())
            if carried.again:
                carried = await self._attempt(letter, deadline, self._pool.new())
            return carried.outcome
        finally:
            self._pool.free.release()

    async def _attempt(self, letter: Letter, deadline: float, connection: Connection) -> Carried:
        keep = False
        try:
            carried = await smtp_transaction.carry(connection, letter, deadline)
            keep = carried.keep
            return carried
        finally:
            self._pool.settle(connection, keep=keep)

    def _shown(self, text: str, address: str) -> str:
        return smtp_replies.shown(text, address, self._relay.secrets)


def _signer(domain: str | None, selector: str | None, key: str | None) -> dkim.Signer | None:
    if domain is None and selector is None and key is None:
        return None
    if domain is None or selector is None or key is None:
        raise ValueError("dkim_domain, dkim_selector and dkim_private_key go together")
    return dkim.signer(domain=domain, selector=selector, private_key=key)
