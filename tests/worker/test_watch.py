"""What takes too long is ended, as asyncio's own time-out ends it, and nothing else is."""

import asyncio

import pytest

from worker.watch import Watch


class Moved(asyncio.SelectorEventLoop):
    """A loop in whose time nobody waits: it goes on to whatever is due next."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


def run(main):
    with asyncio.Runner(loop_factory=Moved) as runner:
        return runner.run(main())


async def value(of, after=0.0):
    await asyncio.sleep(after)
    return of


async def ended_at(work):
    """When it was ended for taking too long."""
    with pytest.raises(TimeoutError):
        await work
    return asyncio.get_running_loop().time()


def test_what_comes_in_time_is_passed_on():
    async def main():
        watch = Watch()
        assert await watch.within(1, value("a", 0.9)) == "a"
        with pytest.raises(LookupError):
            await watch.within(1, fails())

    async def fails():
        raise LookupError

    run(main)


def test_what_takes_too_long_ends_when_its_time_is_up_and_a_look_later_at_most():
    async def main():
        watch = Watch(0.5)
        times = [0.1, 0.5, 1.2, 30, 30.1]
        waits = [ended_at(watch.within(one, asyncio.Event().wait())) for one in times]
        ends = await asyncio.gather(*waits)
        assert [0 <= end - due <= 0.5 for due, end in zip(times, ends, strict=True)] == [True] * 5

    run(main)


def test_any_number_may_end_in_the_same_look():
    async def main():
        watch = Watch(0.5)
        ends = await asyncio.gather(
            *(ended_at(watch.within(1, asyncio.Event().wait())) for _ in range(3))
        )
        assert len(set(ends)) == 1
        return [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    assert run(main) == []


def test_who_waits_for_it_goes_on_as_if_nobody_had_cancelled_it():
    async def main():
        watch = Watch()
        task = asyncio.current_task()
        await ended_at(watch.within(1, asyncio.Event().wait()))
        assert task.cancelling() == 0
        assert await watch.within(1, value("b")) == "b"
        await asyncio.sleep(10)

    run(main)


def test_work_that_does_not_let_itself_be_ended_is_waited_for():
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await value("c", 5)

    async def main():
        assert await Watch().within(1, stubborn()) == "c"
        assert asyncio.current_task().cancelling() == 0

    run(main)


@pytest.mark.parametrize("after", [0.2, 1.0])
def test_a_task_that_somebody_else_cancels_is_cancelled(after):
    async def main():
        watch = Watch(1.0)
        task = asyncio.create_task(watch.within(1, asyncio.Event().wait()))
        # At 1.0 both want it to end, in the same turn of the loop.
        asyncio.get_running_loop().call_later(after, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await watch.within(1, value("d")) == "d"

    run(main)


def test_while_nothing_is_under_way_no_timer_runs():
    watch = Watch()

    async def main():
        await watch.within(30, value("e", 1))
        return [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    assert run(main) == []
    assert run(main) == [], "another loop may go on with it"
