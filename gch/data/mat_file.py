"""MATLAB v5 files. SciPy reads them in a child process (0.3 s), because a damaged file can crash it."""

import codecs
import contextlib
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.io
import scipy.sparse

from gch.errors import DataError, damage, reason

MAX_BYTES = 2**32  # of an array that is read whole
OPAQUE = "opaque "  # how the kind of an object of a newer class of MATLAB's begins, such as 'opaque string'
_INTERPRETER_BYTES = 2**30  # of address space, beside what is read
_HEAD_BYTES = 4096  # of a variable, which hold its class, shape and name
_INTEGERS = [f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")]
_FIRST = ("cell", "struct", "object", "char", "sparse", "double", "single")
_CLASSES = dict(enumerate((*_FIRST, *_INTEGERS, "function", "opaque"), 1))  # by MATLAB's numbers
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
    """Shape and MATLAB's class of each variable of a v5 file; DataError where it is damaged.

    SciPy lists no file that holds an object of a newer class, such as string or table. Here its class begins
    with `OPAQUE`, and its shape is ().
    """
    with damage(f"{path}: cannot be read as a MATLAB v5 file"), open(path, "rb") as file:
        order = "<" if file.read(128)[126:] == b"IM" else ">"
        listed = {name: (shape, kind) for name, shape, kind in _variables(file, order)}
        for name, (shape, _) in listed.items():
            if not name.isprintable() or min(shape, default=0) < 0:
                raise ValueError(f"it holds an array {name!r} of shape {shape}")
    return {name: found for name, found in listed.items() if name and not name.startswith("__")}


def _variables(file: IO[bytes], order: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and class of each variable; the name is '' of what MATLAB keeps for itself."""
    place, size = 128, file.seek(0, os.SEEK_END)
    while place < size:
        file.seek(place)
        tag = file.read(8).ljust(8, b"\xff")
        kind, length = struct.unpack(f"{order}II", tag)
        place += 8 + length
        if place > size:
            raise ValueError(f"it is cut off at {size} bytes")
        head = tag + file.read(min(length, _HEAD_BYTES))
        if kind == 15:
            head = zlib.decompressobj().decompress(head[8:], _HEAD_BYTES)
            (kind,) = struct.unpack_from(f"{order}I", head)
        if kind != 14:
            raise ValueError(f"it holds an element of type {kind}, expected 14 or 15")
        (flags,) = struct.unpack_from(f"{order}I", head, 16)
        matlab = _CLASSES.get(flags & 255, "unknown")
        first, after = _part(head, 24, order)
        second, after = _part(head, after, order)
        if matlab == "opaque":  # its name, the system of its class, and its class
            newer, _ = _part(head, after, order)
            yield first.decode("latin-1"), (), OPAQUE + newer.decode("latin-1")
        else:  # its shape and its name
            shape = tuple(np.frombuffer(first, f"{order}i4").tolist())
            shape = shape[:-1] if matlab == "char" else shape
            logical = "sparse logical" if matlab == "sparse" else "logical"
            yield second.decode("latin-1"), shape, logical if flags & 0x200 else matlab


def _part(head: bytes, place: int, order: str) -> tuple[bytes, int]:
    """The data of the part of a variable that begins at a place, and where the next one begins."""
    kind, length = struct.unpack_from(f"{order}II", head, place)
    if small := kind >> 16:
        return head[place + 4 : place + 4 + small], place + 8
    return head[place + 8 : place + 8 + length], place + 8 + -(-length // 8) * 8


def load_mat5(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Reads variables of a file as `scipy.io.loadmat` does, in MATLAB's types and with all axes.

    Returns:
      Those of `names` that the file holds. Arrays of numbers; of str, one for each row of characters, with
      the blanks that MATLAB pads them with; of objects for a cell; of fields of objects for a struct. A
      sparse matrix is a csr_array, in a cell or struct filled up. What has no such form is None there, and
      else left out.

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
    for name, value in found.items():
        if scipy.sparse.issparse(value):
            with damage(f"{path}: {name} unreadable"):
                value.check_format(full_check=True)  # else a damaged one could end this process
    return {name: value for name, value in found.items() if value is not None}


def child(path: str, limit: int, names: list[str]) -> None:
    """Writes the variables of a file to standard output, or what is wrong with it: the child's work."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found: dict[str, Any] | str
    try:
        found = load_here(path, names)
    except MemoryError:
        found = "it needs more memory than an array may take"
    except Exception as error:  # SciPy raises nearly any exception on damaged bytes.
        found = reason(error)
    pickle.dump(found, sys.stdout.buffer, protocol=5)


def load_here(path: str | os.PathLike, names: Sequence[str]) -> dict[str, Any]:
    """As `load_mat5`, but in this process, which a damaged file can end. None for what has no such form."""
    codecs.register(_codec_of_units)
    with warnings.catch_warnings(), open(path, "rb") as file:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", np.exceptions.ComplexWarning)  # an imaginary part would be left out
        units = "matlab_units_le" if file.read(128)[126:] == b"IM" else "matlab_units_be"
        content = scipy.io.loadmat(
            file, appendmat=False, mat_dtype=True, uint16_codec=units, variable_names=names
        )
    there = {name: content[name] for name in names if name in content}
    return {
        name: scipy.sparse.csr_array(value) if scipy.sparse.issparse(value) else _plain(value)
        for name, value in there.items()
    }


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
