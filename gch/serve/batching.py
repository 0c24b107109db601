"""Batching: requests that wait at the same time are answered in one batch.

While the worker is busy, requests collect; when it is free, they are the next batch. A lone request is
answered at once.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any


class Closed(Exception):
    """The server is stopping."""


@dataclasses.dataclass(eq=False)
class _Request:
    key: Hashable
    payload: object
    answer: asyncio.Future


class Batcher:
    """Collects requests and answers them in batches, one batch at a time, in a thread.

    Args:
      work: takes the key and the payloads of a batch, returns one answer for each, in order. If it raises,
        both halves of the batch are tried again, down to single requests: a request fails only itself.
      size: largest batch. Requests of a batch have equal keys.
      queue: largest number of waiting requests.
    """

    def __init__(self, work: Callable[[Any, list], Sequence], size: int, queue: int):
        self._work, self._size, self._queue = work, size, queue
        self._waiting: list[_Request] = []
        self._arrived = asyncio.Event()
        self._closed = False
        self.answered = self.batches = 0  # requests answered so far, and their batches

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    async def submit(self, key: Hashable, payload: object) -> Any:
        """The answer to one request.

        Raises:
          asyncio.QueueFull: too many requests wait.
          Closed: the server is stopping.
          Exception: what `work` raised for this request.
        """
        if self._closed:
            raise Closed
        if len(self._waiting) >= self._queue:
            raise asyncio.QueueFull
        request = _Request(key, payload, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
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

    def _next_batch(self) -> list[_Request]:
        """The first request, and the next ones with its key."""
        batch = [one for one in self._waiting if one.key == self._waiting[0].key][: self._size]
        self._waiting = [one for one in self._waiting if one not in batch]
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
