"""One evaluated set of codes, as tables, plots and pages need it; read from results.json."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gch.data.text_files import Fields, Shape, is_count, is_number, object_of, read_json
from gch.errors import DataError, RunError
from gch.evaluation.evaluate import CROSS, UNIFIED, directions
from gch.settings import free_settings

NEW = "evaluation_not_trained_on"  # None where there are no new items
OWN_HALF = "own_half"
CODE_FIGURES = ("bit_balance", "bit_correlation", "quantization_error", "distinct_codes")


def _is_share(value: Any) -> bool:
    return is_number(value) and -1e-6 <= value <= 1 + 1e-6  # rounded


def _or_null(expected: str, fits: Callable[[Any], bool]) -> Shape:
    return f"{expected}, or null", lambda value: value is None or fits(value)


_BITS = ("a positive multiple of 8", lambda value: is_count(value) and value >= 8 and value % 8 == 0)
_COUNT, _NUMBER = ("a whole number from 0 on", is_count), ("a finite number", is_number)
_PAIRS = ("a whole number from 0 on", lambda value: type(value) is int and 0 <= value < 2**53)
_TEXT = ("a text", lambda value: isinstance(value, str))
_SETTING = (
    "a text, a number, true or false",
    lambda value: isinstance(value, str | bool) or is_number(value),
)
_SHARE = _or_null("a number from 0 to 1", _is_share)
_MEASURE = dict.fromkeys(("mean", "low", "high"), _or_null("a finite number", is_number))
_CURVES: Fields = {
    "radius": {"precision": [_SHARE], "recall": [_SHARE]},
    "recall_level": {"recall": [_SHARE], "precision": [_SHARE]},
    "rank": {"rank": [_COUNT], "precision": [_SHARE]},
    "pairs_at_distance": {"relevant": [_PAIRS], "other": [_PAIRS]},
}
_DIRECTION: Fields = {  # means are null where no query counts
    "bits": _BITS,
    **dict.fromkeys(("queries", "queries_without_relevant", "retrieval"), _COUNT),
    **dict.fromkeys(("ties", "without_relevant"), _TEXT),
    "measures": {"mAP": {**_MEASURE, "mean": _SHARE}, ...: _MEASURE},
    # Earlier versions wrote NaN for null.
    "mAP_by_ties": {...: _or_null("a number from 0 to 1", lambda value: _is_share(value) or value != value)},
    "mAP_by_label": [_SHARE],
    **_CURVES,
}
_OF_OWN_HALF: Fields = {
    "bits": _BITS,
    "queries": _COUNT,
    "ties": _TEXT,
    "measures": {...: _MEASURE},
    "rank": {"rank": [_COUNT], "recall": [_SHARE]},
}
_OF_CODES = dict.fromkeys(("image", "text"), dict.fromkeys(CODE_FIGURES, _NUMBER))
_OPTIONAL: Fields = {
    "label_names": [_TEXT],
    "digests": {"data": _TEXT},
    "training": {"best_epoch": _COUNT, "seconds": _NUMBER},
    "codes": {"retrieval": _OF_CODES, "query": {"image_text_agreement": _NUMBER}},
}


@dataclasses.dataclass(frozen=True)
class Record:
    """The measures of a run, or of the codes of another tool."""

    name: str  # its name in tables
    # The content of a run's results.json, or the part of it that `gch.evaluation.results` measures.
    results: Mapping[str, Any]
    folder: Path | None = None  # of a run

    @property
    def directions(self) -> dict[str, dict]:
        """'I->T' and so on to `Evaluation.figures`, over the whole retrieval set; empty without labels."""
        return self.results.get("evaluation") or {}

    @property
    def new(self) -> dict[str, dict]:
        """As `directions`, over new items; empty if there are none, or they are not known."""
        return self.results.get(NEW) or {}

    @property
    def own_half(self) -> dict[str, dict]:
        """'I->T' and 'T->I' to `OwnHalf.figures`; empty if not measured, as by earlier versions."""
        return self.results.get(OWN_HALF, {})

    @property
    def settings(self) -> dict[str, object]:
        """The settings of a run by name; empty for other codes."""
        return self.results.get("settings", {})

    @property
    def bits(self) -> int:
        """Length of the codes."""
        return (self.directions or self.own_half)["I->T"]["bits"]

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

    def own_half_mean(self, direction: str, measure: str) -> float | None:
        """Mean, or median, of a measure of own halves; None where it was not measured."""
        return self.own_half.get(direction, {}).get("measures", {}).get(measure, {}).get("mean")

    def measured(self, direction: str, measure: str, new: bool = False) -> dict[str, float | None]:
        """Mean of a measure and its interval, `low` and `high`; empty where it was not measured."""
        figures = (self.new if new else self.directions).get(direction, {})
        return figures.get("measures", {}).get(measure, {})


def setups(records: Sequence[Record]) -> list[str]:
    """What each record is a run of: its `method`, and the settings and the data by which runs of one method
    differ. Records of one setup and length differ by their seeds alone.
    """
    free = free_settings() - {"Epoch", "ties", "without_relevant"}

    def compared(record: Record) -> dict[str, object]:
        data = record.results.get("digests", {}).get("data")
        left_out = {*free, "bit", "seed", "split"}  # a seed may have a split of its own
        known = {name: value for name, value in record.settings.items() if name not in left_out}
        return known | ({"data": data[:8]} if data else {})

    every, found = [(record.method, compared(record)) for record in records], []
    for method, own in every:
        alike = [other for name, other in every if name == method]
        differing = [name for name in own if any(other.get(name, own[name]) != own[name] for other in alike)]
        found.append(" ".join([method, *(f"{name}={own[name]}" for name in differing)]))
    return found


def in_order(records: Sequence[Record]) -> list[Record]:
    """Records by data set, method, other settings in the order given, length and seed."""
    every = setups(records)

    def key(one: tuple[str, Record]) -> tuple:
        setup, record = one
        seed = record.settings.get("seed", 0)
        return record.method, every.index(setup), record.bits, seed if is_number(seed) else 0

    return [record for _, record in sorted(zip(every, records, strict=True), key=key)]


def read_run(folder: Path) -> Record:
    """The record of a tested run.

    Raises:
      RunError: there is no results.json, it cannot be read, or it holds no evaluation.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise RunError(f"{path}: not found; expected the folder of a tested run")
    try:
        results = _checked(read_json(path), str(path))
    except DataError as error:
        raise RunError(f"{error}; test the run again") from error
    return Record(path.parent.resolve().name, results, path.parent)


def distinct_names(names: Iterable[str], paths: Sequence[Path]) -> list[str]:
    """Names that tell records apart: those given, or the paths' with their folders', or numbered paths."""
    longer = [f"{path.resolve().parent.name}/{path.resolve().name}" for path in paths]
    every = (list(names), longer, [f"{number}: {path}" for number, path in enumerate(paths, 1)])
    return next(some for some in every if len(set(some)) == len(paths))


def _checked(results: Any, where: str) -> dict[str, Any]:
    """The content of results.json; raises DataError where tables or plots could not be made of it."""
    given = object_of(results, where, {})
    evaluation = given.get("evaluation")
    unified = isinstance(evaluation, dict) and not UNIFIED.keys().isdisjoint(evaluation)
    by_labels = dict.fromkeys(directions(("pair",) if unified else ()), _DIRECTION)
    measured = {"evaluation": by_labels, NEW: by_labels, OWN_HALF: dict.fromkeys(CROSS, _OF_OWN_HALF)}
    fields: Fields = {**measured, "settings": {...: _SETTING}, **_OPTIONAL}
    optional = (NEW, "evaluation") if OWN_HALF in given else (NEW,)  # without labels there is no evaluation
    absent = {name for name in optional if given.get(name) is None}
    wanted = (given.keys() | {"evaluation", "settings"}) - absent
    object_of(results, where, {name: shape for name, shape in fields.items() if name in wanted})
    labels = len(given.get("label_names") or (evaluation or {}).get("I->T", {}).get("mAP_by_label", ()))
    for key, known in measured.items():
        for direction, one in (given.get(key) or {}).items():
            if direction not in known:
                raise DataError(f"{where}: {key} has {direction!r:.40}, expected {', '.join(known)}")
            curves = {name: axes for name, axes in known[direction].items() if name in _CURVES}
            sizes = {name: tuple(len(one[name][axis]) for axis in axes) for name, axes in curves.items()}
            if key != OWN_HALF:
                sizes["mAP_by_label"] = len(one["mAP_by_label"]), labels
            for name, (found, expected) in sizes.items():
                if found != expected:
                    raise DataError(
                        f"{where}: {key}.{direction}.{name} has {found} numbers, expected {expected}"
                    )
    return given
