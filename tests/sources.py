"""Settings for tests that open data sets."""

from pathlib import Path

from gch.data.catalog import open_pairs
from gch.data.pairs import Pairs
from gch.settings import Settings
from gch.settings_file import load_settings


def settings_of(folder: Path, dataset: str, **changes) -> Settings:
    """The project's settings, for the data set in a folder."""
    changes = {"dataset_dir": dataset, "DATA_DIR": str(folder), **changes}
    return load_settings(Path(__file__).parent.parent / "setting.py", changes)


def opened(folder: Path, dataset: str, **changes) -> Pairs:
    """The data set in a folder, as a run opens it."""
    return open_pairs(settings_of(folder, dataset, **changes))
