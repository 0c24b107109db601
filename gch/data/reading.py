"""Reading all pictures of a data set, side by side and in order, for those who write them elsewhere."""

import collections
import concurrent.futures
from collections.abc import Callable, Generator
from typing import TypeVar

import numpy as np

from gch.data.pairs import Pictures
from gch.data.pictures import PictureFiles
from gch.errors import DataError

_LEAST = 16  # pictures in a block
_Made = TypeVar("_Made")
_Block = tuple[list[tuple[int, _Made]], list[str]]


def read_blocks(
    source: Pictures, rows: np.ndarray, make: Callable[[np.ndarray, bytes], _Made], jobs: int, broken: str
) -> Generator[_Block[_Made], None, None]:
    """Reads pictures on `jobs` threads: what `make` makes of each, with its row, and why others are left out,
    a line each. A few blocks are begun before they are needed; they are cut at those of the source, so that
    each of them is read once.

    `rows` are int64 (n,), ascending. `make` takes a picture, uint8 (H, W, 3), and the bytes of its file, or
    of its pixels where it has none. Raises DataError where a picture cannot be read, and is no file or
    `broken` is 'stop'.
    """

    def read(block: np.ndarray) -> _Block[_Made]:
        made, left_out = [], []
        files = source if isinstance(source, PictureFiles) else None
        for row, picture in zip(block.tolist(), block if files else source.read(block), strict=True):
            try:
                content = files.content(row) if files else picture.tobytes()
                made.append((row, make(files.decode(row, content) if files else picture, content)))
            except DataError as error:
                if broken == "stop" or not files:
                    raise
                left_out.append(str(error))
        return made, left_out

    size = source.block * -(-_LEAST // source.block)
    begun: collections.deque[concurrent.futures.Future[_Block[_Made]]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for block in np.split(rows, np.flatnonzero(np.diff(rows // size)) + 1) if len(rows) else ():
                begun.append(pool.submit(read, block))
                if len(begun) > jobs + 1:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
