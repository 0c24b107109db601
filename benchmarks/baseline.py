"""Two baselines: codes without learning to hash.

`spectral`: the codes of the training items are those of their labels: eigenvectors of the centred similarity
matrix of the training items (1 where two share a label), rotated by ITQ, and their signs. Two ridge
regressions, on image features and on words, predict the rotated eigenvectors of all other items. Training
items of the database are coded by their true labels. The weights of both ridges are chosen on the validation
queries. Split, features, words and evaluation are those of a run, here and below.

`itq`: an item's vector are its labels as a ridge regression predicts them, and those of its 64 nearest
training items. PCA of these vectors and ITQ make the codes. The same vectors ranked by their cosine, before
they are coded, are the row "real-valued". No item is coded by its own labels.

    python benchmarks/baseline.py --dataset_dir=FLICKR --DATA_DIR=data --bit=32    # seeds 0, 1, 2
    python benchmarks/baseline.py --kind=itq --seeds=0
    python benchmarks/baseline.py --kind=itq --dataset_dir=files --DATA_DIR=flickr8k.npz --QUERY_SIZE=1000 ...
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measuring import HEADER, print_table, row, settings, spread
from scipy.sparse.linalg import eigsh
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

from gch.data.catalog import cache_folder, choose_split, open_pairs
from gch.data.pairs import Pairs, Split
from gch.data.vocabulary import with_vocabulary
from gch.evaluation.codes import EncodedPairs
from gch.evaluation.evaluate import CROSS, map_by_direction
from gch.evaluation.results import measured_figures
from gch.networks.backbone import load_backbone
from gch.networks.inference import backbone_features
from gch.networks.text_encoder import load_text_encoder, with_encoded_texts
from gch.run import RunFolder
from gch.settings import Settings

BASELINE = "no learning to hash"
ITQ = "ridge, neighbours' labels, ITQ"
RIDGE = tuple(10.0**power for power in range(1, 6))
NEIGHBOURS = 64
ROTATIONS = 50  # iterations of ITQ


def label_codes(labels: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """Real-valued codes float (N, bits) of items by their labels (N, C)."""
    distinct, place, count = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    similar = (distinct.astype(np.float32) @ distinct.T > 0).astype(float)
    mean = similar @ count / len(labels)
    centred = similar - mean[:, None] - mean + mean @ count / len(labels)
    weight = np.sqrt(count)
    # Items of the same labels have the same entries: one row stands for all of them.
    start = np.random.default_rng(seed).normal(size=len(distinct))
    values, vectors = eigsh(
        weight[:, None] * centred * weight, k=min(bits, len(distinct) - 1), which="LA", v0=start
    )
    embedded = (vectors / weight[:, None] * np.sqrt(values.clip(min=0)))[place.ravel()]
    embedded = np.pad(embedded, ((0, 0), (0, bits - embedded.shape[1])))
    return embedded @ itq_rotation(embedded, seed)


def itq_rotation(embedded: np.ndarray, seed: int) -> np.ndarray:
    """The rotation (K, K) of vectors (N, K) that brings them nearest to their signs."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(embedded.shape[1],) * 2))[0]
    for _ in range(ROTATIONS):
        left, _, right = np.linalg.svd(embedded.T @ np.where(embedded @ rotation >= 0, 1.0, -1.0))
        rotation = left @ right
    return rotation


def label_vectors(inputs: np.ndarray, training: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Vectors (M, 2C) of items with inputs (M, F), by the labels (N, C) of the training items.

    A training item's own entry is left out of its neighbours.
    """
    inputs = np.asarray(inputs, np.float32)
    scaled = (inputs - inputs[training].mean(axis=0)) / inputs[training].std()
    predicted = RidgeCV(RIDGE).fit(scaled[training], labels).predict(scaled)
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True).clip(min=1e-9)
    search = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(unit[training])
    distances, nearest = search.kneighbors(unit)
    own = training[nearest] == np.arange(len(unit))[:, None]
    # exp(10 cos), as unit vectors have the squared distance 2 - 2 cos.
    weights = np.where(own, 0.0, np.exp(-5 * distances**2))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.hstack([predicted, np.einsum("bk,bkc->bc", weights, labels[nearest])])


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


def opened(settings: Settings) -> tuple[Pairs, Split, np.ndarray]:
    """The data of a run: pairs with their words, split, and features (M, F) of the images."""
    pairs = open_pairs(settings)
    split, cache = choose_split(settings, pairs), cache_folder(settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run.start(settings, pairs.digest)
        pairs = with_vocabulary(pairs, split.training, settings, run.vocabulary, cache)
        encoder = load_text_encoder(settings, pairs, split.training, run)
        pairs = with_encoded_texts(pairs, encoder, run, cache)
        run.close()
    features = pairs.features
    if features is None:
        features = backbone_features(load_backbone(settings), pairs, cache, lambda done, total: None)
    return pairs, split, features


def encoded(image: np.ndarray, text: np.ndarray, pairs: Pairs, rows: np.ndarray) -> EncodedPairs:
    """The signs of codes (M, K) of all items, of those at `rows`."""
    found = {"image": image, "text": text}
    signs = {name: np.where(codes[rows] >= 0, 1, -1).astype(np.float32) for name, codes in found.items()}
    return EncodedPairs(signs, pairs.labels[rows], rows)


def measured(
    settings: Settings, pairs: Pairs, split: Split, codes: Sequence[np.ndarray], seconds: float
) -> dict:
    """What results.json holds of a run, of codes of all images and texts."""
    figures = measured_figures(
        encoded(*codes, pairs, split.query),
        encoded(*codes, pairs, split.retrieval),
        split.training,
        pairs.label_names,
        **settings.ranking,
    )
    return figures | {"training": {"seconds": seconds}}


def baseline(settings: Settings) -> dict:
    """What results.json holds of a run, of spectral codes under a run's settings."""
    pairs, split, features = opened(settings)
    started = time.monotonic()
    targets = label_codes(pairs.labels[split.training], settings.bit, settings.seed)
    found = {}
    for modality, inputs in (("image", features), ("text", pairs.texts)):
        found[modality] = ridges(np.array(inputs, np.float32), split.training, targets.astype(np.float32))
        for codes in found[modality]:
            codes[split.training] = targets

    def score(codes: tuple[np.ndarray, np.ndarray]) -> float:
        queries = encoded(*codes, pairs, split.validation)
        database = encoded(*codes, pairs, np.setdiff1d(split.retrieval, split.validation))
        precision = map_by_direction(queries.coded(), database.coded())
        return precision["I->T"] + precision["T->I"]

    best = max(itertools.product(found["image"], found["text"]), key=score)
    return measured(settings, pairs, split, best, time.monotonic() - started)


def itq_baseline(settings: Settings) -> dict:
    """What results.json holds of a run, of ITQ codes under a run's settings.

    With `real_valued`, the mAP of their vectors' cosines by direction, over new items.
    """
    pairs, split, features = opened(settings)
    started, labels = time.monotonic(), pairs.labels[split.training].astype(np.float64)
    vectors = [label_vectors(inputs, split.training, labels) for inputs in (features, pairs.texts)]
    known = np.vstack([one[split.training] for one in vectors])
    pca = PCA(min(settings.bit, known.shape[1])).fit(known)
    embedded = [
        np.pad(part, ((0, 0), (0, settings.bit - part.shape[1]))) for part in map(pca.transform, vectors)
    ]
    rotation = itq_rotation(np.vstack([part[split.training] for part in embedded]), settings.seed)
    codes = [part @ rotation for part in embedded]
    figures = measured(settings, pairs, split, codes, time.monotonic() - started)
    new = np.setdiff1d(split.retrieval, split.training)
    relevant = pairs.labels[split.query].astype(int) @ pairs.labels[new].T > 0
    image, text = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in vectors)

    def cosine_map(queries: np.ndarray, database: np.ndarray) -> float:
        order = np.argsort(-queries[split.query] @ database[new].T, axis=1, kind="stable")
        found = np.take_along_axis(relevant, order, axis=1)
        precision = found.cumsum(axis=1) / np.arange(1, len(new) + 1)
        return float(((precision * found).sum(axis=1) / found.sum(axis=1).clip(min=1)).mean())

    return figures | {"real_valued": {"I->T": cosine_map(image, text), "T->I": cosine_map(text, image)}}


def main() -> None:
    """Measures, and prints a row of the tables of QUALITY.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset_dir", default="OpenMoji")
    parser.add_argument("--DATA_DIR", default="data", help="folder of the data files and caches")
    parser.add_argument("--txtStr", default="words", help="encoder of texts, as of a run")
    parser.add_argument("--bit", type=int, default=32)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--kind", default="spectral", choices=["spectral", "itq"])
    for size in ("QUERY_SIZE", "TRAINING_SIZE", "VERIFICATION_SIZE"):
        parser.add_argument(f"--{size}", type=int, default=-1)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    changes = {name: value for name, value in vars(given).items() if name not in ("kind", "seeds")}
    measure = baseline if given.kind == "spectral" else itq_baseline
    found = [measure(settings(**changes, seed=seed)) for seed in seeds]
    print_table(HEADER, [row(BASELINE if given.kind == "spectral" else ITQ, given.bit, found)])
    if given.kind == "itq":
        values = [spread([one["real_valued"][direction] for one in found]) for direction in CROSS]
        print(f"real-valued, new items: I->T {values[0]}  T->I {values[1]}")


if __name__ == "__main__":
    main()
