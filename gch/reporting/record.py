"""One evaluated set of codes, as tables, plots and pages need it; read from results.json."""

import dataclasses
from pathlib import Path
from typing import Any

from gch.data.text_files import is_count, is_number, read_json
from gch.errors import DataError, RunError
from gch.evaluation.evaluate import DIRECTIONS, UNIFIED


def _number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: object) -> bool:
    return isinstance(value, str)


@dataclasses.dataclass(frozen=True)
class _Optional:
    """The shape of a part that may be missing."""

    shape: Any


NEW = "evaluation_not_trained_on"  # None where there are no new items
_STATISTICS = {...: is_number}
_DIRECTION = {
    **dict.fromkeys(("bits", "queries", "queries_without_relevant", "retrieval"), is_count),
    "ties": _text,
    "without_relevant": _text,
    "measures": {...: dict.fromkeys(("mean", "low", "high"), _number)},
    "mAP_by_ties": {...: _number},
    "mAP_by_label": [_number],
    "radius": {"precision": [_number], "recall": [_number]},
    "recall_level": {"recall": [_number], "precision": [_number]},
    "rank": {"rank": [is_count], "precision": [_number]},
    "pairs_at_distance": {"relevant": [is_number], "other": [is_number]},
}
_EVALUATION = dict.fromkeys(DIRECTIONS, _DIRECTION) | dict.fromkeys(UNIFIED, _Optional(_DIRECTION))
_RESULTS = {
    "evaluation": _EVALUATION,
    "settings": {...: lambda value: True},
    NEW: _Optional(_EVALUATION),
    "label_names": _Optional([_text]),
    "training": _Optional({"best_epoch": is_count, "seconds": is_number}),
    "codes": _Optional(
        {
            "retrieval": {"image": _STATISTICS, "text": _STATISTICS, "pair": _Optional(_STATISTICS)},
            "query": {"image_text_agreement": is_number},
        }
    ),
}


def _misfit(value: Any, shape: Any, where: str) -> str:
    """The path of the first part of a value of JSON that does not fit; '' where all does. A shape is a
    function, a list of one shape, or a dictionary of shapes, by ... for any name.
    """
    if callable(shape):
        return "" if shape(value) else where or "its content"
    if not isinstance(value, type(shape)):
        return where or "its content"
    parts: list[tuple]
    if isinstance(shape, list):
        parts = [(number, part, shape[0]) for number, part in enumerate(value)]
    elif ... in shape:
        parts = [(name, part, shape[...]) for name, part in value.items()]
    else:
        given = {name: part for name, part in value.items() if (name, part) != (NEW, None)}
        parts = [
            (name, given.get(name, ...), part.shape if isinstance(part, _Optional) else part)
            for name, part in shape.items()
            if name in given or not isinstance(part, _Optional)
        ]
        lengths = {len(part) for part in value.values() if isinstance(part, list)}
        if len(lengths) > 1 and all(isinstance(part, list) for part in shape.values()):
            return where
    wrong = (_misfit(part, inner, f"{where}.{name}".lstrip(".")) for name, part, inner in parts)
    return next(filter(None, wrong), "")


@dataclasses.dataclass(frozen=True)
class Record:
    """The measures of a run, or of the codes of another tool."""

    name: str  # its name in tables
    directions: dict[str, dict]  # 'I->T' and so on to `Evaluation.figures`, over the whole retrieval set
    new: dict[str, dict] = dataclasses.field(default_factory=dict)  # over new items; empty if not known
    settings: dict[str, object] = dataclasses.field(default_factory=dict)  # of a run, by name
    results: dict = dataclasses.field(default_factory=dict)  # all of a run's results.json
    folder: Path | None = None  # of a run

    @property
    def label_names(self) -> list[str]:
        """C names of labels; empty where they are not known."""
        return self.results.get("label_names") or []

    @property
    def bits(self) -> int:
        """Length of the codes."""
        return self.directions["I->T"]["bits"]

    @property
    def method(self) -> str:
        """Data set, method and preset of a run; the name where these are not known."""
        parts = [self.settings.get(name) for name in ("dataset_dir", "method", "preset")]
        if not self.settings.get("own_neighbour", True):
            parts.append("own_neighbour=False")
        return " ".join(str(part) for part in parts if part) or self.name

    def mean(self, direction: str, measure: str, new: bool = False) -> float | None:
        """Mean of a measure, over all items or the new ones; None where it was not measured."""
        return self.measured(direction, measure, new).get("mean")

    def measured(self, direction: str, measure: str, new: bool = False) -> dict[str, float | None]:
        """Mean of a measure and its interval, `low` and `high`; empty where it was not measured."""
        figures = (self.new if new else self.directions).get(direction, {})
        return figures.get("measures", {}).get(measure, {})


def read_run(folder: Path) -> Record:
    """The record of a tested run.

    Raises:
      RunError: there is no results.json, it cannot be read, or it holds no evaluation.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise RunError(f"{path}: not found; expected the folder of a tested run")
    try:
        results: Any = read_json(path)
        wrong = _misfit(results, _RESULTS, "")
        if wrong:
            raise DataError(f"{path}: {wrong} is missing or damaged")
    except DataError as error:
        raise RunError(f"{error}; test the run again") from error
    try:
        name, new = path.parent.resolve().name, results.get(NEW) or {}
        record = Record(name, results["evaluation"], new, results["settings"], results, path.parent)
        if None in (record.mean("I->T", "mAP"), record.mean("T->I", "mAP")):
            raise ValueError("no mAP")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: no evaluation in it ({type(error).__name__}: {error}); test the run again"
        ) from error
    return record
