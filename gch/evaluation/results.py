"""What the test phase reports, and results.json."""

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gch import __version__
from gch.evaluation.codes import MODALITIES, EncodedPairs, bit_agreement, code_statistics, joined
from gch.evaluation.evaluate import ASYMMETRIC, Coded, evaluate_directions, map_by_direction
from gch.evaluation.own_half import own_halves, recall_by_direction
from gch.settings import Settings
from gch.storage import write_json

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "h5py")


def measured_figures(
    queries: EncodedPairs, database: EncodedPairs, training: np.ndarray, label_names: Sequence[str], **options
) -> dict:
    """What the test phase reports: mAP by direction, all other measures, and statistics of the codes.

    All measures by labels are over the whole retrieval set and, in keys that end in `_not_trained_on`, over
    its new items alone (None where there are none); `gch.evaluation.evaluate.NEW_ITEMS` says why they differ.
    Without labels they are absent. `own_half` has the ranks of the queries' own halves among those of all
    queries. `training`, int64, are the rows of the training items; options are those of `evaluate_items`.
    """
    new = ~np.isin(database.rows, training)
    found, _ = measured_codes(queries.coded(), database.coded(), new, **options)
    whole, of_new = found["evaluation"], found["evaluation_not_trained_on"]
    return {
        **(_by_labels(whole, of_new) if whole else {}),
        "queries": len(queries),
        "retrieval": len(database),
        "retrieval_not_trained_on": int(new.sum()),
        "label_names": list(label_names),
        "own_half": found["own_half"],
        "codes": {
            name: {kind: code_statistics(relaxed) for kind, relaxed in pairs.codes.items()}
            | {"image_text_agreement": bit_agreement(*(pairs.codes[name] for name in MODALITIES))}
            for name, pairs in (("query", queries), ("retrieval", database))
        },
    }


def measured_codes(queries: Coded, database: Coded, new: np.ndarray | None, **options) -> tuple[dict, dict]:
    """The figures of codes by direction, and values of every query, float64 (Q,), by names like 'I->T|mAP'.

    The figures are `evaluation` over the whole database, `evaluation_not_trained_on` over its new items, both
    empty where there is nothing to measure, and `own_half`. Without labels the database is not ranked. `new`,
    bool (N,), tells the items never trained on, None if not known; options are those of `evaluate_items`.
    """
    found: dict[str, dict[str, Any]] = {"evaluation": {}, "evaluation_not_trained_on": {}}
    if queries["image"].labels.shape[1]:
        found["evaluation"] = evaluate_directions(queries, database, **options)
        if new is not None and new.any():
            new_items = {kind: items.only(new) for kind, items in database.items()}
            found["evaluation_not_trained_on"] = evaluate_directions(queries, new_items, **options)
    found["own_half"] = own_halves(queries, options.get("ties", "tie-aware"))
    figures = {key: {name: one.figures() for name, one in some.items()} for key, some in found.items()}
    values = {
        f"{of}{direction}|{measure}": of_queries
        for key, of in (("evaluation", ""), ("own_half", "own half "))
        for direction, one in found[key].items()
        for measure, of_queries in one.values.items()
    }
    return figures, values


def _by_labels(whole: dict[str, dict], of_new: dict[str, dict]) -> dict:
    """The figures whose relevant items share a label with the query, and their mAP."""
    first = whole["I->T"]
    return {
        **{
            f"{name}{ending}": {key: one["measures"][name]["mean"] for key, one in some.items()} or None
            for name in ("mAP", ASYMMETRIC)
            for ending, some in (("", whole), ("_not_trained_on", of_new))
        },
        "mAP_policy": f"{first['ties']}, a query without a relevant item "
        + ("counts 0" if first["without_relevant"] == "zero" else "is left out"),
        "queries_without_relevant": first["queries_without_relevant"],
        "evaluation": whole,
        "evaluation_not_trained_on": of_new or None,
    }


def map_over_new(
    queries: EncodedPairs, database: EncodedPairs, training: np.ndarray, *, joins: bool
) -> dict[str, float] | None:
    """Tie-aware mAP by direction over the items of a database that were never trained on; None without any.

    `training`, int64, are the rows of the training items. With `joins`, the queries, which are not in the
    database, are new items too, as validation queries are, so that each ranks the other ones as well. On
    OpenMoji there are no further new items.
    """
    new, itself = database.only(~np.isin(database.rows, training)), None
    if joins:
        itself = len(new) + np.arange(len(queries))
        new = joined(new, queries)
    if len(new) <= joins:
        return None
    return map_by_direction(queries.coded(), new.coded(), itself)


def recall_among(queries: EncodedPairs, others: EncodedPairs) -> dict[str, float]:
    """Tie-aware recall@10 of the queries' own halves, by direction, among those of the queries and of others,
    which the queries are not in.
    """
    own = len(others) + np.arange(len(queries))
    return recall_by_direction(queries.coded(), joined(others, queries).coded(), own)


def save_results(
    path: Path, figures: dict, settings: Settings, digests: dict[str, str | None], training: dict
) -> None:
    """Writes results.json: the figures of `measured_figures`, and what it takes to get them again."""
    versions = {"gch": __version__, "python": platform.python_version()}
    versions |= {package: metadata.version(package) for package in PACKAGES}
    origin = {"settings": settings.values(), "versions": versions, "digests": digests}
    write_json(path, figures | {"training": training} | origin)


def weights_digest_parts(encoders: dict) -> list[np.ndarray]:
    """The weights that codes depend on, in a fixed order."""
    return [np.asarray(weight) for name in sorted(encoders) for weight in encoders[name].get_weights()]
