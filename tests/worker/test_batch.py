"""Concurrent calls become one, each gets its own result, and a failure reaches all of a batch."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.batch import Batch


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def test_items_of_one_turn_are_one_call(executor):
    calls = []

    def double(items):
        calls.append(list(items))
        return [2 * item for item in items]

    async def main():
        batch = Batch(double, executor, limit=10)
        return await asyncio.gather(*(batch.put(number) for number in range(25)))

    assert asyncio.run(main()) == [2 * number for number in range(25)]
    assert [len(call) for call in calls] == [10, 10, 5]


def test_what_comes_during_a_call_waits_for_the_next(executor):
    async def main():
        loop = asyncio.get_running_loop()
        started, release = asyncio.Event(), asyncio.Event()
        calls = []

        def hold(items):
            calls.append(list(items))
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
            return items

        batch = Batch(hold, executor)
        first = asyncio.ensure_future(batch.put(1))
        await started.wait()
        rest = [asyncio.ensure_future(batch.put(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        release.set()
        assert await asyncio.gather(first, *rest) == [1, 2, 3]
        return calls

    assert asyncio.run(main()) == [[1], [2, 3]]


def test_a_failure_reaches_the_whole_batch_and_no_other(executor):
    def fragile(items):
        if 3 in items:
            raise OSError("gone")
        return items

    async def main():
        batch = Batch(fragile, executor, limit=2)
        return await asyncio.gather(*(batch.put(n) for n in range(4)), return_exceptions=True)

    zero, one, two, three = asyncio.run(main())
    assert (zero, one) == (0, 1)
    assert isinstance(two, OSError)
    assert isinstance(three, OSError)


def test_a_cancelled_caller_does_not_disturb_the_others(executor):
    async def main():
        batch = Batch(lambda items: items, executor)
        one, two = (asyncio.ensure_future(batch.put(n)) for n in (1, 2))
        await asyncio.sleep(0)
        one.cancel()
        return await two

    assert asyncio.run(main()) == 2


def test_several_calls_may_be_under_way(executor):
    """What comes during the last of them waits; one that ends makes room for another."""

    async def main():
        loop = asyncio.get_running_loop()
        begun, calls = asyncio.Queue(), []
        release = {number: asyncio.Event() for number in (1, 2, 3)}

        def hold(items):
            calls.append(list(items))
            loop.call_soon_threadsafe(begun.put_nowait, items)
            asyncio.run_coroutine_threadsafe(release[items[0]].wait(), loop).result()
            return items

        batch = Batch(hold, executor, at_once=2)
        first = asyncio.ensure_future(batch.put(1))
        assert await begun.get() == [1]
        second = asyncio.ensure_future(batch.put(2))
        assert await begun.get() == [2]
        rest = asyncio.gather(batch.put(3), batch.put(4))
        await asyncio.sleep(0)
        release[2].set()
        assert await second == 2
        assert await begun.get() == [3, 4]
        release[3].set()
        assert await rest == [3, 4]
        assert not first.done()
        release[1].set()
        assert await first == 1
        return calls

    assert asyncio.run(main()) == [[1], [2], [3, 4]]


def test_more_than_the_limit_is_several_calls_at_once(executor):
    async def main():
        together = threading.Barrier(2, timeout=10)

        def meet(items):
            together.wait()
            return items

        batch = Batch(meet, executor, limit=1, at_once=2)
        return await asyncio.gather(batch.put(1), batch.put(2))

    assert asyncio.run(main()) == [1, 2]
