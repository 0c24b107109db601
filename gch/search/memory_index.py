"""An index of codes in memory: arrays in, the nearest codes out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gch.errors import DataError, SettingError
from gch.evaluation.arrays import BYTE_SIGNS, byte_signs, packed_codes, require_matrix
from gch.search.hamming import exact_search


class Neighbours(NamedTuple):
    """The codes nearest to each query, nearest first."""

    ids: np.ndarray  # (Q, k), their ids; their rows if the index has no ids
    distances: np.ndarray  # int32 (Q, k), numbers of bits that differ


class Index:
    """Finds the codes nearest to a query by Hamming distance, exactly.

    FAISS compares them if it is installed, otherwise NumPy. Several threads may search at once.

    Args:
      codes: packed as by numpy.packbits, uint8 (N, K / 8), or signs (N, K), -1 and +1 or 0 and 1 of any type;
        `gch.evaluation.arrays` says how uint8 tells the two apart.
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
    """

    def __init__(self, codes: np.ndarray, ids: Sequence | np.ndarray | None = None):
        codes = _matrix("codes", codes)
        self._signs = byte_signs([codes]) if len(codes) else ()  # without codes, uint8 is taken as packed
        self._codes, self.bits = packed_codes("codes", codes, self._signs)
        self._ids = np.arange(len(self._codes)) if ids is None else np.asarray(ids)
        if self._ids.shape != (len(self._codes),):
            raise DataError(f"ids have shape {self._ids.shape}; expected one for each of {len(self)} codes")
        self._search = exact_search(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def search(self, query_codes: np.ndarray, k: int = 10) -> Neighbours:
        """The k codes nearest to each query; ties in the order of the database.

        Args:
          query_codes: packed, uint8 (Q, K / 8), or signs (Q, K); in uint8, of the same kind as the index's.
          k: results for each query, 1 or more; at most all codes are found.

        Returns:
          Neighbours of min(k, N) columns.

        Raises:
          DataError: the queries have another shape, length or other values.
          SettingError: k is less than 1.
        """
        queries = _matrix("query_codes", query_codes)
        of_signs = queries.shape[1] == self.bits
        signs = byte_signs([queries], self._signs or BYTE_SIGNS) if of_signs else ()
        queries, bits = packed_codes("query_codes", queries, signs)
        if bits != self.bits:
            raise DataError(f"query_codes have {bits} bits; expected {self.bits}, as in the index")
        if k < 1:
            raise SettingError(f"k is {k}; expected 1 or more")
        rows, distances = self._search(queries, k)
        return Neighbours(self._ids[rows], distances)


def _matrix(name: str, codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes)
    require_matrix(name, codes, "packed codes (N, K / 8) or signs (N, K)", empty=True)
    return codes
