"""An index of codes in memory: arrays in, the nearest codes out."""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gch.errors import DataError, SettingError
from gch.evaluation.arrays import BYTE_SIGNS, byte_signs, packed_codes, require_matrix
from gch.evaluation.codes import pack
from gch.search.asymmetric import ASYMMETRIC, asymmetric_search, require_ranking
from gch.search.hamming import exact_search


class _Neighbours(NamedTuple):
    ids: np.ndarray
    distances: np.ndarray


class Neighbours(_Neighbours):
    """The codes nearest to each query, nearest first: a tuple of ids and distances.

    Attributes:
      ids: (Q, k), their ids; their rows if the index has no ids.
      distances: int32 (Q, k), numbers of bits that differ.
      scores: float64 (Q, k), asymmetric distances where these rank, else None.
    """

    scores: np.ndarray | None = None


class Index:
    """Finds the codes nearest to a query: by Hamming distance, exactly, or by asymmetric distance.

    FAISS compares them if it is installed, otherwise NumPy. Several threads may search at once.

    Args:
      codes: packed as by numpy.packbits, uint8 (N, K / 8), or signs (N, K), -1 and +1 or 0 and 1 of any type;
        `gch.evaluation.arrays` says how uint8 tells the two apart. Packed codes are not copied: leave the
        array as it is.
      ids: N names or numbers; by default the rows, 0..N-1.

    Attributes:
      bits: length of a code K.

    Raises:
      DataError: the codes have another shape or other values, or there is not one id for each.

    Example:
      >>> import numpy as np
      >>> codes = np.array([[0b11110000], [0b11111111], [0b11110001]], np.uint8)
      >>> index = Index(codes, ids=["car", "cat", "cup"])
      >>> len(index), index.bits
      (3, 8)
      >>> found = index.search(np.array([[0b11110000]], np.uint8), k=2)
      >>> found.ids.tolist(), found.distances.tolist()
      ([['car', 'cup']], [[0, 1]])
      >>> relaxed = np.array([[0.9, 0.9, 0.9, 0.9, -0.9, -0.9, -0.9, -0.1]], np.float32)
      >>> found = index.search(relaxed, k=2)
      >>> found.ids.tolist(), found.distances.tolist(), found.scores.round(2).tolist()
      ([['car', 'cup']], [[0, 1]], [[0.8, 0.9]])
    """

    def __init__(self, codes: ArrayLike, ids: Sequence | np.ndarray | None = None):
        matrix = _matrix("codes", codes)
        self._signs = byte_signs([matrix]) if len(matrix) else ()  # without codes, uint8 is taken as packed
        self._codes, self.bits = packed_codes("codes", matrix, self._signs)
        self._ids = np.arange(len(self._codes)) if ids is None else _array_of(ids)
        if self._ids.shape != (len(self._codes),):
            raise DataError(f"ids have shape {self._ids.shape}; expected one for each of {len(self)} codes")
        self._search = exact_search(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def search(self, query_codes: ArrayLike, k: int = 10, ranking: str = ASYMMETRIC) -> Neighbours:
        """The k codes nearest to each query; ties in the order of the database.

        Packed codes and signs are ranked by Hamming distance. Relaxed codes are ranked by asymmetric
        distance, the sum of (1 - r b) / 2 over all bits, see `gch.search.asymmetric`.

        Args:
          query_codes: packed, uint8 (Q, K / 8), or signs (Q, K); in uint8, of the same kind as the index's.
            Floats (Q, K), -1 to +1 as `ModelOutputs.relaxed` has them, are relaxed codes.
          k: results for each query, 1 or more; at most all codes are found.
          ranking: 'asymmetric', or 'hamming' to rank relaxed codes by their signs.

        Returns:
          Neighbours of min(k, N) columns.

        Raises:
          DataError: the queries have another shape, length or other values.
          SettingError: k is not a whole number of at least 1, or `ranking` is another.
        """
        require_ranking(ranking)
        if not isinstance(k, int | np.integer) or k < 1:
            raise SettingError(f"k is {k!r}; expected a whole number, 1 or more")
        k = int(k)  # FAISS takes no number of NumPy
        queries = _matrix("query_codes", query_codes)
        if queries.dtype.kind == "f":
            queries = self._relaxed(queries)
            packed = pack(queries)
            if ranking == ASYMMETRIC:
                read = self._codes.__getitem__
                rows, distances, scores = asymmetric_search(self._search, read, packed, queries, k)
                found = Neighbours(self._ids[rows], distances)
                found.scores = scores
                return found
        else:
            of_signs = queries.shape[1] == self.bits
            signs = byte_signs([queries], self._signs or BYTE_SIGNS) if of_signs else ()
            packed, bits = packed_codes("query_codes", queries, signs)
            self._require(bits)
        rows, distances = self._search(packed, k)
        return Neighbours(self._ids[rows], distances)

    def _relaxed(self, queries: np.ndarray) -> np.ndarray:
        self._require(queries.shape[1])
        wrong = np.argwhere(~(np.abs(queries) <= 1))  # NaN, too
        if len(wrong):
            row, bit = wrong[0]
            value = f"{queries[row, bit]} (item {row}, bit {bit})"
            raise DataError(f"query_codes holds {value}; expected relaxed codes, -1 to +1")
        return 2 * queries - 1 if np.isin(queries, (0, 1)).all() else queries  # signs of 0 and 1

    def _require(self, bits: int) -> None:
        if bits != self.bits:
            raise DataError(f"query_codes have {bits} bits; expected {self.bits}, as in the index")


def _array_of(ids: Sequence | np.ndarray) -> np.ndarray:
    with contextlib.suppress(ValueError):  # tuples of several lengths
        array = np.asarray(ids)
        # NumPy cuts zeros off the end of bytes and texts, and gives ids of several types one, such as float.
        plain = [one.item() if isinstance(one, np.generic) else one for one in ids]
        if isinstance(ids, np.ndarray | str) or repr(array.tolist()) == repr(plain):
            return array
    return np.fromiter(ids, object, len(ids))


def _matrix(name: str, given: ArrayLike) -> np.ndarray:
    codes = np.asarray(given)
    require_matrix(name, codes, "packed codes (N, K / 8) or signs (N, K)", empty=True)
    return codes
