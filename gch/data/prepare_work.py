"""What is to be prepared (`gch.data.prepare`), and how it is cut into shards and blocks."""

import dataclasses
import functools
import itertools
from pathlib import Path

from gch.data.pairs import Pairs
from gch.data.prepared_index import FORMAT, VERSION
from gch.storage import digest

_BLOCK = 16  # pictures that a worker reads at once, or some more


@dataclasses.dataclass(frozen=True)
class Work:
    """What `prepare` is asked for."""

    pairs: Pairs
    folder: Path
    encoding: str
    quality: int
    shard_items: int
    jobs: int
    broken: str

    @functools.cached_property
    def plan(self) -> str:
        """Names what the folder will hold."""
        pairs = self.pairs
        described = (pairs.name, pairs.default_sizes, pairs.tag_names, pairs.label_names)
        described += (pairs.captions, pairs.ids)
        quality = self.quality if self.encoding == "jpeg" else None
        options = (self.encoding, quality, self.shard_items, len(pairs.labels))
        split = pairs.own_split or ()
        return digest(FORMAT, VERSION, pairs.digest, repr(described), *options, *split)

    @functools.cached_property
    def shards(self) -> dict[Path, range]:
        """The rows of each shard."""
        total, size = len(self.pairs.labels), self.shard_items
        rows = [range(start, min(start + size, total)) for start in range(0, total, size)]
        name = "images-{:05d}-of-{:05d}.tfrecord"
        return {self.folder / name.format(number, len(rows)): own for number, own in enumerate(rows)}

    def blocks(self, rows: range) -> list[range]:
        """Rows that are read together: cut where the blocks of the source are, so that each is read once."""
        size = self.pairs.pictures.block
        size *= -(-_BLOCK // size)
        ends = [*range(rows.start // size * size + size, rows.stop, size), rows.stop]
        return [range(start, end) for start, end in itertools.pairwise([rows.start, *ends])]
