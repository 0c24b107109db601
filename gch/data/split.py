"""Which items are queries, which are retrieved, which train and which validate."""

import os
import zipfile
import zlib
from dataclasses import dataclass, fields

import numpy as np

from gch.data.pairs import SplitSizes
from gch.errors import DataError, SettingError
from gch.storage import atomic_path, digest

DEFAULT = -1  # A requested size of -1 leaves the choice to the data set.
_SETTING_NAMES = SplitSizes("QUERY_SIZE", "DATABASE_SIZE", "TRAINING_SIZE", "VERIFICATION_SIZE")
_MINIMUM = SplitSizes(query=1, retrieval=1, training=1, validation=0)
_APART = (
    ("query", "retrieval"),
    ("query", "training"),
    ("query", "validation"),
    ("training", "validation"),
)


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of a data set, int64, ascending.

    The query set shares no row with the others, and training and validation set share none. `make_split`
    takes both from the retrieval set; files that bring a split of their own may have them outside of it.
    """

    query: np.ndarray
    retrieval: np.ndarray
    training: np.ndarray
    validation: np.ndarray

    @property
    def sizes(self) -> SplitSizes:
        """How many rows each part has."""
        return SplitSizes(len(self.query), len(self.retrieval), len(self.training), len(self.validation))

    @property
    def digest(self) -> str:
        """SHA-256 of the four parts, 64 hexadecimal digits."""
        return digest("split", self.query, self.retrieval, self.training, self.validation)


def resolve_sizes(requested: SplitSizes, defaults: SplitSizes, total: int) -> SplitSizes:
    """Fills in the sizes that are not asked for, and checks that the four fit together.

    A size of -1 takes the data set's default as far as the sizes asked for leave room for it: the retrieval
    set grows or shrinks to the items that are not queries, the validation set shrinks in proportion to the
    retrieval set, and the training set takes at most the retrieved items that do not validate.

    Args:
      requested: sizes as in the settings, -1 where not asked for; validation may be 0.
      defaults: the data set's own sizes, which fit into `total`.
      total: number of items in the data set.

    Returns:
      Four sizes that `make_split` can serve.

    Raises:
      SettingError: a size is out of range, or the sizes do not fit into the data set.
    """
    for name, size, least in zip(_SETTING_NAMES, requested, _MINIMUM, strict=True):
        if size != DEFAULT and size < least:
            raise SettingError(f"{name} = {size}, expected {least} or more, or -1 for the data set's default")
    asked = [size != DEFAULT for size in requested]

    query, retrieval, training, validation = requested
    if not asked[0]:
        query = min(defaults.query, total - retrieval) if asked[1] else defaults.query
    if not asked[1]:
        retrieval = defaults.retrieval if query == defaults.query else total - query
    if query < 1 or retrieval < 1 or query + retrieval > total:
        raise SettingError(
            f"QUERY_SIZE = {_told(requested.query)}, DATABASE_SIZE = {_told(requested.retrieval)}: "
            f"the data set has {total} items, expected 1 or more each and {total} at most together"
        )
    if not asked[3]:
        proportional = defaults.validation * retrieval // defaults.retrieval
        room = retrieval - (training if asked[2] else 1)
        validation = max(0, min(defaults.validation, proportional, room))
    if not asked[2]:
        training = min(defaults.training, retrieval - validation)
    if training < 1 or training + validation > retrieval:
        raise SettingError(
            f"TRAINING_SIZE = {_told(requested.training)}, "
            f"VERIFICATION_SIZE = {_told(requested.validation)}: "
            f"QUERY_SIZE and DATABASE_SIZE leave {retrieval} items to retrieve; "
            f"expected 1 or more to train on and {retrieval} at most together"
        )
    return SplitSizes(query, retrieval, training, validation)


def make_split(total: int, sizes: SplitSizes, seed: int, order: str = "random") -> Split:
    """Makes a split of which training and validation set are parts of the retrieval set.

    A random split is drawn by the seed; the same arguments give the same split. With one seed, the query set
    stays when the other sizes change, and a smaller training set is part of a larger one.

    A sequential split is that of AGAH: the first rows are queries, the rows after them the retrieval set; its
    first rows train, the rows after those validate.

    Args:
      total: number of items in the data set.
      sizes: as `resolve_sizes` returns them.
      seed: any integer from 0 on; a sequential split does not need it.
      order: 'random' or 'sequential'.

    Raises:
      ValueError: there is no such order.
    """
    if order not in ("random", "sequential"):
        raise ValueError(f"order is {order!r}, expected 'random' or 'sequential'")
    if order == "random":
        rows = np.random.Generator(np.random.PCG64(seed)).permutation(total).astype(np.int64)
    else:
        rows = np.arange(total, dtype=np.int64)
    query, retrieval = rows[: sizes.query], rows[sizes.query : sizes.query + sizes.retrieval]
    if order == "random":
        validation, training = _cut(retrieval, sizes.validation, sizes.training)
    else:
        training, validation = _cut(retrieval, sizes.training, sizes.validation)
    return Split(*(np.sort(part) for part in (query, retrieval, training, validation)))


def save_split(path: str | os.PathLike, split: Split) -> None:
    """Writes the split as .npz: arrays query, retrieval, training, validation, int64. Atomic."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **{field.name: getattr(split, field.name) for field in fields(Split)})


def load_split(path: str | os.PathLike, total: int) -> Split:
    """Reads what `save_split` wrote.

    Args:
      path: the .npz file.
      total: number of items in the data set that the split is for.

    Raises:
      DataError: the file is missing or damaged, or it is no split of `total` items.
    """
    parts = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for field in fields(Split):
                parts[field.name] = file[field.name]
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found, expected a saved split") from error
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: expected a saved split, {str(error).strip(chr(39))}") from error
    for name, part in parts.items():
        if part.ndim != 1 or part.dtype != np.int64:
            raise DataError(f"{path}: {name} is {part.dtype} {part.shape}, expected int64 of one axis")
        if len(part) and (part[0] < 0 or part[-1] >= total or (np.diff(part) <= 0).any()):
            raise DataError(f"{path}: {name}: expected ascending row numbers from 0 to {total - 1}")
    split = Split(**parts)
    shared = shared_row(split)
    if shared:
        one, other, row = shared
        raise DataError(f"{path}: {one} and {other} share row {row}, expected no shared row")
    return split


def shared_row(split: Split) -> tuple[str, str, int] | None:
    """Two parts that must share no row but do, and the first row they share; None if there are none."""
    for one, other in _APART:
        shared = np.intersect1d(getattr(split, one), getattr(split, other))
        if len(shared):
            return one, other, int(shared[0])
    return None


def _cut(rows: np.ndarray, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `first` rows and the `second` rows after them."""
    return rows[:first], rows[first : first + second]


def _told(size: int) -> str:
    return "-1 (default)" if size == DEFAULT else str(size)
