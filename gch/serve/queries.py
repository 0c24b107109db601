"""Queries that come at the same time, and what they find."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gch.data.pictures import decode_picture
from gch.serve.batching import Batcher, Load
from gch.serve.limits import Limits
from gch.serve.workers import Workers

if TYPE_CHECKING:  # What is served need not be of FAISS: anything of this interface will do.
    from gch.search.query import Hit, Searcher

_DECODERS = 2


class _Ask(NamedTuple):
    """What requests of one batch have in common."""

    by: str
    find: str
    count: int


class Queries:
    """Puts queries to a searcher, in batches; in one event loop.

    Args:
      searcher: answers them, in one thread.
      limits: `batch` and `queue`.

    Attributes:
      batch: queries answered together at most; 1 where a code would depend on its company.
    """

    def __init__(self, searcher: "Searcher", limits: Limits):
        self._searcher, self._note = searcher, searcher.model.note
        self.batch = limits.batch if self._note.encoding_batch is None else 1
        self._batcher = Batcher(self._answers, self.batch, limits.queue)
        self._decoders = Workers("decode", _DECODERS, limits.queue)

    @property
    def load(self) -> Load:
        """What was done and what waits."""
        return self._batcher.load

    async def by_text(self, text: str | tuple[str, ...], find: str, count: int) -> "list[Hit]":
        """What a text or a set of tags finds.

        Args:
          text: a text, or tags.
          find: 'images' or 'texts'.
          count: number of results at most.

        Raises:
          DataError: it has no word that is known.
          QueueFull: too many queries wait.
          Closed: the server stops.
        """
        return await self._batcher.submit(_Ask("text", find, count), text)

    async def by_picture(self, data: bytes, find: str, count: int) -> "list[Hit]":
        """What the bytes of a picture file find; see `by_text`.

        Raises:
          DataError: they are no whole picture.
        """
        size, fit = self._note.image_size, self._note.fit
        picture = await self._decoders.run(decode_picture, data, "picture", size, fit)
        return await self._batcher.submit(_Ask("picture", find, count), picture)

    async def by_row(self, modality: str, row: int, find: str, count: int) -> "list[Hit]":
        """What an item of the collection finds; see `by_text`."""
        return await self._batcher.submit(_Ask("row", find, count), (modality, row))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers queries while the context is open."""
        try:
            async with self._batcher.running():
                yield
        finally:
            self._decoders.close()

    def close(self) -> None:
        """Refuses queries that wait and that come."""
        self._batcher.close()

    def _answers(self, ask: _Ask, payloads: Sequence) -> "Sequence[list[Hit]]":
        if ask.by == "text":
            return self._searcher.by_texts(payloads, ask.find, ask.count)
        if ask.by == "picture":
            return self._searcher.by_decoded(payloads, ask.find, ask.count)
        return [self._searcher.by_row(*item, ask.find, ask.count) for item in payloads]
