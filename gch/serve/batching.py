"""Batching: requests that wait at the same time are answered in one batch.

While the worker is busy, requests collect; when it is free, they are the next batch. A lone request is
answered at once. A cheap request does not wait for many costly ones, see `Batcher`.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import operator
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any

LONG_ANSWER = 100  # items


class Closed(Exception):
    """The server is stopping."""


@dataclasses.dataclass(eq=False)
class _Request:
    key: Hashable
    payload: object
    cost: int
    due: float  # the batcher's `_clock` when it would be ready
    answer: asyncio.Future


_due = operator.attrgetter("due")


class Batcher:
    """Collects requests and answers them in batches, one batch at a time, in a thread.

    Requests share the worker by weighted fair queueing. `_clock` is the work that each waiting request would
    have received by now if all were worked on together. The one that would be ready first comes first.

    Args:
      work: takes the key and the payloads of a batch, returns one answer for each, in order. If it raises,
        both halves of the batch are tried again, down to single requests: a request fails only itself.
      size: largest batch. Requests of a batch have equal keys.
      cost: largest cost of a batch of several requests.
      queue: largest number of waiting requests. Beyond it, the one that would be ready last is refused.
    """

    def __init__(self, work: Callable[[Any, list], Sequence], size: int, cost: int, queue: int):
        self._work, self._size, self._cost, self._queue = work, size, cost, queue
        self._clock = 0.0
        self._waiting: list[_Request] = []
        self._arrived = asyncio.Event()
        self._closed = False
        self.answered = self.batches = 0  # requests answered so far, and their batches

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    async def submit(self, key: Hashable, payload: object, cost: int = 1) -> Any:
        """The answer to one request, which takes work in proportion to `cost`.

        Raises:
          asyncio.QueueFull: too many requests wait.
          Closed: the server is stopping.
          Exception: what `work` raised for this request.
        """
        if self._closed:
            raise Closed
        answer = asyncio.get_running_loop().create_future()
        request = _Request(key, payload, cost, self._clock + cost, answer)
        self._waiting.append(request)
        if len(self._waiting) > self._queue:
            last = max(reversed(self._waiting), key=_due)
            self._waiting.remove(last)
            if not last.answer.done():
                last.answer.set_exception(asyncio.QueueFull())
        self._arrived.set()
        try:
            return await request.answer
        finally:
            if request in self._waiting:  # cancelled
                self._waiting.remove(request)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers requests while the context is open."""
        answering = asyncio.create_task(self._answer_all())
        try:
            yield
        finally:
            self.close()
            await answering

    def close(self) -> None:
        """Refuses waiting and new requests; the current batch is still answered."""
        self._closed = True
        for request in self._waiting:
            if not request.answer.done():
                request.answer.set_exception(Closed())
        self._waiting.clear()
        self._arrived.set()

    async def _answer_all(self) -> None:
        while not self._closed:
            await self._arrived.wait()
            await asyncio.sleep(0)  # Requests that arrive together share a batch.
            batch = self._next_batch()
            if not batch:
                continue
            payloads = [request.payload for request in batch]
            answers = await asyncio.to_thread(self._answers, batch[0].key, payloads)
            self.batches += 1
            self.answered += len(batch)
            for request, answer in zip(batch, answers, strict=True):
                if not request.answer.done():
                    failed = isinstance(answer, Exception)
                    (request.answer.set_exception if failed else request.answer.set_result)(answer)
                    if request.cost > LONG_ANSWER:
                        await asyncio.sleep(0)  # Others have the loop between two long answers.

    def _next_batch(self) -> list[_Request]:
        """The request that is due first, and the next ones with its key."""
        waiting = sorted(self._waiting, key=_due)
        alike = [one for one in waiting if one.key == waiting[0].key][: self._size]
        spent = itertools.accumulate(one.cost for one in alike)
        batch = [one for one, cost in zip(alike, spent, strict=True) if one is alike[0] or cost <= self._cost]
        self._clock += sum(one.cost for one in batch) / max(1, len(waiting))
        self._waiting = [one for one in waiting if one not in batch]
        if not self._waiting:
            self._arrived.clear()
        return batch

    def _answers(self, key: Hashable, payloads: list) -> list:
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
