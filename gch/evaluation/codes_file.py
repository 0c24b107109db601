"""Codes that were saved, by this project or any tool: queries and database in both modalities, with labels.

| array                  | holds                                       | also called      |
|------------------------|---------------------------------------------|------------------|
| Qi, Qt                 | codes of the query images, texts (Q, K)     | q_img, q_txt     |
| Di, Dt                 | codes of the database's images, texts (N, K)| r_img, r_txt     |
| query_L, retrieval_L   | labels (Q, C), (N, C) of 0 and 1            | q_l, r_l         |

Codes are -1 and +1 in any numeric type, or packed by numpy.packbits as uint8 (Q, K / 8). In the folder of a
run, its split tells which items of the database were trained on.
"""

import dataclasses
from pathlib import Path

import numpy as np

from gch.array_files import list_arrays
from gch.codes import pack
from gch.data.split_file import load_split
from gch.errors import DataError
from gch.evaluation.coded import CodedItems

ARRAYS = {
    "Qi": "q_img",
    "Qt": "q_txt",
    "Di": "r_img",
    "Dt": "r_txt",
    "query_L": "q_l",
    "retrieval_L": "r_l",
}
EXPECTED = "expected the arrays " + ", ".join(ARRAYS)


@dataclasses.dataclass(frozen=True)
class SavedCodes:
    """Attributes:
    path: what was read.
    queries: 'image' and 'text' to the coded query items.
    database: likewise, of the database.
    new: bool (N,), items of the database that were never trained on; None where that is not known.
    """

    path: Path
    queries: dict[str, CodedItems]
    database: dict[str, CodedItems]
    new: np.ndarray | None


def read_codes(path: Path) -> SavedCodes:
    """Reads codes.

    Args:
      path: a .mat (v5 or v7.3) or .npz file, a folder that holds the arrays as .npy files (or one of these
        files), or the folder of a run.

    Raises:
      DataError: the file is missing, broken or of another kind; an array is missing, its entries are not what
        they should be, or lengths do not fit. Names the file and the array.
    """
    path = _codes_path(Path(path))
    arrays = _read(path)
    _require_lengths(path, arrays)
    bits = {}
    codes = {}
    for name in ("Qi", "Qt", "Di", "Dt"):
        codes[name], bits[name] = _codes(path, name, arrays[name])
    for name, found in bits.items():
        if found != bits["Qi"]:
            raise DataError(f"{path}: {name} has codes of {found} bits, Qi of {bits['Qi']}")
    labels = {name: _labels(path, name, arrays[name]) for name in ("query_L", "retrieval_L")}
    if labels["query_L"].shape[1] != labels["retrieval_L"].shape[1]:
        raise DataError(
            f"{path}: retrieval_L has {labels['retrieval_L'].shape[1]} labels, "
            f"query_L {labels['query_L'].shape[1]}"
        )

    def items(name: str, label_name: str) -> CodedItems:
        return CodedItems(codes[name], bits[name], labels[label_name])

    return SavedCodes(
        path,
        {"image": items("Qi", "query_L"), "text": items("Qt", "query_L")},
        {"image": items("Di", "retrieval_L"), "text": items("Dt", "retrieval_L")},
        _new_items(path.parent, len(labels["retrieval_L"])),
    )


def _new_items(folder: Path, items: int) -> np.ndarray | None:
    """Items of the database that the run in a folder was not trained on; None where there is no run."""
    split = folder / "split.npz"
    if not (folder / "settings.json").is_file() or not split.is_file():
        return None
    found = load_split(split, total=np.iinfo(np.int64).max)
    if len(found.retrieval) != items:
        raise DataError(f"{split}: {len(found.retrieval)} retrieval items; the codes are of {items}")
    return ~np.isin(found.retrieval, found.training)


def _codes_path(path: Path) -> Path:
    """The file or folder of arrays that is meant."""
    if not path.exists():
        raise DataError(f"{path}: not found; expected a .mat or .npz file of codes, or a folder")
    if path.suffix == ".npy":
        return path.parent
    if not path.is_dir() or any((path / f"{name}.npy").exists() for name in (*ARRAYS, *ARRAYS.values())):
        return path
    files = sorted(
        file for file in path.iterdir() if file.suffix in (".mat", ".npz") and file.stem != "split"
    )
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one .mat or .npz file of codes in the folder, found {names}")
    return files[0]


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays by their own names, as matrices."""
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    listed = {name: array for file in files for name, array in list_arrays(file).items()}
    arrays = {}
    for name, alias in ARRAYS.items():
        stored = listed.get(name) or listed.get(alias)
        if stored is None:
            names = ", ".join(listed) or "nothing"
            raise DataError(f"{path}: array {name} is missing, found {names}; {EXPECTED}")
        array = stored.read()
        if array.ndim != 2 or 0 in array.shape:
            raise DataError(f"{path}: {name} has shape {array.shape}; expected (items, bits or labels)")
        # MATLAB's own HDF5 files show their axes reversed.
        turned = stored.format == "hdf5" and stored.kind
        arrays[name] = array.T if turned else array
    return arrays


def _require_lengths(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for label, names in (("query_L", ("Qi", "Qt")), ("retrieval_L", ("Di", "Dt"))):
        for name in names:
            if len(arrays[name]) != len(arrays[label]):
                raise DataError(
                    f"{path}: {name} has {len(arrays[name])} items, {label} {len(arrays[label])}; "
                    "expected as many"
                )


def _codes(path: Path, name: str, array: np.ndarray) -> tuple[np.ndarray, int]:
    """Packed codes and the number of their bits."""
    if array.dtype == np.uint8 and array.max() > 1:
        return np.ascontiguousarray(array), 8 * array.shape[1]
    wrong = np.argwhere(~((array == 1) | (array == -1)))
    if len(wrong):
        row, column = wrong[0]
        found = f"{array[row, column]} (item {row}, bit {column})"
        kind = ", 0 and 1 only" if np.isin(array, (0, 1)).all() else ""
        raise DataError(f"{path}: {name} holds {found}{kind}; expected -1 and +1, or packed codes as uint8")
    return pack(array), array.shape[1]


def _labels(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{path}: {name} holds {array[row, column]} (item {row}, label {column}); expected 0 or 1"
        )
    return np.ascontiguousarray(array, np.uint8)
