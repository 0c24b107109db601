"""A million pairs on a CPU: seconds and memory of every part of a run, on generated features.

The set is written as .npy files in the field's layout and opened, split, trained on, encoded, ranked, saved
and exported as the command line does. Two parts would take days with a million items and are cut short:

neighbours  the first blocks of items are searched for among all; the time of all is extrapolated. The other
            items get the same neighbours, so that the tables have their size.
encoding    a few batches of the retrieval set, with their search among all items; likewise.

Each stage runs a few steps. Evaluation ranks the teacher's codes of all items. The last column is the peak of
the process so far.

    python benchmarks/scale.py --folder data/scale
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from measuring import settings, table

from gch.data.catalog import choose_split, open_pairs
from gch.evaluation.codes import coded_items
from gch.evaluation.encoding import encode
from gch.evaluation.evaluate import map_by_direction
from gch.export.model import SearchModel
from gch.methods.gch import label_graph
from gch.methods.gch.neighbours import QUERIES, nearest, unit_length
from gch.methods.items import training_items
from gch.methods.method import build_method
from gch.training.checkpoint import Checkpoints, Position
from gch.training.device import configure_device
from gch.training.loop import StageLoop

LABELS = 24
SLICE = 10_000
BESIDE = 2_500  # queries and validation items


class Parts:
    """Rows of the table."""

    def __init__(self):
        self.rows = []

    def timed(self, name: str, call, shown=lambda seconds: f"{seconds:,.1f} s"):
        """Calls, and notes seconds and memory."""
        began = time.perf_counter()
        result = call()
        self.note(name, shown(time.perf_counter() - began))
        return result

    def note(self, name: str, took: str) -> None:
        """Adds a row."""
        now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.rows.append((name, took, f"{now / 1e9:.2f}", f"{peak / 1e9:.2f}"))
        print(*self.rows[-1], sep="  ", flush=True)


def write(folder: Path, items: int, words: int, features: int) -> None:
    """Files of one to three labels an item, and of words and features that tell them."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)

    def new(name: str, dtype: type, width: int) -> np.memmap:
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (items, width))

    hot, bags, vectors = (
        new("labels", np.uint8, LABELS),
        new("tags", np.uint8, words),
        new("features", np.float32, features),
    )
    directions = random.normal(size=(LABELS, features)).astype(np.float32)
    for start in range(0, items, SLICE):
        part = slice(start, min(start + SLICE, items))
        count = part.stop - start
        drawn = random.integers(LABELS, size=(count, 3))
        own = np.zeros((count, LABELS), np.uint8)
        np.put_along_axis(own, drawn, 1, axis=1)
        hot[part] = own
        odds = np.where(own[:, np.arange(words) % LABELS] > 0, 0.3, 0.01)
        bags[part] = random.random((count, words), np.float32) < odds
        vectors[part] = own @ directions + 2 * random.standard_normal((count, features), np.float32)


def bounded_search(parts: Parts, blocks: int):
    """In place of `nearest_others`: a part of the search, timed, and tables of the size of all."""

    def search(
        vectors: np.ndarray, count: int, views: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        total = len(vectors)
        unit = tf.constant(unit_length(vectors))
        seen = unit if views is None else tf.constant(unit_length(views))
        run = tf.function(lambda seen, unit, rows: nearest(tf.gather(seen, rows), unit, count + 1, rows, 2.0))
        run(seen, unit, tf.range(QUERIES))
        began = time.perf_counter()
        rows = [tf.range(number * QUERIES, (number + 1) * QUERIES) for number in range(blocks)]
        found = [run(seen, unit, part) for part in rows]
        seconds = time.perf_counter() - began
        whole = seconds * total / (blocks * QUERIES)
        name = f"neighbours of {blocks * QUERIES:,} of {total:,} items, {vectors.shape[1]} numbers each"
        parts.note(name, f"{seconds:,.1f} s; all: {whole / 3600:,.1f} h, extrapolated")
        again = np.arange(total) % (blocks * QUERIES)
        columns = ([getattr(part, kind) for part in found] for kind in ("positions", "cosines"))
        return tuple(np.concatenate(column)[again] for column in columns)

    return search


def main() -> None:
    """Runs all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the set, the checkpoint, the export")
    parser.add_argument("--items", type=int, default=1_000_000, help="to train on")
    parser.add_argument("--words", type=int, default=256)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="of each stage")
    parser.add_argument("--blocks", type=int, default=4, help=f"of {QUERIES} items, searched and encoded")
    given = parser.parse_args()
    changed = settings(
        dataset_dir="files",
        DATA_DIR=str(given.folder / "set"),
        select_gpu="",
        TRAINING_SIZE=given.items,
    )
    configure_device(changed)
    parts = Parts()
    parts.note("imports", "")
    total = given.items + BESIDE
    parts.timed("write", lambda: write(given.folder / "set", total, given.words, given.features))
    pairs = parts.timed("open", lambda: open_pairs(changed))
    split = choose_split(changed, pairs)
    items = parts.timed("training items", lambda: training_items(pairs, split.training, pairs.features))
    method = parts.timed("networks and tables", lambda: build_method(changed, items, None))
    label_graph.nearest_others = bounded_search(parts, given.blocks)
    for stage in method.stages:
        loop = StageLoop(stage, items, changed.batch_size)
        run = parts.timed(f"begin of {stage.name}", lambda loop=loop: loop.open((0,), 0))
        run(1)
        parts.timed(
            f"{given.steps} steps of {stage.name}",
            lambda run=run: run(given.steps),
            lambda seconds: f"{1000 * seconds / given.steps:,.1f} ms a step",
        )
    count = given.blocks * QUERIES

    def encoded(seconds: float) -> str:
        whole = seconds * len(split.retrieval) / count
        return f"{seconds:,.1f} s; all: {whole / 3600:,.1f} h, extrapolated"

    encode(method, pairs, pairs.features, split.retrieval[:QUERIES])
    parts.timed(
        f"encoding of {count:,} of {len(split.retrieval):,} items",
        lambda: encode(method, pairs, pairs.features, split.retrieval[:count]),
        encoded,
    )
    queries = encode(method, pairs, pairs.features, split.validation)
    teacher = coded_items(method.relaxed_codes()["teacher"], pairs.labels[split.training])
    parts.timed(
        f"mAP of {len(split.validation):,} queries, all directions",
        lambda: map_by_direction(queries.coded(), dict.fromkeys(queries.codes, teacher)),
    )
    saved = Checkpoints(given.folder / "checkpoints", method, Position())
    parts.timed("checkpoint", lambda: saved.save("latest"))

    def export() -> None:
        model = SearchModel(**method.encoders, backbone=None, image_size=0, fit="crop", words=None)
        tf.saved_model.save(model, str(given.folder / "export"), model.signatures())

    parts.timed("SavedModel", export)
    print()
    table(("part", "took", "GB after", "peak, GB"), parts.rows)


if __name__ == "__main__":
    main()
