"""Codes in files, of this project or any tool: queries and database in both modalities, with labels.

In a file without labels, row i of the queries' arrays is one pair; the database may be missing.
"""

import dataclasses
from pathlib import Path

import numpy as np
import scipy.io

from gch.data.array_files import list_arrays
from gch.data.split_file import load_split
from gch.errors import DataError
from gch.evaluation.arrays import coded_sets, require_own_halves
from gch.evaluation.codes import CodedItems, EncodedPairs, binarize
from gch.storage import atomic_path

ARRAYS = {  # names of the arrays, and what others call them
    "Qi": "q_img",  # codes of the query images (Q, K), binary or relaxed, see `gch.evaluation.arrays`
    "Qt": "q_txt",
    "Di": "r_img",  # codes of the database's images (N, K)
    "Dt": "r_txt",
    "query_L": "q_l",  # labels (Q, C) of 0 and 1
    "retrieval_L": "r_l",
}
UNIFIED_ARRAYS = {"Qu": "q_pair", "Du": "r_pair"}  # codes of pairs, in files of methods that have them
LABELS = ("query_L", "retrieval_L")
OF_KIND = {"image": ("Qi", "Di"), "text": ("Qt", "Dt"), "pair": ("Qu", "Du")}  # queries and database


@dataclasses.dataclass(frozen=True)
class SavedCodes:
    """What a file holds."""

    path: Path  # what was read
    queries: dict[str, CodedItems]  # 'image', 'text' and, if there are unified codes, 'pair'; coded items
    database: dict[str, CodedItems]  # likewise; empty without labels, with which there are no unified codes
    new: np.ndarray | None  # bool (N,), items of the database never trained on; None if not known


def save_codes(path: Path, queries: EncodedPairs, database: EncodedPairs) -> None:
    """Writes the original's <dataset>_<bit>.mat (v5), atomically: codes as int8 -1 and +1, any labels."""
    arrays = {"query_L": queries.labels, "retrieval_L": database.labels} if queries.labels.shape[1] else {}
    for kind, relaxed in queries.codes.items():
        arrays |= dict(zip(OF_KIND[kind], map(binarize, (relaxed, database.codes[kind])), strict=True))
    with atomic_path(path) as temporary:
        scipy.io.savemat(temporary, arrays, do_compression=True)


def read_codes(path: Path) -> SavedCodes:
    """Reads codes.

    Args:
      path: a .mat (v5 or v7.3) or .npz file, a folder that holds the arrays as .npy files (or one of these
        files), or the folder of a run, whose split tells which items of the database were trained on.

    Raises:
      DataError: the file is missing, broken or of another kind; an array is missing, its entries are not what
        they should be, or lengths do not fit. Names the file and the array.
    """
    path = _codes_path(Path(path))
    arrays, where = _read(path), f"{path}: "
    if arrays.keys().isdisjoint(LABELS):
        items = coded_sets(arrays, dict.fromkeys(arrays), arrays, where)
        require_own_halves(items, where)
        return SavedCodes(path, {"image": items["Qi"], "text": items["Qt"]}, {}, None)
    kinds = {kind: names for kind, names in OF_KIND.items() if set(names) <= set(arrays)}
    labels_of = {name: of for names in kinds.values() for name, of in zip(names, LABELS, strict=True)}
    items = coded_sets(arrays, labels_of, [of_queries for of_queries, _ in kinds.values()], where)
    queries, database = ({kind: items[names[side]] for kind, names in kinds.items()} for side in (0, 1))
    return SavedCodes(path, queries, database, _new_items(path.parent, len(items["Di"])))


def _codes_path(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path}: not found; expected a .mat or .npz file of codes, or a folder")
    if path.suffix == ".npy":
        return path.parent
    names = [name for arrays in (ARRAYS, UNIFIED_ARRAYS) for pair in arrays.items() for name in pair]
    if not path.is_dir() or any((path / f"{name}.npy").exists() for name in names):
        return path
    files = sorted(
        file for file in path.iterdir() if file.suffix in (".mat", ".npz") and file.stem != "split"
    )
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one .mat or .npz file of codes in the folder, found {found}")
    return files[0]


def _read(path: Path) -> dict[str, np.ndarray]:
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    listed = {name: array for file in files for name, array in list_arrays(file).items()}
    arrays = {}
    unified = any(name in listed for pair in UNIFIED_ARRAYS.items() for name in pair)
    wanted = ARRAYS | UNIFIED_ARRAYS if unified else ARRAYS
    expected = ", ".join(wanted)
    if not any(name in listed for label in LABELS for name in (label, ARRAYS[label])):
        wanted = {name: ARRAYS[name] for name in ("Qi", "Qt")}
        expected = f"Qi, Qt without labels, or {expected}"
    for name, alias in wanted.items():
        stored = listed.get(name) or listed.get(alias)
        if stored is None:
            found = ", ".join(listed) or "nothing"
            raise DataError(f"{path}: array {name} is missing, found {found}; expected the arrays {expected}")
        array = stored.read()
        arrays[name] = array.T if stored.reversed else array
    return arrays


def _new_items(folder: Path, items: int) -> np.ndarray | None:
    split = folder / "split.npz"
    if not (folder / "settings.json").is_file() or not split.is_file():
        return None
    found = load_split(split, total=np.iinfo(np.int64).max)
    if len(found.retrieval) != items:
        raise DataError(f"{split}: {len(found.retrieval)} retrieval items; the codes are of {items}")
    return ~np.isin(found.retrieval, found.training)
