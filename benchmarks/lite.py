"""The encoders for TensorFlow Lite against the SavedModel: size, time and mAP, over the query set of runs.

Nothing is chosen here: both encode all items of a run's query and retrieval set, one by one, and are ranked
once. Bits that differ are told against the codes that the test phase of the run wrote.

    python main_itpair.py export runs/NAME --lite
    python benchmarks/lite.py runs/NAME [runs/NAME ...]
"""

import argparse
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from scipy.io import loadmat

from gch.data.catalog import cache_folder, open_pairs
from gch.data.split_file import load_split
from gch.data.vocabulary import with_vocabulary
from gch.evaluation.codes import coded_items
from gch.evaluation.evaluate import map_by_direction
from gch.run import RunFolder, run_settings
from gch.terminal import Progress

TIMED, WARM = 220, 20
MODALITIES = ("image", "text")


def saved_model(folder: Path) -> dict[str, Callable]:
    """The encoders of a SavedModel, of one item each."""
    signatures = tf.saved_model.load(str(folder)).signatures
    image = next(name for name in ("encode_image", "encode_image_features") if name in signatures)
    return {
        "image": lambda item: signatures[image](tf.constant(item[None]))["relaxed"].numpy()[0],
        "text": lambda item: signatures["encode_text"](tf.constant(item[None]))["relaxed"].numpy()[0],
    }


def lite(folder: Path, threads: int) -> dict[str, Callable]:
    """The same for TensorFlow Lite."""

    def encoder(name: str) -> Callable:
        interpreter = tf.lite.Interpreter(str(folder / "lite" / f"{name}.tflite"), num_threads=threads)
        runner = interpreter.get_signature_runner()
        (given,) = runner.get_input_details()
        return lambda item: runner(**{given: item[None]})["relaxed"][0]

    return {name: encoder(name) for name in MODALITIES}


def items_of(pairs, rows: np.ndarray) -> dict[str, Callable[[], Iterator[np.ndarray]]]:
    """What the encoders take, of each row."""

    def images() -> Iterator[np.ndarray]:
        for row in rows:
            taken = pairs.features if pairs.features is not None else pairs.pictures
            yield np.asarray(taken[row], np.float32) if taken is pairs.features else taken.read(row[None])[0]

    return {"image": images, "text": lambda: (pairs.texts[row].astype(np.float32) for row in rows)}


def encode_all(encoders: dict[str, Callable], items) -> dict[str, np.ndarray]:
    """Relaxed codes by modality."""
    return {name: np.stack([encoders[name](item) for item in items[name]()]) for name in MODALITIES}


def milliseconds(encoder: Callable, items: Iterator[np.ndarray]) -> float:
    """The median of an item by itself, once it is warm."""
    found = []
    for item in itertools.islice(items, TIMED):
        start = time.perf_counter()
        encoder(item)
        found.append(time.perf_counter() - start)
    return 1000 * float(np.median(found[WARM:]))


def bytes_of(folder: Path, *names: str) -> float:
    """Megabytes of files and folders."""
    files = [file for name in names for file in [folder / name, *(folder / name).rglob("*")]]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def measure(run: Path) -> None:
    """Prints the rows of one run."""
    settings = run_settings(run, {}, "test", "lite.py")
    pairs = open_pairs(settings, Progress())
    split = load_split(run / "split.npz", len(pairs.labels))
    pairs = with_vocabulary(
        pairs, split.training, settings, RunFolder(run).vocabulary, cache_folder(settings)
    )
    rows, queries = np.concatenate([split.query, split.retrieval]), len(split.query)
    items, model = items_of(pairs, rows), run / "export"
    exact = encode_all(saved_model(model), items)
    quantised = encode_all(lite(model, 2), items)
    saved = loadmat(run / f"{pairs.name}_{settings.bit}.mat")
    tested = {
        name: np.concatenate([saved[part + name[0]] for part in ("Q", "D")]).astype(np.float32)
        for name in MODALITIES
    }

    def differ(codes: dict[str, np.ndarray]) -> list[float]:
        return [100 * np.mean((codes[name] >= 0) != (tested[name] >= 0)) for name in MODALITIES]

    ways = {  # threads do not change codes
        "SavedModel": (saved_model(model), exact, bytes_of(model, "saved_model.pb", "variables")),
        "lite, 1 thread": (lite(model, 1), quantised, bytes_of(model, "lite")),
        "lite, 2 threads": (lite(model, 2), quantised, bytes_of(model, "lite")),
    }
    for way, (encoders, codes, size) in ways.items():
        sides = [
            {name: coded_items(codes[name][part], pairs.labels[rows[part]]) for name in MODALITIES}
            for part in (slice(queries), slice(queries, None))
        ]
        precision = map_by_direction(*sides)
        cells = [run.name, way, f"{size:.1f}"]
        cells += [f"{milliseconds(encoders[name], items[name]()):.2f}" for name in MODALITIES]
        cells += [f"{precision[direction]:.4f}" for direction in ("I->T", "T->I")]
        cells += [f"{share:.2f}" for share in differ(codes)]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, exported with --lite")
    heads = (
        "run | way | MB | ms an image | ms a text | mAP I->T | T->I | % of image bits differ | of text bits"
    )
    given = parser.parse_args()
    warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
    print(f"| {heads} |\n|---|---|" + "--:|" * 7)
    for run in given.runs:
        measure(run)


if __name__ == "__main__":
    main()
