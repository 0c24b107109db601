"""Requests that wait are answered together, and each gets its own answer."""

import asyncio
import threading

import pytest

from gch.serve.batching import Batcher, Closed, QueueFull


class Doubling:
    """Work that doubles numbers, waits until it may, and remembers its batches."""

    def __init__(self, held: bool = False):
        self.batches, self.may = [], threading.Event()
        if not held:
            self.may.set()

    def __call__(self, key, payloads):
        self.may.wait()
        self.batches.append((key, list(payloads)))
        if any(payload < 0 for payload in payloads):
            raise ValueError(f"negative among {payloads}")
        return [2 * payload for payload in payloads]


async def asked(batcher, *payloads, key="one"):
    return [asyncio.create_task(batcher.submit(key, payload)) for payload in payloads]


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch():
    work = Doubling(held=True)

    async def scene():
        batcher = Batcher(work, size=8, queue=100)
        async with batcher.running():
            first = await asked(batcher, 0)
            await settle()
            others = await asked(batcher, *range(1, 13))
            await settle()
            assert batcher.load.waiting == 12
            work.may.set()
            answers = await asyncio.gather(*first, *others)
        return answers, batcher.load

    answers, load = asyncio.run(scene())
    assert answers == [2 * number for number in range(13)]
    assert [batch for _, batch in work.batches] == [[0], [*range(1, 9)], [*range(9, 13)]]
    assert load == (13, 3, 0)


def test_only_equal_keys_share_a_batch_and_the_first_to_come_is_first():
    work = Doubling(held=True)

    async def scene():
        batcher = Batcher(work, size=8, queue=100)
        async with batcher.running():
            first = await asked(batcher, 0)
            await settle()
            tasks = []
            for number, key in enumerate(["b", "a", "b", "a"], 1):
                tasks += await asked(batcher, number, key=key)
            await settle()
            work.may.set()
            return await asyncio.gather(*first, *tasks)

    assert asyncio.run(scene()) == [0, 2, 4, 6, 8]
    assert work.batches == [("one", [0]), ("b", [1, 3]), ("a", [2, 4])]


def test_a_request_fails_alone():
    work = Doubling(held=True)

    async def scene():
        batcher = Batcher(work, size=8, queue=100)
        async with batcher.running():
            first = await asked(batcher, 0)
            await settle()
            tasks = await asked(batcher, 1, 2, -3, 4, 5)
            await settle()
            work.may.set()
            await asyncio.gather(*first)
            return await asyncio.gather(*tasks, return_exceptions=True)

    one, two, failed, four, five = asyncio.run(scene())
    assert (one, two, four, five) == (2, 4, 8, 10)
    assert str(failed) == "negative among [-3]"


def test_work_that_answers_too_few_fails_all_of_them():
    async def scene():
        batcher = Batcher(lambda key, payloads: [], size=8, queue=8)
        async with batcher.running():
            return await asyncio.gather(*await asked(batcher, 1, 2), return_exceptions=True)

    assert [str(error) for error in asyncio.run(scene())] == ["0 answers to 1 requests"] * 2


def test_a_full_queue_refuses_and_a_place_that_is_left_is_free():
    work = Doubling(held=True)

    async def scene():
        batcher = Batcher(work, size=8, queue=2)
        async with batcher.running():
            first = await asked(batcher, 0)
            await settle()
            waiting = await asked(batcher, 1, 2)
            await settle()
            with pytest.raises(QueueFull):
                await batcher.submit("one", 3)
            waiting[0].cancel()
            await settle()
            later = await asked(batcher, 4)
            await settle()
            work.may.set()
            return await asyncio.gather(*first, waiting[1], *later)

    assert asyncio.run(scene()) == [0, 4, 8]
    assert [batch for _, batch in work.batches] == [[0], [2, 4]]


def test_closing_answers_the_batch_at_work_and_refuses_the_rest():
    work = Doubling(held=True)

    async def scene():
        batcher = Batcher(work, size=8, queue=8)
        async with batcher.running():
            first = await asked(batcher, 1)
            await settle()
            waiting = await asked(batcher, 2)
            await settle()
            batcher.close()
            work.may.set()
            with pytest.raises(Closed):
                await batcher.submit("one", 3)
            return await asyncio.gather(*first, *waiting, return_exceptions=True)

    answer, refused = asyncio.run(scene())
    assert answer == 2
    assert isinstance(refused, Closed)


def test_an_idle_batcher_ends():
    async def scene():
        async with Batcher(Doubling(), size=8, queue=8).running():
            await settle()

    asyncio.run(asyncio.wait_for(scene(), 5))
