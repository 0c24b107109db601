"""One evaluated set of codes, as tables, plots and pages need it; read from results.json."""

import dataclasses
from pathlib import Path

from gch.data.text_files import read_json
from gch.errors import DataError, RunError


@dataclasses.dataclass(frozen=True)
class Record:
    """What was measured of a run, or of the codes of another tool."""

    name: str  # what it is called in tables
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
    """The record of a run that was tested.

    Raises:
      RunError: there is no results.json, it cannot be read, or it is of a version that did not evaluate.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise RunError(f"{path}: not found; expected the folder of a run that was tested")
    try:
        results = read_json(path)
    except DataError as error:
        raise RunError(f"{error}; test the run again") from error
    try:
        name, new = path.parent.resolve().name, results.get("evaluation_not_trained_on") or {}
        record = Record(name, results["evaluation"], new, results["settings"], results, path.parent)
        if None in (record.mean("I->T", "mAP"), record.mean("T->I", "mAP")):
            raise ValueError("no mAP")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: no evaluation in it ({type(error).__name__}: {error}); test the run again"
        ) from error
    return record
