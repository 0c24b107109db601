"""Evaluated codes of runs that never were, for the tests of what is made of them."""

import contextlib
import copy
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gch.evaluation.codes import KINDS, MODALITIES, CodedItems, coded_items
from gch.evaluation.evaluate import evaluate_directions
from gch.evaluation.own_half import own_halves
from gch.reporting.record import CODE_FIGURES, Record
from gch.settings import Settings


def random_arrays(seed: int, bits: int = 16, pairs: bool = False) -> dict[str, np.ndarray]:
    """Arrays of a file of codes: 12 queries, 40 items, 4 labels.

    With `pairs`, there are unified codes too, and the queries' are relaxed.
    """
    random = np.random.default_rng(seed)
    labels = random.random((52, 4)) < 0.4
    tied = random.normal(size=(4, bits))
    image, text = (np.sign(labels @ tied + random.normal(size=(52, bits))).astype(np.int8) for _ in range(2))
    arrays = {
        "Qi": image[:12],
        "Qt": text[:12],
        "Di": image[12:],
        "Dt": text[12:],
        "query_L": labels[:12].astype(np.uint8),
        "retrieval_L": labels[12:].astype(np.uint8),
    }
    if pairs:
        arrays |= {"Qu": (image + text)[:12] / 2, "Du": np.where(image + text >= 0, 1, -1)[12:]}
        arrays |= {name: arrays[name] * random.random((12, bits)) for name in ("Qi", "Qt", "Qu")}
    return arrays


NEW = slice(25, None)  # of the items, those that were never trained on


def directions(arrays: dict[str, np.ndarray], items: slice = slice(None), **options) -> dict[str, dict]:
    """Figures of all directions, over some of the items."""

    def coded(side: str, labels: np.ndarray) -> dict[str, CodedItems]:
        named = {kind: arrays.get(side + name) for kind, name in zip(KINDS, "itu", strict=True)}
        return {kind: coded_items(codes, labels) for kind, codes in named.items() if codes is not None}

    queries, database = coded("Q", arrays["query_L"]), coded("D", arrays["retrieval_L"])
    database = {kind: some.only(items) for kind, some in database.items()}
    if "Qu" in arrays:
        queries = {
            kind: dataclasses.replace(some, relaxed=arrays["Q" + name].astype(np.float32))
            for (kind, some), name in zip(queries.items(), "itu", strict=True)
        }
    found = evaluate_directions(queries, database, **options)
    return {direction: evaluation.figures() for direction, evaluation in found.items()}


@functools.cache
def _figures(seed: int, bits: int, pairs: bool, **options) -> tuple[dict, dict, dict]:
    """Figures over all items, over new ones, and of own halves."""
    arrays = random_arrays(seed, bits, pairs)
    return directions(arrays, **options), directions(arrays, NEW, **options), own_half_figures(arrays)


def record(name: str, seed: int = 0, bits: int = 16, pairs: bool = False, **settings) -> Record:
    """A record in memory."""
    whole, new, _ = copy.deepcopy(_figures(seed, bits, pairs, cutoffs=(5,)))
    return Record(name, {"evaluation": whole, "evaluation_not_trained_on": new, "settings": settings})


def own_half_figures(arrays: dict[str, np.ndarray]) -> dict[str, dict]:
    """Figures of own halves of the queries, whose codes may be relaxed."""

    def coded(codes: np.ndarray) -> CodedItems:
        items, relaxed = coded_items(codes, np.zeros((len(codes), 0))), codes.dtype.kind == "f"
        return dataclasses.replace(items, relaxed=codes.astype(np.float32) if relaxed else None)

    found = own_halves({"image": coded(arrays["Qi"]), "text": coded(arrays["Qt"])})
    return {direction: one.figures() for direction, one in found.items()}


def unlabelled(name: str, seed: int = 0, bits: int = 16, **settings) -> Record:
    """A record in memory of data without labels, of relaxed queries."""
    _, _, own_half = copy.deepcopy(_figures(seed, bits, pairs=True, cutoffs=(5,)))
    return Record(name, {"own_half": own_half, "settings": settings})


def changed(one: Record, **results) -> Record:
    """A record with other parts of the results."""
    return dataclasses.replace(one, results={**one.results, **results})


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within the `with` block, figures are made and their files are empty: drawing takes a second each."""

    def save(figure, file, **options):
        if not hasattr(file, "write"):
            Path(file).touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", save)
        patch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)
        yield


def write_run(
    folder: Path,
    settings: Settings,
    label_names: tuple[str, ...] = (),
    pairs: bool = False,
    labels: bool = True,
) -> None:
    """The results.json of a run with these settings; without `pairs`, of a version that knew none; without
    `labels`, of data that have none.
    """
    code_figures = dict.fromkeys(CODE_FIGURES, 0.125)
    whole, new, own_half = _figures(settings.seed, settings.bit, pairs)
    of_labels = {"evaluation": whole, "evaluation_not_trained_on": new}
    results = {
        **(of_labels if labels else {"own_half": own_half}),
        "label_names": list(label_names),
        "codes": {
            "retrieval": dict.fromkeys(KINDS if pairs else MODALITIES, code_figures),
            "query": {"image_text_agreement": 0.75},
        },
        "training": {"best_epoch": 2, "seconds": 31.0},
        "settings": settings.values(),
    }
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
