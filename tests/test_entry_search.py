"""From a run to an answer: train, export, encode, index, search, serve, by commands and in Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from entry import LONGEST, QUICK, SIZE, Command
from PIL import Image
from served import connected

import gch
from gch.cli import main
from gch.data.generated import generate
from gch.search.codes_folder import open_codes
from gch.search.exported import ExportedModel
from gch.search.index import open_index
from gch.search.query import Searcher

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
    "Qu": signatures["encode_pair"](images=tf.constant(given["pictures"]), texts=tf.constant(given["tags"])),
}
np.savez(sys.argv[3], **{name: result["codes"].numpy() for name, result in found.items()})
assert not [name for name in sys.modules if name.startswith("gch.")]
"""


@pytest.fixture(scope="module")
def exported(repository, tmp_path_factory, data):
    """A run of one epoch, and what its export printed."""
    trained = Command(repository, tmp_path_factory.mktemp("exported"), data, Epoch=1)
    trained.run()
    return trained, trained.run("export")[0]


@pytest.fixture(scope="module")
def queries(exported):
    """Pictures, texts and tags of the query set, in the order of the codes."""
    pairs = generate(image_size=SIZE, seed=QUICK["seed"])
    rows = np.load(exported[0].run_folder / "split.npz")["query"]
    tags = [[pairs.tag_names[column] for column in np.flatnonzero(pairs.texts[row])] for row in rows]
    return pairs.pictures.read(rows), pairs.texts[rows], tags


@pytest.fixture(scope="module")
def collection(exported, queries, repository, tmp_path_factory):
    """The query set as somebody's own collection: a folder of pictures, and a file of tags; an index."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "pictures").mkdir()
    for number, picture in enumerate(queries[0]):
        Image.fromarray(picture).save(folder / "pictures" / f"{number:03d}.png")
    lines = [json.dumps({"id": f"t{number:03d}", "tags": one}) for number, one in enumerate(queries[2])]
    (folder / "tags.jsonl").write_text("\n".join(lines))
    named = [{"path": f"pictures/{number:03d}.png", "tags": one} for number, one in enumerate(queries[2])]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, named)))
    model = exported[0].run_folder / "export"
    for words in (
        ("encode", model, f"--images={folder / 'pictures'}", f"--out={folder / 'images'}"),
        ("encode", model, f"--texts={folder / 'tags.jsonl'}", f"--out={folder / 'texts'}"),
        ("encode", model, f"--pairs={folder / 'pairs.jsonl'}", f"--out={folder / 'pairs'}"),
        ("index", folder / "images", folder / "texts", f"--out={folder / 'index'}"),
    ):
        assert main(["main_itpair.py", *map(str, words)], repository / "setting.py") == 0
    return folder


def test_another_program_gets_the_codes_of_the_test_phase(exported, queries, tmp_path):
    trained, output = exported
    assert f"SavedModel of outer epoch 1 in {trained.run_folder / 'export'}" in output
    assert "signatures: encode_image, encode_image_float, encode_image_bytes, encode_text, " in output
    pictures, texts, tags = queries
    widest = max(map(len, tags))
    padded = np.array([[*one, *[""] * (widest - len(one))] for one in tags])
    files = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        files.append((tmp_path / f"{number}.png").read_bytes() + b"end")  # NumPy drops zeros at the end
    np.savez(tmp_path / "given.npz", pictures=pictures, texts=texts, tags=padded, files=np.array(files))
    words = trained.run_folder / "export", tmp_path / "given.npz", tmp_path / "found.npz"
    found = subprocess.run(
        [sys.executable, "-I", "-c", ANY_PROGRAM, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert found.returncode == 0, found.stderr
    packed = {name: np.packbits(codes > 0, axis=1) for name, codes in trained.codes().items()}
    for name, codes in np.load(tmp_path / "found.npz").items():
        of_test = {"float": "Qi", "bytes": "Qi", "words": "Qt"}.get(name, name)
        np.testing.assert_array_equal(codes, packed[of_test], err_msg=name)


def test_exporting_again_replaces_the_model_and_other_settings_are_refused(exported, command, tmp_path):
    trained, _ = exported
    export = trained.run_folder / "export"
    before = (export / "fingerprint.pb").stat().st_mtime_ns
    status, output, _ = command("export", trained.run_folder, "--lite", f"--log_dir={tmp_path}")
    assert status == 0
    assert "SavedModel of outer epoch 1" in output
    assert (export / "fingerprint.pb").stat().st_mtime_ns > before
    assert not [path for path in trained.run_folder.iterdir() if "unfinished" in path.name]
    assert f"the encoders for TensorFlow Lite in {export / 'lite'}" in output
    assert sorted(path.name for path in (export / "lite").iterdir()) == ["image.tflite", "text.tflite"]
    status, _, error = command("export", trained.run_folder, "--bit=32")
    assert (status, "export: bit cannot change; a run keeps" in error) == (2, True)
    status, _, error = command("export", tmp_path)
    assert (status, "no settings.json in it" in error) == (1, True)


def test_a_collection_has_the_codes_of_the_test_phase(exported, collection):
    for name, folder in (("Qi", "images"), ("Qt", "texts"), ("Qu", "pairs")):
        packed = np.packbits(exported[0].codes()[name] > 0, axis=1)
        np.testing.assert_array_equal(open_codes(collection / folder).codes, packed)


def test_searching_both_ways(exported, collection, command):
    model, codes = exported[0].run_folder / "export", exported[0].codes()
    picture = f"--picture={collection / 'pictures' / '007.png'}"
    exact = "--count=100", "--json", "--ranking=hamming"
    _, output, _ = command("search", model, collection / "index", picture, *exact)
    found = json.loads(output)
    away = (codes["Qi"][7] != codes["Qt"]).sum(axis=1)
    assert found["find"] == "texts"
    assert [one["distance"] for one in found["results"]] == sorted(away)
    assert all(away[int(one["id"][1:])] == one["distance"] for one in found["results"])
    words = "word 3 of label 3", "word 9 of label 1", "--count=5", "--json"
    found = json.loads(command("search", model, collection / "index", *words)[1])
    assert (found["find"], len(found["results"])) == ("images", 5)
    assert Path(found["results"][0]["path"]).is_file()


def test_a_server_of_the_model_answers(exported, collection):
    model = ExportedModel(exported[0].run_folder / "export")
    picture = (collection / "pictures" / "003.png").read_bytes()
    with connected(Searcher(model, open_index(collection / "index"))) as client:
        for answer in (
            client.post("/api/search/text", json={"text": "word 3 of label 3", "count": 3}),
            client.post("/api/search/picture?count=3", content=picture),
        ):
            assert len(answer.json()["results"]) == 3


def test_a_run_is_opened_and_tested_again(exported):
    run = gch.open_run(exported[0].run_folder)
    assert run.settings["bit"] == 16
    before = run.results["mAP"]["I->T"]
    assert before > 1.5 * exported[0].chance()
    run.test(ties="optimistic")
    assert run.results["mAP"]["I->T"] >= before
    with pytest.raises(gch.GCHError, match="test: bit cannot change; a run keeps"):
        run.test(bit=8)


def test_a_model_and_an_index_in_python_answer_queries(exported):
    model = gch.load(exported[0].run_folder / "export")
    words = list(model.words)[:4]
    codes = model.encode_texts([words[0], words[1:3], " ".join(words[3:])])
    assert (codes.shape, codes.dtype) == ((3, 2), np.uint8)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), np.uint8)
    found = gch.Index(model.encode_images(pictures), ids=list("abcde")).search(codes, k=2)
    assert found.ids.shape == found.distances.shape == (3, 2)
    assert set(found.ids.ravel()) <= set("abcde")
    unified = model.encode_pairs([*pictures[:2], None], [words[0], None, words[1:3]])
    np.testing.assert_array_equal(unified[1:], [model.encode_images(pictures[1:2])[0], codes[1]])
