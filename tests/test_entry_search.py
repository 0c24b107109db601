"""From a run to an answer, each command as a process: train, export, encode, index, search, serve."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from entry import LONGEST, SIZES, Command, save_small_backbone
from PIL import Image

from gch.data.openmoji import open_openmoji
from gch.search.codes_folder import open_codes

# What any TensorFlow program does; this package cannot be imported in it.
ANY_PROGRAM = """
import sys
sys.modules["gch"] = None
import numpy as np
import tensorflow as tf

given = np.load(sys.argv[2])
model = tf.saved_model.load(sys.argv[1])
signatures = model.signatures
found = {
    "Qi": signatures["encode_image"](images=tf.constant(given["pictures"])),
    "float": signatures["encode_image_float"](images=tf.constant(given["pictures"], tf.float32)),
    "bytes": signatures["encode_image_bytes"](contents=tf.constant(list(given["files"]))),
    "Qt": signatures["encode_text"](texts=tf.constant(given["texts"], tf.float32)),
    "words": signatures["encode_text_string"](texts=tf.constant(given["tags"])),
}
np.savez(sys.argv[3], **{name: result["codes"].numpy() for name, result in found.items()})
assert not [name for name in sys.modules if name.startswith("gch.")]
"""


def process(repository: Path, *words, expect: int = 0, **options) -> tuple[str, str]:
    found = subprocess.run(
        [sys.executable, "main_itpair.py", *map(str, words)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        **options,
    )
    assert found.returncode == expect, found.stdout + found.stderr
    return found.stdout, found.stderr


@pytest.fixture(scope="module")
def exported(repository, tmp_path_factory, data):
    """A run of one epoch, and what its export printed."""
    folder = tmp_path_factory.mktemp("exported")
    save_small_backbone(folder / "small.keras")
    command = Command(repository, folder, data)
    command.run(netStr=folder / "small.keras", Epoch=1)
    return command, process(repository, "export", command.run_folder, f"--log_dir={folder / 'logs'}")[0]


@pytest.fixture(scope="module")
def queries(exported, data):
    """Pictures, texts and tags of the query set, in the order of the codes."""
    command, _ = exported
    pairs = open_openmoji(data / "cache", SIZES["image_size"], report=lambda line: None)
    rows = np.load(command.run_folder / "split.npz")["query"]
    tags = [[pairs.tag_names[column] for column in np.flatnonzero(pairs.texts[row])] for row in rows]
    return pairs.pictures.read(rows), pairs.texts[rows], tags


@pytest.fixture(scope="module")
def collection(exported, queries, repository, tmp_path_factory):
    """The query set as somebody's own collection: a folder of pictures, and a file of tags; an index."""
    command, _ = exported
    folder = tmp_path_factory.mktemp("collection")
    (folder / "pictures").mkdir()
    for number, picture in enumerate(queries[0]):
        Image.fromarray(picture).save(folder / "pictures" / f"{number:03d}.png")
    lines = [json.dumps({"id": f"t{number:03d}", "tags": one}) for number, one in enumerate(queries[2])]
    (folder / "tags.jsonl").write_text("\n".join(lines))
    model = command.run_folder / "export"
    for words in (
        ("encode", model, f"--images={folder / 'pictures'}", f"--out={folder / 'images'}"),
        ("encode", model, f"--texts={folder / 'tags.jsonl'}", f"--out={folder / 'texts'}"),
        ("index", folder / "images", folder / "texts", f"--out={folder / 'index'}"),
    ):
        process(repository, *words)
    return folder


def test_the_model_says_what_it_takes(exported):
    command, output = exported
    assert f"SavedModel of outer epoch 1 in {command.run_folder / 'export'}" in output
    assert (
        "takes encode_image, encode_image_float, encode_image_bytes, encode_text, encode_text_string"
        in output
    )
    tool = Path(sys.executable).with_name("saved_model_cli")
    listed = subprocess.run(
        [tool, "show", "--dir", command.run_folder / "export", "--all"],
        capture_output=True,
        text=True,
        timeout=LONGEST,
    ).stdout
    for name in ("encode_image", "encode_image_bytes", "encode_text", "encode_text_string"):
        assert f"signature_def['{name}']" in listed
    assert re.search(r"outputs\['codes'\] tensor_info:\s+dtype: DT_UINT8\s+shape: \(-1, 2\)", listed)
    assert re.search(r"outputs\['relaxed'\] tensor_info:\s+dtype: DT_FLOAT\s+shape: \(-1, 16\)", listed)


def test_another_program_gets_the_codes_of_the_test_phase(exported, queries, tmp_path):
    command, _ = exported
    pictures, texts, tags = queries
    widest = max(map(len, tags))
    padded = np.array([[*one, *[""] * (widest - len(one))] for one in tags])
    files = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        files.append((tmp_path / f"{number}.png").read_bytes() + b"end")  # NumPy drops zeros at the end
    np.savez(tmp_path / "given.npz", pictures=pictures, texts=texts, tags=padded, files=np.array(files))
    model = command.run_folder / "export"
    found = subprocess.run(
        [sys.executable, "-I", "-c", ANY_PROGRAM, model, tmp_path / "given.npz", tmp_path / "found.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert found.returncode == 0, found.stderr
    packed = {name: np.packbits(codes > 0, axis=1) for name, codes in command.codes().items()}
    codes = np.load(tmp_path / "found.npz")
    for name, of_test in {"Qi": "Qi", "float": "Qi", "bytes": "Qi", "Qt": "Qt", "words": "Qt"}.items():
        np.testing.assert_array_equal(codes[name], packed[of_test], err_msg=name)


def test_exporting_again_replaces_the_model_and_other_settings_are_refused(exported, repository, tmp_path):
    command, _ = exported
    before = (command.run_folder / "export" / "fingerprint.pb").stat().st_mtime_ns
    output, _ = command.run("export", "--lite", netStr=command.folder / "small.keras", Epoch=1)
    assert "SavedModel of outer epoch 1" in output
    assert (command.run_folder / "export" / "fingerprint.pb").stat().st_mtime_ns > before
    assert not [path for path in command.run_folder.iterdir() if "unfinished" in path.name]
    lite = command.run_folder / "export" / "lite"
    assert f"the encoders for TensorFlow Lite in {lite}" in output
    assert sorted(path.name for path in lite.iterdir()) == ["image.tflite", "text.tflite"]
    _, error = process(repository, "export", command.run_folder, "--bit=32", expect=2)
    assert "export: bit is given; a run keeps what it was started with" in error
    _, error = process(repository, "export", tmp_path, expect=1)
    assert "not the settings of a run" in error


def test_a_collection_has_the_codes_of_the_test_phase(exported, collection):
    command, _ = exported
    for name, folder in (("Qi", "images"), ("Qt", "texts")):
        packed = np.packbits(command.codes()[name] > 0, axis=1)
        np.testing.assert_array_equal(open_codes(collection / folder).codes, packed)


def test_searching_both_ways(exported, collection, repository):
    command, _ = exported
    model, codes = command.run_folder / "export", command.codes()

    def ask(*words) -> dict:
        return json.loads(process(repository, "search", model, collection / "index", *words, "--json")[0])

    found = ask(f"--picture={collection / 'pictures' / '007.png'}", "--count=100")
    away = (codes["Qi"][7] != codes["Qt"]).sum(axis=1)
    assert found["find"] == "texts"
    assert [one["distance"] for one in found["results"]] == sorted(away)
    assert all(away[int(one["id"][1:])] == one["distance"] for one in found["results"])
    found = ask("smiling", "cat", "face", "--count=5")
    assert found["find"] == "images"
    assert len(found["results"]) == 5
    assert Path(found["results"][0]["path"]).is_file()


def test_a_real_server_answers_many_at_once_and_refuses_what_is_wrong(exported, collection, repository):
    command, _ = exported
    model, index = command.run_folder / "export", collection / "index"
    server = subprocess.Popen(
        [sys.executable, "main_itpair.py", "serve", model, index, "--port=0", "--max_megabytes=1"],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    picture = (collection / "pictures" / "003.png").read_bytes()
    asked = {
        "words": ("text", json.dumps({"text": "smiling cat", "count": 3}).encode(), 200),
        "picture": ("picture?count=3", picture, 200),
        "no word": ("text", json.dumps({"text": "xyzzyx"}).encode(), 400),
        "no JSON": ("text", b"{", 400),
        "no picture": ("picture", b"GIF89a" + bytes(99), 400),
        "half a picture": ("picture", picture[: len(picture) // 2], 400),
        "no modality": ("picture?find=sounds", picture, 400),
        "too large": ("picture", bytes(2**20 + 1), 413),
    }
    try:
        lines = iter(server.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))

        def ask(name: str) -> tuple[str, int, dict]:
            place, body, _ = asked[name]
            request = urllib.request.Request(f"{address}/api/search/{place}", body)
            if place == "text":
                request.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    return name, reply.status, json.loads(reply.read())
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return name, refusal.code, json.loads(refusal.read())

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(ask, [*asked] * 20))
        for name, status, value in answers:
            assert status == asked[name][2], (name, value)
            assert len(value["results"]) == 3 if status == 200 else value["error"]
        alone = {name: ask(name)[2] for name in asked}
        assert all(value == alone[name] for name, _, value in answers)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) in (0, 130)
        assert "Traceback" not in server.stderr.read()
        server.stdout.close()
        server.stderr.close()
