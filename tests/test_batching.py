"""Requests that wait are answered together, and each gets its own answer."""

import asyncio
import contextlib
import threading

import pytest

from gch.serve.batching import Batcher

pytestmark = pytest.mark.anyio


class Doubling:
    """Work that doubles numbers once it may, and remembers its batches."""

    def __init__(self):
        self.batches, self.may = [], threading.Event()

    def __call__(self, key, payloads):
        self.may.wait()
        self.batches.append((key, payloads))
        return [2 * payload for payload in payloads]


async def started(batcher, *payloads, key="one", cost=1):
    """Requests that wait, or are in work, when this returns."""
    tasks = [asyncio.create_task(batcher.submit(key, payload, cost)) for payload in payloads]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


@contextlib.asynccontextmanager
async def busy(work, queue=100):
    """A batcher that works on the request 0 until it may."""
    batcher = Batcher(work, size=8, cost=100, queue=queue)
    try:
        async with batcher.running():
            await started(batcher, 0)
            yield batcher
    finally:
        work.may.set()


async def test_requests_that_come_during_a_batch_are_the_next():
    work = Doubling()
    async with busy(work) as batcher:
        tasks = await started(batcher, *range(1, 13))
        assert batcher.waiting == 12
        work.may.set()
        assert await asyncio.gather(*tasks) == [2 * number for number in range(1, 13)]
    assert [batch for _, batch in work.batches] == [[0], [*range(1, 9)], [*range(9, 13)]]
    assert (batcher.answered, batcher.batches, batcher.waiting) == (13, 3, 0)


async def test_only_equal_keys_share_a_batch_and_the_first_to_come_is_first():
    work = Doubling()
    async with busy(work) as batcher:
        tasks = [task for n, key in enumerate("baba", 1) for task in await started(batcher, n, key=key)]
        work.may.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
    assert work.batches == [("one", [0]), ("b", [1, 3]), ("a", [2, 4])]


async def test_work_that_answers_too_few_fails_all_of_them():
    batcher = Batcher(lambda key, payloads: [], size=8, cost=100, queue=8)
    async with batcher.running():
        errors = await asyncio.gather(*await started(batcher, 1, 2), return_exceptions=True)
    assert [str(error) for error in errors] == ["0 answers to 1 requests"] * 2


async def test_a_full_queue_refuses_and_a_cancelled_request_leaves_its_place():
    work = Doubling()
    async with busy(work, queue=2) as batcher:
        waiting = await started(batcher, 1, 2)
        with pytest.raises(asyncio.QueueFull):
            await batcher.submit("one", 3)
        waiting[0].cancel()
        await asyncio.sleep(0)
        later = await started(batcher, 4)
        work.may.set()
        assert await asyncio.gather(waiting[1], *later) == [4, 8]
    assert [batch for _, batch in work.batches] == [[0], [2, 4]]


async def test_cheap_requests_overtake_costly_ones_but_not_for_ever():
    work = Doubling()
    async with busy(work, queue=1000) as batcher:
        tasks = await started(batcher, *range(1, 11), key="costly", cost=100)
        tasks += await started(batcher, 11, key="cheap", cost=2)
        work.may.set()
        await asyncio.sleep(0)
        for number in range(12, 600):  # one at a time, as of a client
            tasks += await started(batcher, number, key="cheap", cost=2)
            await tasks[-1]
        await asyncio.gather(*tasks)
    keys = [key for key, _ in work.batches]
    first = keys.index("costly")
    assert 1 < first < 600  # the first request, then a cheap one
    assert len(keys) - keys[::-1].index("costly") < len(keys)
    assert all(len(batch) == 1 for key, batch in work.batches if key == "costly")


async def test_a_full_queue_refuses_the_costliest():
    work = Doubling()
    async with busy(work, queue=2) as batcher:
        tasks = [*await started(batcher, 1, 2, cost=100), *await started(batcher, 3)]
        work.may.set()
        first, second, cheap = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, cheap) == (2, 6)
    assert isinstance(second, asyncio.QueueFull)
