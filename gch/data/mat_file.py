"""MATLAB v5 files that anybody may have made.

SciPy reads them. A damaged file can end the process that it runs in, so arrays are read in a child process
(`mat_child.py`), which takes 0.3 s to start. Names, shapes and classes are read in this one.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io

from gch.errors import DataError

MAX_BYTES = 2**32  # of an array that is read whole
_CHILD = Path(__file__).with_name("mat_child.py")
_INTERPRETER_BYTES = 2**30  # of address space, beside what is read


def is_mat5(header: bytes) -> bool:
    """Whether a file whose first 128 bytes are given is one of MATLAB v5."""
    return header.startswith(b"MATLAB") and header[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def mat5_variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and class of the variables of a file: 'double', 'logical', 'char', 'cell', 'sparse' ...

    Raises:
      DataError: it is no MATLAB v5 file, or damaged.
    """
    try:
        with open(path, "rb") as file:
            if not is_mat5(file.read(128)):
                raise ValueError("it has another header")
            listed = scipy.io.whosmat(file)
            end, size = file.tell(), file.seek(0, os.SEEK_END)
        if end > size:
            raise ValueError(f"it is cut off at {size} bytes")
        found = {name: (tuple(map(int, shape)), kind) for name, shape, kind in listed}
        for name, (shape, _) in found.items():
            if not name.isprintable() or min(shape, default=0) < 0:
                raise ValueError(f"it holds an array {name!r} of shape {shape}")
    except Exception as error:  # SciPy raises nearly anything on bytes that are not MATLAB's.
        raise _unreadable(path, error) from error
    return {name: variable for name, variable in found.items() if not name.startswith("__")}


def load_mat5(
    path: Path, names: Sequence[str] | None = None, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Reads variables of a file as `scipy.io.loadmat` does, in MATLAB's types and with all axes.

    Args:
      path: the file.
      names: of the variables; those that the file lacks are passed over. None for all.
      max_bytes: what a variable may take.

    Returns:
      By name, read-only arrays of numbers, a sparse matrix filled up; of str, one for each row of characters,
      with the blanks that MATLAB pads them with; of objects for a cell; of fields of objects for a struct.
      What has no such form, a function for instance, is None in a cell or struct, and else left out.

    Raises:
      DataError: it cannot be read, is damaged, or a variable would take more.
    """
    result = subprocess.run(
        [sys.executable, "-P", _CHILD, path, str(_INTERPRETER_BYTES + 3 * max_bytes), *(names or ())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        check=False,
        pipesize=2**20,
    )
    content, at = result.stdout, result.stdout.find(b"\n") + 1
    if result.returncode or not at:
        raise _unreadable(path, "it ended the process that read it")
    found = json.loads(content[:at])
    if "error" in found:
        raise _unreadable(path, found["error"])
    arrays = []
    for dtype, shape in found["arrays"]:
        arrays.append(np.ndarray(shape, dtype, content, at, order="F"))
        at += arrays[-1].nbytes
    values = {name: _value(tree, arrays) for name, tree in found["tree"].items()}
    return {name: value for name, value in values.items() if value is not None}


def _unreadable(path: Path, reason: object) -> DataError:
    line = " ".join(str(reason).split()) or type(reason).__name__
    return DataError(f"{path}: cannot be read as a MATLAB v5 file, {line}")


def _value(tree: dict | None, arrays: list[np.ndarray]) -> np.ndarray | None:
    """What `mat_child` described."""
    if tree is None:
        return None
    if tree["kind"] == "numbers":
        return arrays[tree["at"]]
    if tree["kind"] == "char":
        return np.array([_joined(text) for text in tree["items"]], str).reshape(tree["shape"])
    if tree["kind"] == "cell":
        return _cells(tree["items"], tree["shape"], arrays)
    struct = np.empty(tree["shape"], [(name, object) for name in tree["fields"]])
    for name, items in tree["fields"].items():
        struct[name] = _cells(items, tree["shape"], arrays)
    return struct


def _cells(items: list[dict | None], shape: Sequence[int], arrays: list[np.ndarray]) -> np.ndarray:
    cells = np.empty(math.prod(shape), object)
    for place, item in enumerate(items):
        cells[place] = _value(item, arrays)
    return cells.reshape(shape)


def _joined(text: str) -> str:
    """The text with each pair of surrogates as one character."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
