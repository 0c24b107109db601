"""What several tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def golden():
    """Opens a file of outputs of the original implementation by name."""
    return lambda name: np.load(Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parent.parent
