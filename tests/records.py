"""Evaluated codes of runs that never were, for the tests of what is made of them."""

import json
from pathlib import Path

import numpy as np

from gch.evaluation.codes import coded_items
from gch.evaluation.evaluate import evaluate_directions
from gch.reporting.record import Record
from gch.settings import Settings


def random_arrays(seed: int, bits: int = 16) -> dict[str, np.ndarray]:
    """Arrays of a file of codes: 12 queries, 40 items, 4 labels."""
    random = np.random.default_rng(seed)
    labels = random.random((52, 4)) < 0.4
    tied = random.normal(size=(4, bits))
    image, text = (np.sign(labels @ tied + random.normal(size=(52, bits))).astype(np.int8) for _ in range(2))
    return {
        "Qi": image[:12],
        "Qt": text[:12],
        "Di": image[12:],
        "Dt": text[12:],
        "query_L": labels[:12].astype(np.uint8),
        "retrieval_L": labels[12:].astype(np.uint8),
    }


NEW = slice(25, None)  # of the items, those that were never trained on


def directions(arrays: dict[str, np.ndarray], items: slice = slice(None), **options) -> dict[str, dict]:
    """Figures of all directions, over some of the items."""
    queries = {kind: coded_items(arrays[f"Q{kind[0]}"], arrays["query_L"]) for kind in ("image", "text")}
    database = {kind: coded_items(arrays[f"D{kind[0]}"], arrays["retrieval_L"]) for kind in ("image", "text")}
    database = {kind: coded.only(items) for kind, coded in database.items()}
    found = evaluate_directions(queries, database, **options)
    return {direction: evaluation.figures() for direction, evaluation in found.items()}


def record(name: str, seed: int = 0, bits: int = 16, **settings) -> Record:
    """A record in memory."""
    arrays = random_arrays(seed, bits)
    return Record(name, directions(arrays, cutoffs=(5,)), directions(arrays, NEW, cutoffs=(5,)), settings)


def write_run(folder: Path, settings: Settings, label_names: tuple[str, ...] = ()) -> None:
    """The results.json of a run with these settings."""
    code_figures = dict.fromkeys(
        ("bit_balance", "bit_correlation", "quantization_error", "distinct_codes"), 0.125
    )
    arrays = random_arrays(settings.seed, settings.bit)
    results = {
        "evaluation": directions(arrays),
        "evaluation_not_trained_on": directions(arrays, NEW),
        "label_names": list(label_names),
        "codes": {
            "retrieval": {"image": code_figures, "text": code_figures},
            "query": {"image_text_agreement": 0.75},
        },
        "training": {"best_epoch": 2, "seconds": 31.0},
        "settings": settings.values(),
    }
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
