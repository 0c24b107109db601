"""How far a mean over the queries may be off, had other queries been drawn."""

from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 1000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Bounds of a mean."""

    low: float
    high: float


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval | None:
    """The interval that holds 95 % of the means of 1,000 resamples of the queries (percentile bootstrap).

    It tells what the draw of the queries may change, not what another training run would.

    Args:
      values: float (Q,).
      seed: of the resampling.

    Returns:
      The interval; None for fewer than two queries.
    """
    if len(values) < 2:
        return None
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=100,
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
