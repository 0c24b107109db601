"""Reads a MATLAB v5 file by SciPy, in a process of its own: `python mat_child.py FILE LIMIT [NAME ...]`.

A damaged file can end the process that SciPy runs in, so `gch.data.mat_file` runs this as a script. It
imports nothing of the project. It writes to standard output one line of JSON, a tree of what the file holds,
and then the numbers of its arrays, in the order of `arrays` in that line.
"""

import codecs
import contextlib
import json
import sys
import warnings
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

_UNITS = {"matlab_units_le": "<", "matlab_units_be": ">"}


def main(path: str, limit: int, names: list[str]) -> None:
    """Writes what the variables of a file hold, or what is wrong with it.

    Args:
      path: the file.
      limit: bytes of memory that this process may take, where the system can enforce it.
      names: of the variables, all where there are none.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", np.exceptions.ComplexWarning)  # an imaginary part would be left out
    codecs.register(_codec_of_units)
    arrays: list[np.ndarray] = []
    try:
        with open(path, "rb") as file:
            file.seek(126)
            units = "matlab_units_le" if file.read(2) == b"IM" else "matlab_units_be"
        found = scipy.io.loadmat(
            path, appendmat=False, mat_dtype=True, uint16_codec=units, variable_names=names or None
        )
        tree = {name: _tree(value, arrays) for name, value in found.items() if not name.startswith("__")}
        line = {"tree": tree, "arrays": [(array.dtype.str, array.shape) for array in arrays]}
    except MemoryError:
        line, arrays = {"error": "it needs more memory than an array may take"}, []
    except Exception as error:  # SciPy raises nearly anything on bytes that are not MATLAB's.
        line, arrays = {"error": " ".join(str(error).split()) or type(error).__name__}, []
    sys.stdout.buffer.write(json.dumps(line).encode("ascii") + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(np.asfortranarray(array).T.data)


def _tree(value: Any, arrays: list[np.ndarray]) -> dict | None:
    """A value as JSON: text, a cell or a struct by its content, numbers by their place in `arrays`."""
    if scipy.sparse.issparse(value):
        value = value.toarray()
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype.names:
        fields = {name: _trees(value[name], arrays) for name in value.dtype.names}
        return {"kind": "struct", "shape": value.shape, "fields": fields}
    if value.dtype.kind == "O":
        return {"kind": "cell", "shape": value.shape, "items": _trees(value, arrays)}
    if value.dtype.kind == "U":
        return {"kind": "char", "shape": value.shape, "items": value.ravel().tolist()}
    arrays.append(value.astype(value.dtype.newbyteorder("="), copy=False))
    return {"kind": "numbers", "at": len(arrays) - 1}


def _trees(values: np.ndarray, arrays: list[np.ndarray]) -> list[dict | None]:
    return [_tree(value, arrays) for value in values.ravel()]


def _codec_of_units(name: str) -> codecs.CodecInfo | None:
    """UTF-16 of which every unit stays a character, as MATLAB counts them: SciPy refuses surrogate pairs."""
    order = _UNITS.get(name)
    if order is None:
        return None

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        return text.encode("utf-16"), len(text)

    def decode(content: Any, errors: str = "strict") -> tuple[str, int]:
        units = np.frombuffer(content, f"{order}u2").astype("<u4")
        return units.tobytes().decode("utf-32-le", "surrogatepass"), len(content)

    return codecs.CodecInfo(encode, decode)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
