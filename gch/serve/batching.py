"""Requests that wait at the same time are answered together.

While one batch is worked on, others collect; when the worker is free, what has come is the next batch. So
nobody waits for company: a request that comes alone is answered alone, at once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class QueueFull(Exception):
    """As many requests wait as may."""


class Closed(Exception):
    """The server stops."""


class Load(NamedTuple):
    """Attributes:
    answered: number of requests that were worked on.
    batches: number of batches they came in.
    waiting: number of requests that wait now.
    """

    answered: int
    batches: int
    waiting: int


class _Waiting(NamedTuple):
    key: Hashable
    payload: object
    answer: asyncio.Future


class Batcher:
    """Collects requests, and answers them in batches in one thread.

    Args:
      work: takes a key and the payloads of a batch, and returns as many answers, in order. When it raises,
        the halves of the batch are tried by themselves, down to single requests, so that a request can only
        fail itself.
      size: requests in a batch at most, 1 or more. Those of a batch have equal keys.
      queue: requests that may wait, 1 or more.
    """

    def __init__(self, work: Callable[[Hashable, Sequence], Sequence], size: int, queue: int):
        self._work, self._size, self._queue = work, size, queue
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._answered = self._batches = 0

    @property
    def load(self) -> Load:
        """What was done and what waits."""
        return Load(self._answered, self._batches, len(self._waiting))

    async def submit(self, key: Hashable, payload: object) -> object:
        """The answer to one request.

        Raises:
          QueueFull: too many wait.
          Closed: the server stops, or stopped before this request's turn.
          Exception: what `work` raised for this request.
        """
        if self._closed:
            raise Closed
        if len(self._waiting) >= self._queue:
            raise QueueFull
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(key, payload, answer))
        self._arrived.set()
        try:
            return await answer
        finally:
            if answer.cancelled():  # The one who asked has gone: the place is free at once.
                self._waiting = deque(one for one in self._waiting if one.answer is not answer)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers requests while the context is open."""
        with ThreadPoolExecutor(1, "batches") as thread:
            answering = asyncio.create_task(self._answer_all(thread))
            try:
                yield
            finally:
                self.close()
                await answering

    def close(self) -> None:
        """Refuses what waits and what comes; the batch that is worked on is still answered."""
        self._closed = True
        for one in self._waiting:
            if not one.answer.done():
                one.answer.set_exception(Closed())
        self._waiting.clear()
        self._arrived.set()

    async def _answer_all(self, thread: ThreadPoolExecutor) -> None:
        while not self._closed:
            await self._arrived.wait()
            await asyncio.sleep(0)  # What has come in the same moment is in the batch.
            batch = self._next()
            if batch:
                await self._answer(batch, thread)

    async def _answer(self, batch: list[_Waiting], thread: ThreadPoolExecutor) -> None:
        payloads = [one.payload for one in batch]
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(thread, self._answers, batch[0].key, payloads)
        self._batches += 1
        self._answered += len(batch)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    def _next(self) -> list[_Waiting]:
        """Takes the first that waits, and those after it that go with it."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        for one in self._waiting:
            fits = len(batch) < self._size and (not batch or one.key == batch[0].key)
            (batch if fits else others).append(one)
        self._waiting = others
        if not others:
            self._arrived.clear()
        return batch

    def _answers(self, key: Hashable, payloads: Sequence) -> list:
        try:
            answers = list(self._work(key, payloads))
            if len(answers) != len(payloads):
                raise RuntimeError(f"{len(answers)} answers to {len(payloads)} requests")
        except Exception as error:
            if len(payloads) == 1:
                return [error]
            half = len(payloads) // 2
            return self._answers(key, payloads[:half]) + self._answers(key, payloads[half:])
        return answers
