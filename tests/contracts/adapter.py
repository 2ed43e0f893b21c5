"""What every adapter must do, as a test class to inherit.

A test of an adapter supplies a `Peer`: a real server on loopback that plays its provider, and

    class TestTelegram(AdapterContract):
        secrets = ("the-bot-token",)

        def peer(self):
            return telegram_peer()      # an async context manager that yields a Peer

The peer runs on the loop that the adapter runs on, so an adapter that blocks the loop never gets
its answer.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Protocol

import pytest

from adapters.contract import Adapter, Delivery, DeliveryStatus, Fault, Outcome


class Answer(enum.Enum):
    """What a provider can do with a request it has read."""

    ACCEPTS = "takes the message"
    RATE_LIMITS = "asks for fewer"
    FAILS = "fails on its side"
    STAYS_SILENT = "never answers"
    HANGS_UP = "closes the connection instead of an answer"
    REFUSES_RECIPIENT = "knows no such recipient"
    GONE = "says that the recipient has gone or unsubscribed"
    UNKNOWN_CODE = "refuses with a code of no table"
    GARBAGE = "answers what no client can read"
    WAITS = "answers ACCEPTS when `Peer.go_on` is set"


class Peer(Protocol):
    """The provider's part. `reached` is set when a request has been read whole."""

    adapter: Adapter
    reached: asyncio.Event
    go_on: asyncio.Event

    def delivery(self, *, timeout: float = 20.0) -> Delivery:
        """A message the adapter can send, with an id of its own."""

    def will(self, answer: Answer) -> None:
        """Play this for every request from now on."""

    async def stop_listening(self) -> None:
        """Refuse connections from now on, and close those there are."""


class AdapterContract:
    secrets: ClassVar[tuple[str, ...]] = ()
    accepted_code: ClassVar[int] = 200
    retry_after: ClassVar[float | None] = None
    gone: ClassVar[DeliveryStatus] = DeliveryStatus.PERMANENT_FAILURE
    unknown_code: ClassVar[DeliveryStatus] = DeliveryStatus.PERMANENT_FAILURE

    def peer(self) -> AbstractAsyncContextManager[Peer]:
        raise NotImplementedError

    def play(self, scene: Callable[[Peer], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            async with self.peer() as peer:
                return await scene(peer)

        return asyncio.run(run())

    def answer_to(self, answer: Answer, *, timeout: float = 20.0) -> Outcome:
        """The outcome of one send. A send before it has opened the connection."""

        async def scene(peer: Peer) -> Outcome:
            await peer.adapter.send(peer.delivery())
            peer.will(answer)
            return await peer.adapter.send(peer.delivery(timeout=timeout))

        return self.play(scene)

    def test_what_is_accepted_keeps_the_providers_id_and_code(self):
        outcome = self.answer_to(Answer.ACCEPTS)
        assert outcome.status is DeliveryStatus.SUCCESSFUL
        assert outcome.status_code == self.accepted_code
        assert outcome.message_id
        assert (outcome.fault, outcome.indeterminate) == (None, False)

    def test_a_rate_limit_is_throttled(self):
        outcome = self.answer_to(Answer.RATE_LIMITS)
        assert outcome.status is DeliveryStatus.THROTTLED
        assert outcome.retry_after == self.retry_after

    def test_a_refused_connection_is_temporary(self):
        async def scene(peer: Peer) -> Outcome:
            await peer.stop_listening()
            return await peer.adapter.send(peer.delivery())

        outcome = self.play(scene)
        assert outcome.status is DeliveryStatus.TEMPORARY_FAILURE
        assert (outcome.fault, outcome.indeterminate) == (Fault.PROVIDER, False)

    def test_a_failing_provider_is_temporary(self):
        outcome = self.answer_to(Answer.FAILS)
        assert outcome.status is DeliveryStatus.TEMPORARY_FAILURE
        assert (outcome.fault, outcome.indeterminate) == (Fault.PROVIDER, False)

    @pytest.mark.parametrize("answer", [Answer.STAYS_SILENT, Answer.HANGS_UP], ids=lambda a: a.name)
    def test_no_answer_to_what_was_read_is_indeterminate(self, answer):
        outcome = self.answer_to(answer, timeout=1.0)
        assert outcome.status is DeliveryStatus.UNKNOWN_FAILURE
        assert outcome.indeterminate

    def test_a_bad_recipient_is_permanent(self):
        outcome = self.answer_to(Answer.REFUSES_RECIPIENT)
        assert outcome.status is DeliveryStatus.PERMANENT_FAILURE

    def test_a_recipient_who_has_gone(self):
        assert self.answer_to(Answer.GONE).status is self.gone

    def test_a_code_of_no_table_falls_by_its_class(self):
        assert self.answer_to(Answer.UNKNOWN_CODE).status is self.unknown_code

    def test_an_answer_nobody_can_read_is_unknown(self):
        assert self.answer_to(Answer.GARBAGE).status is DeliveryStatus.UNKNOWN_FAILURE

    def test_fifty_sends_at_once_give_fifty_outcomes(self):
        async def scene(peer: Peer) -> list[Outcome]:
            sends = (peer.adapter.send(peer.delivery()) for _ in range(50))
            return await asyncio.gather(*sends)

        outcomes = self.play(scene)
        assert [outcome.status for outcome in outcomes] == [DeliveryStatus.SUCCESSFUL] * 50
        assert len({outcome.message_id for outcome in outcomes}) == 50

    def test_the_send_after_a_timeout_works(self):
        async def scene(peer: Peer) -> Outcome:
            peer.will(Answer.STAYS_SILENT)
            await peer.adapter.send(peer.delivery(timeout=0.2))
            peer.will(Answer.ACCEPTS)
            return await peer.adapter.send(peer.delivery())

        assert self.play(scene).status is DeliveryStatus.SUCCESSFUL

    def test_the_send_after_a_cancelled_one_works(self):
        async def scene(peer: Peer) -> Outcome:
            peer.will(Answer.STAYS_SILENT)
            send = asyncio.ensure_future(peer.adapter.send(peer.delivery()))
            await peer.reached.wait()
            send.cancel()
            with pytest.raises(asyncio.CancelledError):
                await send
            peer.will(Answer.ACCEPTS)
            return await peer.adapter.send(peer.delivery())

        assert self.play(scene).status is DeliveryStatus.SUCCESSFUL

    def test_no_secret_and_no_address_is_shown_anywhere(self, caplog):
        async def scene(peer: Peer) -> str:
            shown = [repr(peer.adapter), str(peer.adapter)]
            addresses = []
            for answer in Answer:
                if answer is not Answer.WAITS:
                    peer.will(answer)
                    delivery = peer.delivery(timeout=0.5)
                    addresses.append(delivery.address)
                    shown.append(repr(await peer.adapter.send(delivery)))
            text = "\n".join((*shown, caplog.text))
            return [hidden for hidden in (*self.secrets, *addresses) if hidden in text]

        with caplog.at_level(logging.DEBUG):
            assert self.play(scene) == []

    def test_closing_twice_is_fine(self):
        async def scene(peer: Peer) -> Outcome:
            await peer.adapter.send(peer.delivery())
            await peer.adapter.aclose()
            await peer.adapter.aclose()
            return await peer.adapter.send(peer.delivery())

        assert self.play(scene).status is DeliveryStatus.TEMPORARY_FAILURE

    def test_closing_while_a_send_is_in_flight_gives_it_an_outcome(self):
        async def scene(peer: Peer) -> Outcome:
            peer.will(Answer.WAITS)
            send = asyncio.ensure_future(peer.adapter.send(peer.delivery()))
            await peer.reached.wait()
            await peer.adapter.aclose()
            peer.go_on.set()
            return await send

        outcome = self.play(scene)
        assert outcome.status is DeliveryStatus.SUCCESSFUL or outcome.indeterminate

    def test_the_loop_runs_on_while_a_provider_takes_its_time(self):
        async def scene(peer: Peer) -> tuple[bool, Outcome]:
            peer.will(Answer.WAITS)
            send = asyncio.ensure_future(peer.adapter.send(peer.delivery()))
            await peer.reached.wait()
            for _ in range(100):  # turns of the loop, not time: a slow machine is no failure
                await asyncio.sleep(0)
            waited = not send.done()
            peer.go_on.set()
            return waited, await send

        waited, outcome = self.play(scene)
        assert waited
        assert outcome.status is DeliveryStatus.SUCCESSFUL

    def test_the_providers_wish_to_wait_is_told_and_not_slept(self):
        async def scene(peer: Peer) -> Outcome:
            peer.will(Answer.RATE_LIMITS)
            return await asyncio.wait_for(peer.adapter.send(peer.delivery()), timeout=20.0)

        assert self.play(scene).status is DeliveryStatus.THROTTLED
