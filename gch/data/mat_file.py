"""MATLAB v5 files. SciPy reads them in a child process (0.3 s), because a damaged file can crash it."""

import codecs
import contextlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from gch.errors import DataError, damage, reason

MAX_BYTES = 2**32  # of an array that is read whole
_INTERPRETER_BYTES = 2**30  # of address space, beside what is read
_CHILD = """
import sys
from gch.child import end_with_parent
end_with_parent()
from gch.data.mat_file import child
child(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
"""
_FOLDER_OF_GCH = str(Path(__file__).parents[2])


def is_mat5(header: bytes) -> bool:
    """Whether a file whose first 128 bytes are given is one of MATLAB v5."""
    return header.startswith(b"MATLAB") and header[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def mat5_variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and MATLAB's class of each variable of a v5 file; DataError where it is damaged."""
    with damage(f"{path}: cannot be read as a MATLAB v5 file"), open(path, "rb") as file:
        listed = {name: (tuple(map(int, shape)), kind) for name, shape, kind in scipy.io.whosmat(file)}
        end, size = file.tell(), file.seek(0, os.SEEK_END)
        if end > size:
            raise ValueError(f"it is cut off at {size} bytes")
        for name, (shape, _) in listed.items():
            if not name.isprintable() or min(shape, default=0) < 0:
                raise ValueError(f"it holds an array {name!r} of shape {shape}")
    return {name: variable for name, variable in listed.items() if not name.startswith("__")}


def load_mat5(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads variables of a file as `scipy.io.loadmat` does, in MATLAB's types and with all axes.

    Returns:
      Those of `names` that the file holds. Arrays of numbers, a sparse matrix filled up; of str, one for each
      row of characters, with the blanks that MATLAB pads them with; of objects for a cell; of fields of
      objects for a struct. What has no such form is None in a cell or struct, and else left out.

    Raises:
      DataError: it cannot be read, is damaged, or a variable takes more than MAX_BYTES.
    """
    paths = os.pathsep.join([_FOLDER_OF_GCH, *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD, path, str(_INTERPRETER_BYTES + 3 * MAX_BYTES), *names],
        stdin=subprocess.PIPE,  # its end ends the child
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        pipesize=2**20,
    ) as child:
        assert child.stdout is not None
        try:
            found = pickle.load(child.stdout)  # by `child`; nothing in the file is unpickled
        except (EOFError, pickle.UnpicklingError):
            found = "it ended the process that read it"
    if isinstance(found, str):
        raise DataError(f"{path}: cannot be read as a MATLAB v5 file, {found}")
    return {name: value for name, value in found.items() if value is not None}


def child(path: str, limit: int, names: list[str]) -> None:
    """Writes the variables of a file to standard output, or what is wrong with it: the child's work."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found: dict[str, np.ndarray | None] | str
    try:
        found = load_here(path, names)
    except MemoryError:
        found = "it needs more memory than an array may take"
    except Exception as error:  # SciPy raises nearly any exception on damaged bytes.
        found = reason(error)
    pickle.dump(found, sys.stdout.buffer, protocol=5)


def load_here(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray | None]:
    """As `load_mat5`, but in this process, which a damaged file can end. None for what has no such form."""
    codecs.register(_codec_of_units)
    with warnings.catch_warnings(), open(path, "rb") as file:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", np.exceptions.ComplexWarning)  # an imaginary part would be left out
        units = "matlab_units_le" if file.read(128)[126:] == b"IM" else "matlab_units_be"
        content = scipy.io.loadmat(
            file, appendmat=False, mat_dtype=True, uint16_codec=units, variable_names=names
        )
    return {name: _plain(content[name]) for name in names if name in content}


def _plain(value: Any) -> np.ndarray | None:
    """A value in NumPy's own types: SciPy's matrices, functions and byte orders go."""
    if scipy.sparse.issparse(value):
        value = value.toarray()
    if not isinstance(value, np.ndarray):
        return None
    plain = np.empty(value.shape, value.dtype.newbyteorder("="))
    if value.dtype.names:
        for name in value.dtype.names:
            plain[name] = _plain(value[name])
    elif value.dtype.kind == "O":
        for place, item in np.ndenumerate(value):
            plain[place] = _plain(item)
    elif value.dtype.kind == "U":  # a pair of surrogates becomes one character
        units = [text.encode("utf-16-le", "surrogatepass") for text in value.ravel().tolist()]
        return np.array([text.decode("utf-16-le", "replace") for text in units], str).reshape(value.shape)
    else:
        return value.astype(plain.dtype, copy=False)
    return plain


def _codec_of_units(name: str) -> codecs.CodecInfo | None:
    """UTF-16 of which every unit stays a character, as MATLAB counts them: SciPy refuses surrogate pairs."""
    order = {"matlab_units_le": "<", "matlab_units_be": ">"}.get(name)
    if order is None:
        return None

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        return text.encode("utf-16"), len(text)

    def decode(content: Any, errors: str = "strict") -> tuple[str, int]:
        units = np.frombuffer(content, f"{order}u2").astype("<u4")
        return units.tobytes().decode("utf-32-le", "surrogatepass"), len(content)

    return codecs.CodecInfo(encode, decode)
