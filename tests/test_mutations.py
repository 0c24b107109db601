"""What the product reads back is refused in one line that names it, however it is damaged, or does no harm.

MUTATIONS=1000 in the environment tries more examples of each.
"""

import contextlib
import dataclasses
import functools
import io
import json
import math
import os
import re
import shutil
from pathlib import Path

import exporting
import numpy as np
import pytest
from coded import saved
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import write_run

import gch.job
from gch.api import open_run
from gch.cli import main
from gch.commands import COMMANDS
from gch.commands.eval import _require_own
from gch.data.generated import generate
from gch.data.prepare import _plan_in, prepare
from gch.data.prepared import open_prepared
from gch.data.split import make_split
from gch.data.split_file import load_split, save_split
from gch.data.vocabulary import Vocabulary, load_vocabulary
from gch.errors import DataError, GCHError, SettingError
from gch.evaluation.codes import KINDS, EncodedPairs
from gch.evaluation.codes_file import read_codes, save_codes
from gch.evaluation.evaluate import DIRECTIONS, evaluate_items
from gch.reporting import plots, tables
from gch.reporting.page import page
from gch.reporting.record import read_run
from gch.run import RunFolder, run_settings
from gch.search.codes_folder import CodesWriter, read_note
from gch.search.index import build_index, open_index
from gch.search.model_note import NOTE, read_model_note
from gch.search.note_file import write_note_file
from gch.settings import fields, load_settings
from gch.storage import write_json
from gch.training.cluster import read_cluster

ITEMS = 60
EXAMPLES = int(os.environ.get("MUTATIONS", "12"))
bounded = settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def whole(repository, tmp_path_factory) -> Path:
    """What the product writes: a prepared data set, a run, a model, codes, an index and an evaluation."""
    folder = tmp_path_factory.mktemp("mutations")
    pairs = generate(ITEMS, image_size=16)
    prepare(pairs, folder / "prepared")
    split, run = make_split(ITEMS, pairs.default_sizes, 0), RunFolder(folder / "run")
    chosen = load_settings(None, {"dataset_dir": "generated", "bit": 16, "run_name": "run"})
    write_run(folder / "run", chosen, pairs.label_names[:4])
    run.start(chosen, pairs.digest)
    save_split(run.split, split)
    epoch = {"epoch": 1, "seconds": 2.5, "stages": {"label": 0.5}, "compiling": 0.5}
    run.close()
    run.write_history([epoch, epoch | {"epoch": 2}])
    Vocabulary(("red", "sea"), 1, frozenset({"the"})).save(run.vocabulary)
    random = np.random.default_rng(0)
    sets = []
    for rows in (split.query, split.retrieval):
        codes = {kind: random.normal(size=(len(rows), 16)).astype(np.float32) for kind in KINDS}
        sets.append(EncodedPairs(codes, pairs.labels[rows], rows))
    save_codes(folder / "run" / "generated_16.mat", *sets)
    (folder / "run" / "latest").mkdir()
    (folder / "run" / "latest" / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
    for suffix in ("index", "data-00000-of-00001"):
        (folder / "run" / "latest" / f"ckpt-2.{suffix}").touch()
    write_note_file(folder / "export" / NOTE, exporting.NOTE)
    (folder / "export" / "saved_model.pb").touch()
    codes = saved(folder / "codes", random.integers(0, 256, (20, 2), np.uint8), "text")
    build_index([codes], folder / "index", "hash", {"b": 8})
    write_json(folder / "eval" / "results.json", {"files": {"a.mat": "0" * 64}})
    return folder


def report(run: Path) -> None:
    records = [read_run(run)]
    tables.over_seeds(records)
    tables.comma_separated(records)
    tables.plain(*tables.rows(records, DIRECTIONS))
    page(records, list(plots.draw_all(records))[:0], "")
    assert open_run(run).results


def measure(run: Path) -> None:
    found = read_codes(run)
    if found.database:  # a file that was cut before the labels is one of two halves
        evaluate_items(found.queries["image"], found.database["text"])


def answer(folder: Path) -> None:
    index = open_index(folder)
    for part in index.parts.values():
        part.search(np.zeros((2, index.bits // 8), np.uint8), 3)
        part.items(range(len(part)))


def look(folder: Path) -> None:
    pairs = open_prepared(folder)
    read = pairs.pictures.read(np.arange(len(pairs.labels)))
    assert (read.dtype, read.shape) == (np.uint8, (len(pairs.labels), *pairs.pictures.size, 3))


READERS = {  # a file, and who reads it, of the folder that it is in
    "run/settings.json": lambda run: (open_run(run).settings, run_settings(run, {}, "test", "test")),
    "prepared/plan.json": lambda folder: _plan_in(folder / "plan.json"),
    "run/results.json": report,
    "run/history.json": lambda run: RunFolder(run).read_history(1),
    "run/split.npz": lambda run: (load_split(run / "split.npz", ITEMS), read_codes(run)),
    "run/vocabulary.json": lambda run: load_vocabulary(run / "vocabulary.json").bags(["the red sea"]),
    "run/generated_16.mat": measure,
    "run/latest/checkpoint": lambda folder: RunFolder(folder.parent).checkpoint("latest"),
    "export/assets.extra/model.json": lambda folder: read_model_note(folder.parent),
    "codes/codes.json": answer,
    "codes/00000.codes": answer,
    "codes/00000.items": answer,
    "index/index.json": answer,
    "index/text.items": answer,
    "index/text.equal": answer,
    "index/text.faiss": answer,
    "prepared/index.json": look,
    "prepared/places.npy": look,
    "prepared/texts.npy": look,
    "prepared/labels.npy": look,
    "prepared/pictures.bin": look,
    "eval/results.json": lambda folder: _require_own(folder, {}),
}

VALUES = st.sampled_from([None, True, {}, [], [[]], {"": None}, json.loads("[" * 400 + "]" * 400)])
VALUES |= st.sampled_from(["", "a\nb", "²", "\udcff", "x" * 5000])
VALUES |= st.sampled_from([0, -1, 1, 3, 0.5, -1e300, 1e308, 2**31, 2**63, 10**400, 10**4000])
VALUES |= st.sampled_from([math.nan, math.inf])
CUTS = st.sampled_from([b"", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"null", b"{}", b"\x00"])


def places(value, path=()):
    """The paths of all parts of a value of JSON."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*path, name)
        yield from places(part, (*path, name))


@st.composite
def damaged(draw, content: bytes, is_json: bool) -> bytes | None:
    """Another content of a file; None: a folder in its place."""
    of_json = ["value"] * 6 + ["key"] * 2 if is_json else []
    kind = draw(st.sampled_from([*of_json, "cut", "bytes", "bytes", "other", "folder"]))
    if kind == "folder":
        return None
    if kind == "other":
        return draw(CUTS)
    if kind == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if kind == "bytes":
        changed = bytearray(content)
        for _ in range(draw(st.integers(1, 8))):
            # The head of a file of arrays is what describes it.
            most = min(len(changed), draw(st.sampled_from([200, len(changed)])))
            changed[draw(st.integers(0, most - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    value = json.loads(content)
    path = draw(st.sampled_from(list(places(value))))
    part = functools.reduce(lambda inner, name: inner[name], path[:-1], value)
    if kind == "value":
        part[path[-1]] = draw(VALUES)
    elif isinstance(part, dict) and draw(st.booleans()):
        part[draw(st.sampled_from(["", "a\nb", "x" * 300, "mAP"]))] = part.pop(path[-1])
    else:
        del part[path[-1]]
    return json.dumps(value).encode()


def files(folder: Path) -> dict[str, tuple]:
    found = {str(path): path.stat() for path in folder.rglob("*") if path.name != ".lock"}
    return {path: (one.st_size, one.st_mtime_ns) for path, one in found.items()}


@pytest.mark.parametrize("name", READERS)
@bounded
@given(data=st.data())
def test_damaged_files_are_refused_in_one_line(whole, name, data):
    copied = whole / "copy" / name.split("/")[0]
    if not copied.exists():
        shutil.copytree(whole / copied.name, copied)
    path = copied.parent / name
    content = path.read_bytes()
    other = data.draw(damaged(content, name.endswith("json")))
    path.unlink()
    path.mkdir() if other is None else path.write_bytes(other)
    before = files(copied)
    try:
        READERS[name](path.parent)
    except GCHError as refusal:
        text = str(refusal)
        assert text.isprintable(), text
        assert str(copied) in text
        assert len(text) < 3000
    finally:
        left = files(copied)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(content)
    assert left == before


@pytest.mark.parametrize("name", ["00000.codes", "00000.items", "00001.codes"])
def test_codes_that_are_cut_are_left_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.setattr("gch.search.codes_folder.PART_ITEMS", 10)
    saved(tmp_path, np.zeros((20, 2), np.uint8))
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "skipped.jsonl").write_bytes(b"of a start that was killed")
    before = files(tmp_path)
    with pytest.raises(DataError, match=f"{name}: 1 bytes, expected"):
        CodesWriter(tmp_path, read_note(tmp_path))
    assert files(tmp_path) == before


FLAGS = ["²", "٣", "9" * 5000, "-1", "0", "1", "7", "8", "a\nb", "\udcff", "nan", "-inf"]
FLAGS += ["1e400", "1e308", "1e-400"]
FLAGS += [str(2**31), str(2**63), "", "[", "$x$", "x" * 5000, "/dev/null", "..", "true", "1,2", "é" * 100]
NAMES = sorted({field.name for _, field in fields()} - {"load_model_path"})
OPTIONS = [(name, field.name) for name, kind in COMMANDS.items() for field in dataclasses.fields(kind)]


def lines_of(*arguments: str, settings_file: Path) -> list[str]:
    """What the command line prints as errors."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as error:
        status = main(["main_itpair.py", *arguments], settings_file)
    lines = error.getvalue().splitlines()
    assert (status in (1, 2), len(lines)) == (True, 1), (status, lines)
    return lines


@bounded
@given(st.sampled_from(NAMES), st.sampled_from(FLAGS) | st.text(max_size=9), st.booleans())
def test_any_setting_is_refused_or_taken_in_one_line(tmp_path_factory, name, value, from_file):
    def stop(*_):
        raise GCHError("stopped before TensorFlow")

    folder = tmp_path_factory.mktemp("settings")
    file, flags = folder / "settings.py", [f"--{name}={value}"]
    file.write_text("image_size = 8\nbatch_size = 10\n")
    base = {"dataset_dir": "generated", "backbone_start": "random", "DATA_DIR": folder}
    base |= {"checkpoint_dir": folder / "runs", "log_dir": folder / "logs"}
    if from_file:
        read = value if re.fullmatch("-?[0-9.]+(e[0-9-]+)?", value) else ascii(value)
        file.write_text(f"{name} = {read}\n", encoding="utf-8")
        flags = []
    flags += [f"--{key}={one}" for key, one in base.items() if key != name]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(gch.job, "_prepare_tensorflow", stop)
        (line,) = lines_of(*flags, settings_file=file)
    assert name in line or "stopped before" in line or str(folder) in line, line
    shutil.rmtree(folder)


@bounded
@given(option=st.sampled_from(OPTIONS), value=st.sampled_from(FLAGS))
def test_any_flag_of_a_command_is_refused_in_one_line(tmp_path_factory, option, value):
    command, name = option
    folder = tmp_path_factory.mktemp("flags")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.executable", "false")  # of the runs of a sweep
        words = [] if command == "sweep" else ["nowhere"] * (1 + (command in ("search", "serve")))
        out = [] if name == "out" else [f"--out={folder / 'out'}"] * (command not in ("search", "serve"))
        lines_of(command, *words, f"--{name}={value}", *out, settings_file=None)
    assert not (folder / "out").exists()
    shutil.rmtree(folder)


CLUSTERS = ["[" * 100_000, "9" * 5000, "null", "{", '{"cluster": 3}', '{"cluster": {"ps": []}}']


@bounded
@given(st.sampled_from(CLUSTERS) | st.text())
def test_a_damaged_cluster_is_refused_in_one_line(text):
    with contextlib.suppress(SettingError):
        assert read_cluster({"TF_CONFIG": text}).chief
