"""Reading a PyTorch state dict in the legacy (not zipped) file format, without PyTorch.

The file is, in this order: a pickled magic number, a pickled protocol version, a pickled dict about the
machine that wrote it, the pickled state dict whose tensors refer to storages by key, a pickled list of
storage keys, and for each of those keys the number of elements (int64) and the elements.
Source: torch/serialization.py, `_legacy_save` and `_legacy_load`.
"""

import io
import math
import os
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import WeightsError
from gch.networks.plain_pickle import Global, read_plain_pickle

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
ELEMENT_TYPES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "BoolStorage": "|b1",
    "ByteStorage": "|u1",
    "CharStorage": "|i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
MOST_AXES = 8


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int


class _View(NamedTuple):
    """A tensor: element (i, j, ...) is the storage's element offset + i * stride[0] + j * stride[1] ..."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a flat state dict (name -> tensor) from a file of `torch.save` before PyTorch 1.6.

    Nothing in the file is executed, and memory stays within a small multiple of the file's size.

    Returns:
      The tensors by name, in the order of the file: read-only arrays of any shape and stride, of the
      dtype in the file (float16/32/64, bool, uint8, int8/16/32/64).

    Raises:
      WeightsError: the file is missing, truncated, of another format, asks for a name other than those
        a state dict needs, or describes a tensor that exceeds its storage.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); expected a torch file") from None
    if content.startswith(b"PK"):
        raise WeightsError(f"{path}: found torch's zip format, expected its legacy format (before 1.6)")
    try:
        return _read_state_dict(io.BytesIO(content), content)
    except (ValueError, OverflowError) as error:
        reason = textwrap.shorten(str(error), 300)
        raise WeightsError(f"{path}: {reason}; expected a state dict in torch's legacy format") from None


def _read_state_dict(stream: io.BytesIO, content: bytes) -> dict[str, np.ndarray]:
    if _read_data(stream) != MAGIC_NUMBER:
        raise ValueError("does not begin with torch's magic number")
    if _read_data(stream) != PROTOCOL_VERSION:
        raise ValueError(f"has a protocol version other than {PROTOCOL_VERSION}")
    machine = _read_data(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("was not written by a little-endian machine")

    storages: dict[str, _Storage] = {}

    def persistent(reference: object) -> _Storage:
        storage = _storage(reference)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"describes storage {storage.key!r} in two ways")
        return storage

    state = read_plain_pickle(stream, _call, persistent)
    if not isinstance(state, dict):
        raise ValueError(f"holds a {type(state).__name__}, not a dict of tensors")
    for name, view in state.items():
        if not isinstance(view, _View):
            raise ValueError(f"entry {name!r} is a {type(view).__name__}, not a tensor")

    keys = _read_data(stream)
    if not isinstance(keys, list):
        raise ValueError("has no list of storages")
    starts: dict[str, int] = {}
    position = stream.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in starts:
            raise ValueError("lists a storage that no tensor uses, or one twice")
        _, dtype, length = storages[key]
        end = position + 8 + length * dtype.itemsize
        if end > len(content):
            raise ValueError(f"is truncated: {len(content)} bytes, and storage {key!r} ends at byte {end}")
        found = int.from_bytes(content[position : position + 8], "little", signed=True)
        if found != length:
            raise ValueError(f"storage {key!r} has {found} elements where its tensor says {length}")
        starts[key] = position + 8
        position = end

    tensors = {}
    for name, view in state.items():
        if view.storage.key not in starts:
            raise ValueError(f"entry {name!r} uses a storage that the file does not hold")
        tensors[name] = _array(name, view, content, starts[view.storage.key])
    return tensors


def _read_data(stream: io.BytesIO) -> object:
    """Reads a pickle that has no business to refer to anything."""

    def refuse(*_: object) -> object:
        raise ValueError("refers to a name or a storage where only plain data belong")

    return read_plain_pickle(stream, refuse, refuse)


def _call(name: Global, arguments: tuple) -> object:
    match (*name, arguments):
        case ("collections", "OrderedDict", ()):
            return {}
        case ("torch._utils", "_rebuild_tensor_v2", (_Storage() as storage, int(), tuple(), tuple(), *_)):
            offset, shape, stride = arguments[1:4]
            if not all(type(number) is int for number in (offset, *shape, *stride)):
                raise ValueError("describes a tensor by something else than whole numbers")
            return _View(storage, offset, shape, stride)
    raise ValueError(f"asks for {name.module}.{name.name}, which a state dict does not need")


def _storage(reference: object) -> _Storage:
    match reference:
        case ("storage", Global("torch", kind), str() as key, str(), int() as length, None):
            if kind not in ELEMENT_TYPES:
                raise ValueError(f"has a torch.{kind}, which is not among {', '.join(ELEMENT_TYPES)}")
            if length < 0:
                raise ValueError(f"storage {key!r} has {length} elements")
            return _Storage(key, np.dtype(ELEMENT_TYPES[kind]), length)
    raise ValueError("has a reference that is not a storage of its own")


def _array(name: str, view: _View, content: bytes, start: int) -> np.ndarray:
    """A view into `content`, where the elements of the view's storage begin at byte `start`."""
    storage, offset, shape, stride = view
    if len(shape) != len(stride) or len(shape) > MOST_AXES or min((offset, *shape, *stride)) < 0:
        raise ValueError(f"entry {name!r} has offset {offset}, shape {shape} and stride {stride}")
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if size else offset - 1
    # A stride of 0 repeats elements, so the extent alone does not bound the size.
    if last >= storage.length or size > storage.length or offset > storage.length:
        raise ValueError(
            f"entry {name!r} of shape {shape}, stride {stride} at offset {offset} exceeds"
            f" its storage of {storage.length} elements"
        )
    width = storage.dtype.itemsize
    if not size:
        return np.empty(shape, storage.dtype)
    return np.ndarray(
        shape, storage.dtype, content, start + offset * width, tuple(step * width for step in stride)
    )
