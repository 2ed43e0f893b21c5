"""What texts and calls through Twilio are tested with alike: scenes with a double, and the contract
as Twilio keeps it."""

import asyncio
import contextlib
import itertools

from adapters.contract import DeliveryStatus, Fault
from adapters.doubles import twilio
from adapters.doubles.stage import Answer as Said
from tests.adapters.peers import DoublePeer, closing
from tests.contracts.adapter import AdapterContract, Answer

TO = "+14255550199"
FROM = "+14255550100"

SAID = {
    Answer.RATE_LIMITS: twilio.refusal(
        20429, f"Too many from {twilio.AUTH_TOKEN}", status=429, headers={"Retry-After": "3600"}
    ),
    Answer.FAILS: twilio.refusal(20500, "Internal server error", status=500),
    Answer.REFUSES_RECIPIENT: twilio.refusal(21614, "not a mobile number"),
    Answer.UNKNOWN_CODE: twilio.refusal(29999, "news"),
}


class Scenes:
    """Scenes of the adapter that `build` makes for a URL and settings, with what `delivery` makes
    of a message."""

    def __init__(self, build, delivery):
        self._build, self._delivery = build, delivery

    def play(self, scene, **settings):
        async def go():
            async with (
                twilio.TwilioDouble() as double,
                closing(self._build(double.url, **settings)) as adapter,
            ):
                return await scene(adapter, double)

        return asyncio.run(go())

    def sent(self, message=None, *, to=TO, **settings):
        """The fields of the request that a message makes."""

        async def scene(adapter, double):
            outcome = await adapter.send(self._delivery(message, to=to))
            assert outcome.status is DeliveryStatus.SUCCESSFUL, outcome
            ((_, _, fields),) = double.requests
            return fields

        return self.play(scene, **settings)

    def outcome_of(self, said, message=None, **settings):
        """What a message comes to with this answer to its one request."""

        async def scene(adapter, double):
            double.script.standing = said
            return await adapter.send(self._delivery(message)), len(double.requests)

        outcome, requests = self.play(scene, **settings)
        assert requests == 1
        return outcome

    @contextlib.asynccontextmanager
    async def peer(self, *, gone: Said):
        """The contract's peer; `gone` is the answer to a number that will never be reached."""
        numbers = itertools.count(14255550100)

        def delivery(*, timeout=20.0):
            return self._delivery(to=f"+{next(numbers)}", timeout=timeout)

        async with (
            twilio.TwilioDouble() as double,
            closing(self._build(double.url)) as adapter,
        ):
            yield DoublePeer(adapter, double, delivery, {**SAID, Answer.GONE: gone})


class TwilioContract(AdapterContract):
    secrets = (twilio.AUTH_TOKEN,)
    retry_after = 3600.0

    def test_a_failing_provider_is_temporary(self):
        """Not here: Twilio may have sent what it failed at, and can not recognise a repetition."""
        outcome = self.answer_to(Answer.FAILS)
        assert outcome.status is DeliveryStatus.UNKNOWN_FAILURE
        assert (outcome.fault, outcome.indeterminate) == (Fault.PROVIDER, True)
