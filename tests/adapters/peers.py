"""The contract's peer, played by one of `adapters.doubles` that has a script."""

import asyncio
import contextlib
import functools

from adapters.doubles import stage
from tests.contracts.adapter import Answer

# What a caller may send, and no writer of JSON can write.
DEEP = functools.reduce(lambda inner, _: {"a": inner}, range(5000), {})


class DoublePeer:
    """`said` is what the provider answers where that is not the same for all of them."""

    def __init__(self, adapter, double, delivery, said):
        self.adapter, self.delivery = adapter, delivery
        self.reached, self.go_on = double.reached, asyncio.Event()
        self._double, self._said = double, said

    def will(self, answer):
        self.reached.clear()
        self.go_on.clear()
        plays = {
            Answer.ACCEPTS: stage.Answer(),
            Answer.STAYS_SILENT: stage.Answer(after=asyncio.Event()),
            Answer.HANGS_UP: stage.Answer(raw=b""),
            Answer.GARBAGE: stage.Answer(raw=b"\x00\x01 what?\r\n\r\n"),
            Answer.WAITS: stage.Answer(after=self.go_on),
            **self._said,
        }
        self._double.script.standing = plays[answer]

    async def stop_listening(self):
        await self._double.stop()


@contextlib.asynccontextmanager
async def closing(adapter):
    try:
        yield adapter
    finally:
        await adapter.aclose()
