"""The data set that the words and flags of a command name."""

import json
import re
from pathlib import Path

from gch.commands import Call
from gch.data.downloads import Files, find_downloads
from gch.data.layouts import (
    ANNOTATION_SUFFIXES,
    ARRAY_SUFFIXES,
    FOLDERS,
    INDEX_NAME,
    KAGGLE_NAME,
    find_layout,
)
from gch.data.names import canonical_dataset, file_stems, known_datasets
from gch.data.prepared import read_index
from gch.errors import DataError, SettingError
from gch.settings import Settings


def source_settings(command: str, call: Call) -> Settings:
    """Settings with DATA_DIR and dataset_dir of the folder or file that a command names, if it names one."""
    if len(call.words) > 1:
        raise SettingError(f"{command}: found {' '.join(call.words)}; expected one folder or file")
    settings = call.load()
    if call.words:
        path = Path(call.words[0])
        settings = settings.replace(DATA_DIR=str(path))
        if "dataset_dir" not in call.given:
            settings = settings.replace(dataset_dir=guess_dataset(path))
    return settings


def guess_dataset(path: Path) -> str:
    """The data set that a folder or file seems to hold, by its name; else 'files' or 'collection'."""
    try:
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
        inner = [entry for entry in entries if entry.name.lower() in FOLDERS and entry.is_dir()]
        entries += [file for folder in inner for file in sorted(folder.iterdir())]
    except OSError as error:
        raise DataError(f"{path}: cannot be listed, {error.strerror}") from error
    index = next((entry for entry in entries if entry.name == INDEX_NAME), None)
    if index is not None and index.is_file():
        known = canonical_dataset(read_index(index.parent)["name"])
        return known if known and (file_stems(known) or known == "collection") else "files"
    suffixes = {entry.suffix.lower() for entry in entries}
    tables = [entry for entry in entries if entry.suffix.lower() in ANNOTATION_SUFFIXES]
    described = any(entry.name.lower() != "results.csv" for entry in tables)
    arrays = bool(suffixes.intersection(ARRAY_SUFFIXES))
    if arrays and described:
        try:
            find_layout(path, "files")
        except DataError:  # a split, for one, may lie beside the pictures
            arrays = False
    if not arrays:
        if described:
            return "collection"
        packed = path.is_file() and suffixes == {".zip"}
        if downloads := find_downloads(Files(path)) if path.is_dir() or packed else []:
            return min(downloads, key=lambda found: len(found.missing)).datasets[0]
        if tables or any(entry.name.lower() == KAGGLE_NAME for entry in entries):
            return "collection"
    names = [entry.name for entry in entries if entry.suffix.lower() in ARRAY_SUFFIXES or entry.is_dir()]
    for name in (path.absolute().name, *names):
        fitting = [
            (len(stem), dataset)
            for dataset in known_datasets()
            for stem in file_stems(dataset)
            if re.match(rf"{re.escape(stem)}(?![a-z0-9])", name.lower())
        ]
        if fitting:  # the longest: nus-wide-tc10 is not nus-wide
            return max(fitting)[1]
    return "files"


def is_embedded(settings: Settings) -> bool:
    """Whether the data set needs no files."""
    return canonical_dataset(settings.dataset_dir) in ("OpenMoji", "generated")


def setting_lines(settings: Settings, found: dict[str, object]) -> str:
    """Lines for setting.py: where the data are, and what else must be set."""
    values = {"dataset_dir": settings.dataset_dir, "DATA_DIR": settings.DATA_DIR, **found}
    shown = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
        for name, value in values.items()
    }
    return "\n".join(f"    {name} = {value}" for name, value in shown.items())
