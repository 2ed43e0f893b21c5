"""How many messages of whom are in flight in this process, and who may have one more.

Messages come in lanes, such as those of one application on one queue. A provider that does not
answer keeps what it was handed in flight, and must not keep everybody's place with it. So a lane
may have as many in flight as places are left: a lane alone half of all, each of two a third, and
there are always some for who comes next, however many providers hang. There are twice `count`
places, so that a lane alone has `count` of them.

Nothing is known of a lane that has nothing in flight, and to be asked costs nearly nothing.
"""

from __future__ import annotations

from collections.abc import Hashable


class Places:
    """The places of one process. They are taken and left on its loop, and looked at from any
    thread."""

    def __init__(self, count: int) -> None:
        self.left = 2 * count
        self._taken: dict[Hashable, int] = {}
        self._full: set[Hashable] = set()

    def take(self, lane: Hashable) -> bool:
        """Take a place for a message of this lane, if the lane may have one more."""
        taken = self._taken.get(lane, 0)
        # The first one needs a place, each of the others also one that is left for every one taken.
        if self.left < (taken + 2 if taken else 1):
            self._full.add(lane)
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
        if self._full and 3 * taken <= self.left:
            self._full.discard(lane)

    def room(self, lane: Hashable) -> int:
        """How many messages of this lane more can be in flight."""
        taken = self._taken.get(lane, 0)
        return max(0, (self.left - taken) // 2, min(1 - taken, self.left))

    def wanted(self, lane: Hashable, most: int) -> int:
        """How many messages of this lane, up to `most`, are worth ringing for. More than there is
        room for, as long as they are done as fast as they come: a queue that is empty is time lost.
        But from when one found no place, until half of them are free again, no more than find one.
        """
        return min(most, self.room(lane)) if lane in self._full else most
