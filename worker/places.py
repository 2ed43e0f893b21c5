"""How many messages of whom are in flight in this process, and who may have one more.

Messages come in lanes, such as those of one application on one queue. A provider that does not
answer keeps what it was handed in flight, and must not keep everybody's place with it. So a lane
may have as many in flight as places are left: a lane alone half of all, each of two a third, and
there are always some for who comes next, however many providers hang. There are twice `count`
places, so that a lane alone has `count` of them.

A lane whose providers are all left alone for a while (`worker.breaker`) is paused: its messages
wait where they are. After that one at a time goes, until one does not fail.

Nothing is known of a lane that has nothing in flight, and to be asked costs nearly nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

_TRY_EVERY = 1.0  # seconds between two messages of a lane that was paused
_FULL_FOR = 10.0  # seconds for which a lane that was full is looked upon as slow


class Places:
    """The places of one process. They are taken and left on its loop, and looked at from any
    thread. `clock` is monotonic, in seconds."""

    def __init__(self, count: int, clock: Callable[[], float]) -> None:
        self.left = 2 * count
        self.paused: dict[Hashable, float] = {}
        """Until when each lane is that was paused and does not go on yet."""
        self._clock = clock
        self._taken: dict[Hashable, int] = {}
        self._full: dict[Hashable, float] = {}  # when each lane was full

    def take(self, lane: Hashable) -> bool:
        """Take a place for a message of this lane, if the lane may have one more."""
        if self.paused and self._is_paused(lane):
            return False
        taken = self._taken.get(lane, 0)
        # The first one needs a place, each of the others also one that is left for every one taken.
        if self.left < (taken + 2 if taken else 1):
            self._full[lane] = self._clock()
            return False
        self._taken[lane] = taken + 1
        self.left -= 1
        return True

    def leave(self, lane: Hashable) -> None:
        """Give back a place that was taken."""
        taken = self._taken[lane] - 1
        self.left += 1
        if taken:
            self._taken[lane] = taken
        else:
            del self._taken[lane]
        if self._full and 3 * taken <= self.left and self._has_been_quick(lane):
            self._full.pop(lane, None)

    def pause(self, lane: Hashable, seconds: float) -> None:
        """Let none of this lane have a place for a while, and then one now and then."""
        self.paused[lane] = self._clock() + seconds

    def go_on(self, lane: Hashable) -> None:
        """A message of this lane found a provider that is well."""
        self.paused.pop(lane, None)

    def room(self, lane: Hashable) -> int:
        """How many messages of this lane more can be in flight."""
        until = self.paused.get(lane)
        if until is not None:
            return int(self.left > 0 and self._clock() >= until)
        taken = self._taken.get(lane, 0)
        return max(0, (self.left - taken) // 2, min(1 - taken, self.left))

    def wanted(self, lane: Hashable, most: int) -> int:
        """How many messages of this lane, up to `most`, are worth ringing for. More than there is
        room for, as long as they are done as fast as they come: a queue that is empty is time lost.
        But from when one found no place, and until half of the places have been free and none was
        missed for a while, no more than find one.
        """
        bounded = lane in self._full or lane in self.paused
        return min(most, self.room(lane)) if bounded else most

    def _has_been_quick(self, lane: Hashable) -> bool:
        return self._clock() - self._full.get(lane, 0.0) >= _FULL_FOR

    def _is_paused(self, lane: Hashable) -> bool:
        """Whether none may go now; who is told that it may is the one for now."""
        until = self.paused.get(lane)
        if until is None:
            return False
        now = self._clock()
        if now >= until:
            self.paused[lane] = now + _TRY_EVERY
        return now < until
