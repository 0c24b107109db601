"""A baseline: codes without learning to hash, from labels and linear regression alone.

The codes of the training items are those of their labels: eigenvectors of the centred similarity matrix of
the training items (1 where two share a label), rotated by ITQ, and their signs. Two ridge regressions, on
image features and on words, predict the rotated eigenvectors of all other items. Training items of the
database are coded by their true labels. Split, features, words and evaluation are those of a run; the weights
of both ridges are chosen on the validation queries.

    python benchmarks/baseline.py --dataset_dir=FLICKR --DATA_DIR=data --bit=32    # seeds 0, 1, 2
    python benchmarks/baseline.py --seeds=0
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import HEADER, print_table, row, settings
from scipy.sparse.linalg import eigsh

from gch.data.catalog import cache_folder, choose_split, open_pairs
from gch.data.vocabulary import with_vocabulary
from gch.evaluation.codes import EncodedPairs
from gch.evaluation.evaluate import map_by_direction
from gch.evaluation.results import measured_figures
from gch.networks.backbone import load_backbone
from gch.networks.inference import backbone_features
from gch.settings import Settings

BASELINE = "no learning to hash"
RIDGE = tuple(10.0**power for power in range(1, 6))
ROTATIONS = 50  # iterations of ITQ


def label_codes(labels: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """Real-valued codes float (N, bits) of items by their labels (N, C)."""
    distinct, place, count = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    similar = (distinct.astype(np.float32) @ distinct.T > 0).astype(float)
    mean = similar @ count / len(labels)
    centred = similar - mean[:, None] - mean + mean @ count / len(labels)
    weight = np.sqrt(count)
    # Items of the same labels have the same entries: one row stands for all of them.
    values, vectors = eigsh(weight[:, None] * centred * weight, k=min(bits, len(distinct) - 1), which="LA")
    embedded = (vectors / weight[:, None] * np.sqrt(values.clip(min=0)))[place.ravel()]
    embedded = np.pad(embedded, ((0, 0), (0, bits - embedded.shape[1])))
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(bits, bits)))[0]
    for _ in range(ROTATIONS):
        left, _, right = np.linalg.svd(embedded.T @ np.where(embedded @ rotation >= 0, 1.0, -1.0))
        rotation = left @ right
    return embedded @ rotation


def ridges(inputs: np.ndarray, training: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """Targets (N, bits) of the training items as all items' inputs (M, F) predict them, for each of RIDGE."""
    inputs = inputs - inputs[training].mean(axis=0)
    inputs /= inputs[training].std()
    known = inputs[training]
    values, vectors = np.linalg.eigh(known.T @ known)
    turned = vectors.T @ (known.T @ (targets - targets.mean(axis=0)))
    return [
        inputs @ (vectors @ (turned / (values + weight)[:, None])) + targets.mean(axis=0) for weight in RIDGE
    ]


def baseline(settings: Settings) -> dict:
    """What results.json holds of a run, of the baseline under a run's settings."""
    pairs = open_pairs(settings)
    split, cache = choose_split(settings, pairs), cache_folder(settings)
    with tempfile.TemporaryDirectory() as folder:
        pairs = with_vocabulary(pairs, split.training, settings, Path(folder) / "vocabulary.json", cache)
    features = pairs.features
    if features is None:
        backbone = load_backbone(settings)
        features = backbone_features(backbone, pairs, cache, lambda done, total: None)
    started = time.monotonic()
    targets = label_codes(pairs.labels[split.training], settings.bit, settings.seed)
    found = {}
    for modality, inputs in (("image", features), ("text", pairs.texts)):
        found[modality] = ridges(np.array(inputs, np.float32), split.training, targets.astype(np.float32))
        for codes in found[modality]:
            codes[split.training] = targets

    def items(image: np.ndarray, text: np.ndarray, rows: np.ndarray) -> EncodedPairs:
        found = {"image": image, "text": text}
        signs = {name: np.where(codes[rows] >= 0, 1, -1).astype(np.float32) for name, codes in found.items()}
        return EncodedPairs(signs, pairs.labels[rows], rows)

    def score(codes: tuple[np.ndarray, np.ndarray]) -> float:
        asked = split.validation
        queries, database = items(*codes, asked), items(*codes, np.setdiff1d(split.retrieval, asked))
        precision = map_by_direction(queries.coded(), database.coded())
        return precision["I->T"] + precision["T->I"]

    best = max(itertools.product(found["image"], found["text"]), key=score)
    seconds = time.monotonic() - started
    queries, database = items(*best, split.query), items(*best, split.retrieval)
    figures = measured_figures(
        queries,
        database,
        split.training,
        pairs.label_names,
        cutoffs=settings.cutoff_ranks,
        ties=settings.ties,
        without_relevant=settings.without_relevant,
    )
    return figures | {"training": {"seconds": seconds}}


def main() -> None:
    """Measures, and prints a row of the tables of QUALITY.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset_dir", default="OpenMoji")
    parser.add_argument("--DATA_DIR", default="data", help="folder of the data files and caches")
    parser.add_argument("--bit", type=int, default=32)
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    changes = {"dataset_dir": given.dataset_dir, "DATA_DIR": given.DATA_DIR, "bit": given.bit}
    found = [baseline(settings(seed=seed, **changes)) for seed in seeds]
    print_table(HEADER, [row(BASELINE, given.bit, found)])


if __name__ == "__main__":
    main()
