import collections
import os
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gch.errors import WeightsError
from gch.networks.torch_file import MAGIC_NUMBER, PROTOCOL_VERSION, read_torch_file

# A writer of torch's legacy format in terms of the opcodes of pickle, as the format is laid out.
MACHINE = {"protocol_version": PROTOCOL_VERSION, "little_endian": True, "type_sizes": {"int": 4}}


def dump(value):
    return pickle.dumps(value, protocol=2)


def value(x):
    """The opcodes that put plain data on the stack."""
    return dump(x)[2:-1]


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def storage(key, length, kind="FloatStorage"):
    return (
        b"("
        + value("storage")
        + name("torch", kind)
        + value(key)
        + value("cpu")
        + value(length)
        + b"Nt"
        + b"Q"
    )


def tensor(key, length, offset, shape, stride, kind="FloatStorage"):
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = storage(key, length, kind) + value(offset) + value(shape) + value(stride) + b"\x89" + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def state(entries):
    items = b"".join(value(key) + opcodes for key, opcodes in entries.items())
    metadata = value({"_metadata": {"": {"version": 1}}})
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + items + b"u" + metadata + b"b."


def torch_file(entries, storages, machine=MACHINE):
    head = dump(MAGIC_NUMBER) + dump(PROTOCOL_VERSION) + dump(machine)
    body = b"".join(len(array).to_bytes(8, "little") + array.tobytes() for array in storages.values())
    return head + state(entries) + dump(list(storages)) + body


FLOATS = np.arange(24, dtype="<f4")
LONGS = np.array([7], "<i8")
ENTRIES = {
    "weight": tensor("1", 24, 0, (4, 3, 2), (1, 4, 12)),
    "bias": tensor("1", 24, 20, (4,), (1,)),
    "steps": tensor("2", 1, 0, (), (), "LongStorage"),
}
WHOLE = torch_file(ENTRIES, {"1": FLOATS, "2": LONGS})


def read(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return read_torch_file(path)


def refused(tmp_path, content):
    with pytest.raises(WeightsError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "\n" not in message
    assert "weights.pth" in message
    return message


def test_reads_views_of_shared_storages(tmp_path):
    tensors = read(tmp_path, WHOLE)
    assert list(tensors) == ["weight", "bias", "steps"]
    np.testing.assert_array_equal(tensors["weight"], FLOATS.reshape(2, 3, 4).transpose(2, 1, 0))
    np.testing.assert_array_equal(tensors["bias"], FLOATS[20:])
    assert tensors["steps"] == 7
    assert tensors["steps"].dtype == np.int64
    assert not tensors["weight"].flags.writeable


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


@settings(max_examples=300, deadline=None)
@given(length=st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_refused(folder, length):
    refused(folder, WHOLE[:length])


@settings(max_examples=500, deadline=None)
@given(
    position=st.integers(0, len(WHOLE) - 1),
    content=st.binary(min_size=1, max_size=12),
    replace=st.booleans(),
)
@example(position=len(dump(MAGIC_NUMBER)) + 2, content=b"\x8b\xff\xff\xff\xff", replace=True)
def test_a_damaged_file_is_read_or_refused(folder, position, content, replace):
    end = position + len(content) if replace else position
    try:
        tensors = read(folder, WHOLE[:position] + content + WHOLE[end:])
    except WeightsError:
        return
    assert sum(array.nbytes for array in tensors.values()) <= 3 * len(WHOLE)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_code_in_a_file_is_not_run(tmp_path):
    target = tmp_path / "made by the file"
    head = dump(MAGIC_NUMBER) + dump(PROTOCOL_VERSION)
    message = refused(tmp_path, head + dump(MACHINE) + dump({"weight": Malicious(target)}))
    assert "mkdir" in message
    refused(tmp_path, head + dump(Malicious(target)))
    refused(tmp_path, dump(Malicious(target)))
    assert not target.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        name("builtins", "eval") + value(("1",)) + b"R",
        name("torch._utils", "_rebuild_tensor_v2") + value(("no", "storage")) + b"R",
        name("collections", "OrderedDict") + value(([("a", 1)],)) + b"R",
        value(3),
        name("torch", "FloatStorage"),
        storage("1", 24, "QUInt8Storage"),
        storage("1", -1),
        tensor("1", 25, 0, (25,), (1,)),
        tensor("1", 24, 1, (4, 3, 2), (1, 4, 12)),
        tensor("1", 24, -1, (1,), (1,)),
        tensor("1", 24, 0, (2,), (-1,)),
        tensor("1", 24, 0, (-1,), (1,)),
        tensor("1", 24, 0, (10**15,), (0,)),
        tensor("1", 24, 0, (10**25, 0), (1, 1)),
        tensor("1", 24, 0, (1, 1), (10**30, 1)),
        tensor("1", 24, 25, (0,), (1,)),
        tensor("1", 24, 0, (1,) * 9, (1,) * 9),
        tensor("1", 24, 0, (2, 2), (1,)),
        tensor("1", 24, 0, ("a",), (1,)),
        tensor("1", 24, 0, (True,), (1,)),
        tensor("3", 24, 0, (1,), (1,)),
        b"(" * 50,
        b")" + b"\x85" * 20000,
    ],
)
def test_what_a_state_dict_does_not_need_is_refused(tmp_path, opcodes):
    assert refused(tmp_path, torch_file({"first": ENTRIES["bias"], "x": opcodes}, {"1": FLOATS}))


def test_other_formats_are_named(tmp_path):
    assert "zip format" in refused(tmp_path, b"PK\x03\x04 and so on")
    assert "magic number" in refused(tmp_path, dump(42))
    other_end = {**MACHINE, "little_endian": False}
    assert "little-endian" in refused(tmp_path, torch_file(ENTRIES, {"1": FLOATS, "2": LONGS}, other_end))
    with pytest.raises(WeightsError, match="cannot be read"):
        read_torch_file(tmp_path / "missing.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_torch_file(tmp_path)


def test_an_ordered_dict_of_pickle_itself_is_read(tmp_path):
    content = dump(MAGIC_NUMBER) + dump(PROTOCOL_VERSION) + dump(MACHINE)
    assert read(tmp_path, content + dump(collections.OrderedDict()) + dump([])) == {}
