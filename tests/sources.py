"""What tests make of data sets: settings that open them, what refuses them, features of their items."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gch.data.catalog import open_pairs
from gch.data.pairs import Pairs
from gch.errors import DataError, GCHError
from gch.settings import Settings, load_settings


def settings_of(folder: Path, dataset: str, **changes) -> Settings:
    """The project's settings, for the data set in a folder."""
    changes = {"dataset_dir": dataset, "DATA_DIR": str(folder), **changes}
    return load_settings(Path(__file__).parent.parent / "setting.py", changes)


def opened(folder: Path, dataset: str, **changes) -> Pairs:
    """The data set in a folder, as a run opens it."""
    return open_pairs(settings_of(folder, dataset, **changes))


@contextlib.contextmanager
def refusal(
    line: str, where: object = "", fault: type[GCHError] = DataError
) -> Iterator[pytest.ExceptionInfo]:
    """What is done within is refused in one line that says so and names the place."""
    with pytest.raises(fault, match=line) as caught:
        yield caught
    assert str(where) in str(caught.value)
    assert "\n" not in str(caught.value)


def labels_through_noise(pairs: Pairs, size: int) -> np.ndarray:
    """Features float32 (N, size) that tell of the labels: a random projection of them, with noise."""
    random = np.random.default_rng(0)
    projected = pairs.labels @ random.normal(size=(pairs.labels.shape[1], size))
    return (projected + 0.3 * random.normal(size=projected.shape)).astype(np.float32)
