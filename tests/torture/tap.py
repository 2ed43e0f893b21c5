"""A tap on a wire: a proxy that follows what is said, and loses a process at a word.

The process does not take part. What it says is held here until it is dead, or is let pass, so that
the step at which it dies is the same each time, however fast the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture import proxy
from tests.torture.speech import CONNECT, Said, Speech

_READ_WITHIN = 10.0  # seconds

Strike = Callable[[], object]
"""What is done at a word. If it says true, the talk goes on, from that word."""


class Moment(enum.Enum):
    """Where on the way of a question and its answer."""

    ASKED = "asked: nobody has heard it"
    HALF_ASKED = "half asked: the half of it was read"
    ANSWERED = "answered: it was done, and the answer is lost"
    HALF_ANSWERED = "half answered: the half of the answer was read"


@dataclass(frozen=True, slots=True)
class Word:
    """What is waited for: a question with these words (a regular expression), at a moment; of the
    answer it may be asked, too, what is in it."""

    moment: Moment
    words: str
    holding: bytes = b""

    @property
    def half(self) -> bool:
        return self.moment in {Moment.HALF_ASKED, Moment.HALF_ANSWERED}

    def is_this(self, said: Said, *, asked: bool) -> bool:
        return (
            asked is (self.moment in {Moment.ASKED, Moment.HALF_ASKED})
            and re.search(self.words, said.words, re.DOTALL) is not None
            and self.holding in said.data
        )


class Tap(proxy.Proxy):
    """On the way to a port. Armed, it calls `strike` once, at the word; unless that says otherwise,
    nothing that was said from the word on gets any further on that connection, but the half if it
    is to be half said."""

    def __init__(self, upstream: int, speaks: Callable[[], Speech]) -> None:
        super().__init__(upstream)
        self._speaks = speaks
        self._talks: weakref.WeakKeyDictionary[Any, Speech] = weakref.WeakKeyDictionary()
        self._armed: tuple[Word, Strike] | None = None
        self._lock = threading.Lock()
        self._striking: asyncio.Task[None] | None = None
        self.struck = threading.Event()
        self.heard: list[str] | None = None
        """What is asked, for who wants to know what there is to wait for."""

    def arm(self, word: Word, strike: Strike) -> None:
        """Strike at the next such word. `struck` is set when that is done."""
        self.struck.clear()
        with self._lock:
            self._armed = word, strike

    def disarm(self) -> None:
        with self._lock:
            self._armed = None

    def opened(self, end: Any) -> None:
        self._talks[end] = self._speaks()
        if (armed := self._due(Said(CONNECT, b""), asked=True)) is not None:
            self._talks[end] = _Silence()
            self._strike(armed[1])

    def hear(self, end: Any, data: bytes) -> bytes:
        talk = self._talks[end if end.up else end.other]
        on = b""
        for said in (talk.ask if end.up else talk.answer)(data):
            if self.heard is not None and end.up:
                self.heard.append(said.words)
            if (armed := self._due(said, asked=end.up)) is None:
                on += said.data
                continue
            word, strike = armed
            if not word.half and self._strike(strike):
                on += said.data
                continue
            self._talks[end if end.up else end.other] = _Silence()
            if word.half:
                half = said.data[: len(said.data) // 2]
                going = self._halfway(end, on + half, strike)
                self._striking = asyncio.get_running_loop().create_task(going)
                return b""
            break
        return on

    def _due(self, said: Said, *, asked: bool) -> tuple[Word, Strike] | None:
        """The word and what is to be done at it, if this is it."""
        with self._lock:
            armed = self._armed
            if armed is None or not armed[0].is_this(said, asked=asked):
                return None
            self._armed = None
            return armed

    async def _halfway(self, end: Any, data: bytes, strike: Strike) -> None:
        end.forward(data)
        give_up = time.monotonic() + _READ_WITHIN
        while not _was_read(end.other) and time.monotonic() < give_up:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
        self._strike(strike)

    def _strike(self, strike: Strike) -> object:
        goes_on = strike()
        self.struck.set()
        return goes_on


class _Silence:
    """What is said on a connection on which nothing is to be heard any more."""

    def ask(self, data: bytes) -> Iterator[Said]:
        return iter(())

    answer = ask


def _was_read(end: Any) -> bool:
    """Whether the peer has read all that was sent to it, as the system says."""
    if end is None or end.transport is None:
        return False  # not connected yet
    here, there = (end.transport.get_extra_info(name) for name in ("sockname", "peername"))
    if there is None or end.transport.get_write_buffer_size():
        return there is None
    theirs = f"{there[1]:04X}", f"{here[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local[-4:], remote[-4:]) == theirs:
            return queues.endswith(":00000000")
    return True  # it is gone


@contextlib.contextmanager
def tapping() -> Iterator[Callable[[int, Callable[[], Speech]], Tap]]:
    """A loop for taps, and what opens one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="taps", daemon=True)
    thread.start()
    taps = []

    def opened(upstream: int, speaks: Callable[[], Speech]) -> Tap:
        taps.append(Tap(upstream, speaks))
        asyncio.run_coroutine_threadsafe(taps[-1].start(), loop).result(10)
        return taps[-1]

    try:
        yield opened
    finally:
        for one in taps:
            asyncio.run_coroutine_threadsafe(one.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
