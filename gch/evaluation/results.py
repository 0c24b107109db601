"""The test phase: encodes query and retrieval set, ranks, and saves codes and figures."""

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import scipy.io

from gch import __version__
from gch.codes import binarize, bit_agreement, code_statistics
from gch.evaluation.directions import evaluate_directions, map_by_direction
from gch.evaluation.encoding import Encoded, joined
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
    training: np.ndarray,
    label_names: Sequence[str],
    **options,
) -> dict:
    """What the test phase reports: mAP by direction, all other measures, and statistics of the codes.

    All measures are over the whole retrieval set and, in keys that end in `_not_trained_on`, over its new
    items alone (None where there are none); `gch.evaluation.directions.NEW_ITEMS` says why they differ.

    Args:
      queries: the query set.
      database: the retrieval set.
      training: int64, rows of the training items.
      label_names: C names, or none.
      options: of `gch.evaluation.evaluate.evaluate`.
    """
    new = database.only(~np.isin(database.rows, training))
    whole = _evaluated(queries, database, **options)
    of_new = _evaluated(queries, new, **options) if len(new.rows) else None
    first = whole["I->T"]
    return {
        "mAP": _map(whole),
        "mAP_not_trained_on": _map(of_new) if of_new else None,
        "mAP_policy": f"{first['ties']}, a query without a relevant item "
        + ("counts 0" if first["without_relevant"] == "zero" else "is left out"),
        "queries": len(queries.rows),
        "queries_without_relevant": first["queries_without_relevant"],
        "retrieval": len(database.rows),
        "retrieval_not_trained_on": len(new.rows),
        "label_names": list(label_names),
        "evaluation": whole,
        "evaluation_not_trained_on": of_new,
        "codes": {"query": _code_figures(queries), "retrieval": _code_figures(database)},
    }


def map_over_new(
    queries: Encoded, database: Encoded, training: np.ndarray, *, joins: bool
) -> dict[str, float] | None:
    """Tie-aware mAP by direction over the items that were never trained on; None where there are none.

    Args:
      queries: Q items.
      database: the items to rank, without the queries.
      training: int64, rows of the training items.
      joins: whether the queries are new items of the retrieval set too, as validation queries are, so that
        each ranks the other ones as well. On OpenMoji there are no further new items.
    """
    new, itself = database.only(~np.isin(database.rows, training)), None
    if joins:
        itself = len(new.rows) + np.arange(len(queries.rows))
        new = joined(new, queries)
    if len(new.rows) <= joins:
        return None
    return map_by_direction(queries.coded(), new.coded(), itself)


def _evaluated(queries: Encoded, database: Encoded, **options) -> dict[str, dict]:
    found = evaluate_directions(queries.coded(), database.coded(), **options)
    return {direction: figures(evaluation) for direction, evaluation in found.items()}


def _map(evaluated: dict[str, dict]) -> dict[str, float | None]:
    return {direction: found["measures"]["mAP"]["mean"] for direction, found in evaluated.items()}


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
            "settings": settings.values(),
            "versions": versions,
            "digests": digests,
        },
    )


def weights_digest_parts(encoders: dict) -> list[np.ndarray]:
    """The weights that codes depend on, in a fixed order."""
    return [np.asarray(weight) for name in ("image", "text") for weight in encoders[name].get_weights()]
