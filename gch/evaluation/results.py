"""The test phase: encodes query and retrieval set, ranks, and saves codes and figures."""

import dataclasses
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import scipy.io

from gch import __version__
from gch.codes import binarize, bit_agreement, code_statistics
from gch.evaluation.directions import map_by_direction
from gch.evaluation.encoding import Encoded
from gch.evaluation.evaluate import Evaluation
from gch.evaluation.figures import figures
from gch.storage import atomic_path, write_json

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "h5py")


def save_codes(path: Path, queries: Encoded, database: Encoded) -> None:
    """Writes the original's <dataset>_<bit>.mat (v5), atomically.

    Qi, Qt (queries, K) and Di, Dt (retrieval items, K) are int8 codes of -1 and +1 of images and texts;
    query_L and retrieval_L are the multi-hot labels.
    """
    arrays = {
        "Qi": binarize(queries.image),
        "Qt": binarize(queries.text),
        "Di": binarize(database.image),
        "Dt": binarize(database.text),
        "query_L": queries.labels,
        "retrieval_L": database.labels,
    }
    with atomic_path(path) as temporary:
        scipy.io.savemat(temporary, arrays, do_compression=True)


def test_figures(
    queries: Encoded,
    database: Encoded,
    evaluations: dict[str, Evaluation],
    training: np.ndarray,
    label_names: Sequence[str],
) -> dict:
    """What the test phase reports: mAP by direction, all other measures, and statistics of the codes.

    Args:
      queries: the query set.
      database: the retrieval set.
      evaluations: of both, from `evaluate_directions`.
      training: int64, rows of the training items. A method may know those of the retrieval set by heart, so
        mAP is also told over the others alone (None where there are no others).
      label_names: C names, or none.
    """
    first = evaluations["I->T"]
    new = database.only(~np.isin(database.rows, training))
    return {
        "mAP": {direction: found.mean(found.values["mAP"]) for direction, found in evaluations.items()},
        "mAP_not_trained_on": map_by_direction(queries.coded(), new.coded()) if len(new.rows) else None,
        "mAP_policy": f"{first.ties}, whole retrieval set, a query without a relevant item "
        + ("counts 0" if first.without_relevant == "zero" else "is left out")
        + "; items not trained on: tie-aware, counts 0",
        "queries": len(queries.rows),
        "queries_without_relevant": int((~first.has_relevant).sum()),
        "retrieval": len(database.rows),
        "retrieval_not_trained_on": len(new.rows),
        "label_names": list(label_names),
        "evaluation": {direction: figures(found) for direction, found in evaluations.items()},
        "codes": {"query": _code_figures(queries), "retrieval": _code_figures(database)},
    }


def _code_figures(items: Encoded) -> dict:
    return {
        "image": code_statistics(items.image),
        "text": code_statistics(items.text),
        "image_text_agreement": bit_agreement(items.image, items.text),
    }


def save_results(
    path: Path, figures: dict, settings: object, digests: dict[str, str], training: dict
) -> None:
    """Writes results.json: the figures, and what it takes to get them again.

    Args:
      path: results.json.
      figures: from `test_figures`.
      settings: the frozen settings.
      digests: of data, split, backbone and weights.
      training: best epoch, seconds, and the validation figures of every outer epoch.
    """
    versions = {"gch": __version__, "python": platform.python_version()}
    versions |= {package: metadata.version(package) for package in PACKAGES}
    write_json(
        path,
        {
            **figures,
            "training": training,
            "settings": dataclasses.asdict(settings),
            "versions": versions,
            "digests": digests,
        },
    )


def weights_digest_parts(encoders: dict) -> list[np.ndarray]:
    """The weights that codes depend on, in a fixed order."""
    return [np.asarray(weight) for name in ("image", "text") for weight in encoders[name].get_weights()]
