"""Settings of the evaluation."""

import dataclasses
from typing import Any

from gch.rules import require_numbers, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What is measured, and what of it is drawn."""

    ties: str = setting(
        "tie-aware",
        "policy for ties of Hamming distance: the expectation over their orders, the order of the database, "
        "items that share most labels first, or last; validation and curves are tie-aware",
        choices=["tie-aware", "stable", "optimistic", "pessimistic"],
        free=True,
    )
    cutoffs: str = setting(
        "10,100,1000", "ranks n of precision, recall, NDCG, ACG and both kinds of mAP@n", free=True
    )
    without_relevant: str = setting(
        "zero",
        "queries without a relevant item count 0, or are left out of the means",
        choices=["zero", "skip"],
        free=True,
    )
    own_neighbour: bool = setting(
        True,
        "label and pair graph: code training items of the retrieval set with their own entries in the "
        "neighbour table (label graph: their true labels); False: without, to measure what they add",
        free=True,
    )
    plots: bool = setting(
        True, "draw plots of the measures, if matplotlib is installed (the extra plots)", free=True
    )

    @property
    def ranking(self) -> dict[str, Any]:
        """The options of `gch.evaluation.evaluate.evaluate`; `cutoffs` are numbers, ascending."""
        cutoffs = sorted({int(rank) for rank in self.cutoffs.split(",")})
        return {"cutoffs": cutoffs, "ties": self.ties, "without_relevant": self.without_relevant}

    def check_evaluation(self) -> None:
        """Raises SettingError where values are impossible."""
        require_numbers("cutoffs", self.cutoffs, "10,100,1000")
