"""The preset `reference` against the original code, stage by stage, on generated pairs.

    python benchmarks/reference_proxy.py FOLDER --seeds 0,1,2

The folder holds the data on which the original was run: FLICKR-25K.mat (1,500 pictures of 224 x 224, 1,386
tags, 24 labels), split.npy (a permutation p: queries p[:200], retrieval set p[200:], training items
p[200:800]) and weight-slim/imagenet-vgg-f.mat (VGG-F with random weights; 32, 64, 64, 64, 64, 512 and 4,096
channels).

16 bits, batches of 128, VGG-F trained, the original's loop counts: 10 x 100 label steps, 5 x 4 of text, 5 x 4
of image, 5 x 100 of the graph, 5 x 4 of text, 5 x 4 of image. As the original does, codes are made by the
statistics of the batch, 128 items at a time, and ranked by an argsort of Hamming distances over the whole
retrieval set. The second table is what a run gives: moving statistics, and a tie counts as the mean over its
orders.

x, y, l: codes of image, text and label network before the graph half; i, t: of image and text after it. a->b:
queries' a, retrieval set's b.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
from measuring import settings, table

from gch.data.catalog import choose_split, open_pairs
from gch.data.pairs import Pairs, Split
from gch.evaluation.codes import code_statistics, coded_items
from gch.evaluation.evaluate import mean_average_precision
from gch.methods.items import training_items
from gch.methods.method import build_method
from gch.networks.backbone import load_backbone
from gch.settings import Settings
from gch.training.device import configure_device
from gch.training.loop import StageLoop, set_rates

COLUMNS = ("l->l", "y->l", "l->y", "x->l", "l->x", "i->t", "t->i", "i->i", "t->t")
ORIGINAL = {  # the original code, one run, by outer epoch; its own runs of one seed differ by about .02
    1: (0.745, 0.405, 0.365, 0.480, 0.516, 0.303, 0.300, 0.425, 0.240),
    2: (0.756, 0.414, 0.435, 0.524, 0.588),
}
NETWORKS = {"x": "image", "i": "image", "y": "text", "t": "text", "l": "label"}
STATISTICS = ("bit_correlation", "bit_balance", "quantization_error")
BATCH = 128


def make_settings(folder: Path, seed: int, bit: int) -> Settings:
    """The settings of a run."""
    permutation = np.load(folder / "split.npy")
    split = folder / "split_reference.npz"
    np.savez(
        split,
        query=permutation[:200],
        retrieval=permutation[200:],
        training=permutation[200:800],
        validation=np.zeros(0, np.int64),
    )
    return settings(
        preset="reference",
        dataset_dir="FLICKR",
        DATA_DIR=str(folder / "FLICKR-25K.mat"),
        split=str(split),
        netStr="vggf",
        backbone="trained",
        MODEL_DIR=str(folder / "weight-slim" / "imagenet-vgg-f.mat"),
        seed=seed,
        bit=bit,
    )


class Run:
    """One seed's networks on the pairs."""

    def __init__(self, folder: Path, seed: int, bit: int):
        self.settings = make_settings(folder, seed, bit)
        configure_device(self.settings)
        self.pairs: Pairs = open_pairs(self.settings)
        self.split: Split = choose_split(self.settings, self.pairs)
        backbone = load_backbone(dataclasses.replace(self.settings, seed=seed))
        items = training_items(self.pairs, self.split.training, None)
        self.method = build_method(self.settings, items, backbone)
        self.loops = [StageLoop(stage, items, self.settings.batch_size) for stage in self.method.stages]

    def epoch(self, number: int) -> tuple[dict[str, float], dict[str, float]]:
        """Runs outer epoch `number`, from 0.

        Returns:
          mAP by column, with codes by the statistics of the batch, and by moving statistics.
        """
        figures = ({}, {})
        for loop in self.loops:
            stage = loop.stage
            set_rates(stage, self.settings, number)
            started = time.perf_counter()
            losses = loop.open((self.settings.seed, number, stage.name), 0)(stage.steps)
            shown = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            print(f"    {stage.name}: {time.perf_counter() - started:.0f} s, mean losses {shown}", flush=True)
            columns = {
                "label": ("l->l",),
                "text/label": ("y->l", "l->y"),
                "image/label": ("x->l", "l->x"),
                "image/graph": ("i->t", "t->i", "i->i", "t->t"),
            }.get(stage.name, ())
            self._note(columns, figures)
        return figures

    def _note(self, columns: tuple[str, ...], figures: tuple[dict, dict]) -> None:
        sides = [column.split("->") for column in columns]
        for by_batch, found in zip((True, False), figures, strict=True):
            queries = {side: self._codes(side, self.split.query, by_batch) for side in {a for a, _ in sides}}
            database = {
                side: self._codes(side, self.split.retrieval, by_batch) for side in {b for _, b in sides}
            }
            for column, (asked, answered) in zip(columns, sides, strict=True):
                of = queries[asked], database[answered], self.pairs.labels[self.split.query]
                rank = argsort_map if by_batch else tie_aware_map
                found[column] = rank(*of, self.pairs.labels[self.split.retrieval])

    def _codes(self, side: str, rows: np.ndarray, by_batch: bool) -> np.ndarray:
        """Relaxed codes (n, K); the networks are left as they were."""
        name = NETWORKS[side]
        network: keras.Model = self.method.networks[name]
        read = {
            "image": self.pairs.pictures.read,
            "text": lambda part: self.pairs.texts[part].astype(np.float32),
            "label": lambda part: self.pairs.labels[part].astype(np.float32),
        }[name]
        kept = network.get_weights() if by_batch else []
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        codes = np.concatenate([network(read(part), training=by_batch)["code"] for part in parts])
        if by_batch:
            network.set_weights(kept)
        return codes


def argsort_map(queries: np.ndarray, database: np.ndarray, asked: np.ndarray, answered: np.ndarray) -> float:
    """The mAP of relaxed codes as the original counts it: ties as argsort leaves them."""
    queries, database = np.where(queries >= 0, 1.0, -1.0), np.where(database >= 0, 1.0, -1.0)
    total = 0.0
    for code, labels in zip(queries, asked, strict=True):
        relevant = (answered.astype(int) @ labels.astype(int) > 0)[np.argsort(-(database @ code))]
        if relevant.any():
            total += np.mean(np.arange(1, relevant.sum() + 1) / (1 + np.flatnonzero(relevant)))
    return total / len(queries)


def tie_aware_map(
    queries: np.ndarray, database: np.ndarray, asked: np.ndarray, answered: np.ndarray
) -> float:
    """The mAP of relaxed codes as a run counts it."""
    return mean_average_precision(coded_items(queries, asked), coded_items(database, answered))


def compare(title: str, epoch: int, seeds: list[dict[str, float]], known: bool) -> None:
    """Prints figures of the original and ours; the original's are `known` for 16 bits."""
    original = dict(zip(COLUMNS, ORIGINAL.get(epoch, ()) if known else (), strict=False))
    rows = []
    for column in COLUMNS:
        values = [figures[column] for figures in seeds]
        mean, deviation = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
        there = column in original
        rows.append(
            (
                column,
                f"{original[column]:.3f}" if there else "-",
                f"{mean:.3f} ± {deviation:.3f}",
                f"{mean - original[column]:+.3f}" if there else "-",
                " ".join(f"{value:.3f}" for value in values),
            )
        )
    print(f"\nouter epoch {epoch}, {title}")
    table(("mAP", "original", "ours", "difference", "each seed"), rows)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--bit", type=int, default=16, help="other lengths have no figures of the original")
    given = parser.parse_args()

    seeds = [int(seed) for seed in given.seeds.split(",")]
    found = {epoch: [] for epoch in range(given.epochs)}
    memories = []
    for seed in seeds:
        run = Run(given.folder, seed, given.bit)
        for epoch in range(given.epochs):
            print(f"  seed {seed}, outer epoch {epoch + 1}", flush=True)
            found[epoch].append(run.epoch(epoch))
            for name, codes in run.method.relaxed_codes().items():
                each = code_statistics(codes)
                shown = (f"{each[key]:.3f}" for key in STATISTICS)
                memories.append((name, epoch + 1, seed, *shown, len(np.unique(codes >= 0, axis=0))))
    for epoch, of_epoch in found.items():
        compare(
            "by the statistics of the batch",
            epoch + 1,
            [by_batch for by_batch, _ in of_epoch],
            given.bit == 16,
        )
        compare(
            "by moving statistics, as a run", epoch + 1, [moving for _, moving in of_epoch], given.bit == 16
        )
    print("\ncodes of the 600 training items in the memories")
    table(("of", "epoch", "seed", *STATISTICS, "codes"), memories)


if __name__ == "__main__":
    main()
