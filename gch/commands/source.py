"""The data set that the words and flags of a command mean."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from gch.data.names import file_stems, known_datasets
from gch.errors import SettingError
from gch.settings import Settings

_ANNOTATIONS = (".csv", ".tsv", ".jsonl", ".ndjson")


def source_settings(
    command: str,
    words: Sequence[str],
    given: dict[str, object],
    load: Callable[[dict[str, object]], Settings],
) -> Settings:
    """Settings with DATA_DIR and dataset_dir of what the command line names.

    Args:
      command: for messages.
      words: none, or the path of a folder or file.
      given: settings given as flags.
      load: makes settings of them.

    Raises:
      SettingError: there is more than one word.
    """
    if len(words) > 1:
        raise SettingError(f"{command}: found {' '.join(words)}; expected one folder or file")
    settings = load(given)
    if words:
        path = Path(words[0])
        settings = dataclasses.replace(settings, DATA_DIR=str(path))
        if "dataset_dir" not in given:
            settings = dataclasses.replace(settings, dataset_dir=guess_dataset(path))
    return settings


def guess_dataset(path: Path) -> str:
    """The data set that a folder or file seems to be, by names; 'files' or 'collection' where none fits."""
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    names = [path.name.lower(), *(entry.name.lower() for entry in entries)]
    for dataset in known_datasets():
        # The longest names first: nus-wide-tc10 is no nus-wide.
        if any(name.startswith(stem) for name in names for stem in file_stems(dataset)[:3]):
            return dataset
    described = any(entry.suffix.lower() in _ANNOTATIONS for entry in entries)
    return "collection" if described else "files"


def setting_lines(settings: Settings, found: dict[str, object]) -> str:
    """Lines for setting.py: where the data are, and what else must be set."""
    values = {"dataset_dir": settings.dataset_dir, "DATA_DIR": settings.DATA_DIR, **found}
    return "\n".join(f"    {name} = {value!r}".replace("'", '"') for name, value in values.items())
