"""From a run to an answer: train, export, encode, index, search, serve, by commands and in Python."""

import json
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from entry import LONGEST, QUICK, SIZE, Command, uncompiled
from exporting import save_small_model
from PIL import Image
from served import connected

import gch
from gch.data.generated import generate
from gch.search.codes_folder import open_codes
from gch.search.index import open_index
from gch.search.query import Searcher
from gch.storage import lock

pytestmark = pytest.mark.usefixtures("load_once")

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
FEW = {"QUERY_SIZE": 20, "DATABASE_SIZE": 100, "TRAINING_SIZE": 50, "VERIFICATION_SIZE": 20, "batch_size": 25}
ONE_STAGE = {"Epoch": 1, "MAX_ITER": 1, "k_txt": 0, "k_img": 0, "teacher": False, "panel_queries": 0}


@pytest.fixture(scope="module")
def trained(repository, tmp_path_factory, data):
    run = Command(repository, tmp_path_factory.mktemp("trained"), data, **FEW, **ONE_STAGE)
    with uncompiled():
        run.run()
    return run


@pytest.fixture(scope="module")
def queries(trained):
    """Pictures, texts and tags of the query set, in the order of the codes."""
    pairs = generate(image_size=SIZE, seed=QUICK["seed"])
    rows = np.load(trained.run_folder / "split.npz")["query"]
    tags = [[pairs.tag_names[column] for column in np.flatnonzero(pairs.texts[row])] for row in rows]
    return pairs.pictures.read(rows), pairs.texts[rows], tags


@pytest.fixture(scope="module")
def collection(trained, queries, tmp_path_factory):
    """The query set as somebody's own collection: a folder of pictures, and files of tags and of pairs."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "pictures").mkdir()
    for number, picture in enumerate(queries[0]):
        Image.fromarray(picture).save(folder / "pictures" / f"{number:03d}.png")
    for name, field, places in (("tags", "id", "t{:03d}"), ("pairs", "path", "pictures/{:03d}.png")):
        lines = [{field: places.format(number), "tags": one} for number, one in enumerate(queries[2])]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def exported(trained, command):
    """The model of a run, in the place of another one; and what its export printed."""
    place = trained.run_folder / "export"
    save_small_model(place)
    status, output, error = command("export", trained.run_folder, "--lite", f"--log_dir={trained.folder}")
    assert (status, error) == (0, "")
    return place, output


@pytest.fixture(scope="module")
def indexed(exported, collection, command):
    """An index of the pictures and tags of the collection, beside the codes of both and of its pairs."""
    for kind, source in (("images", "pictures"), ("texts", "tags.jsonl"), ("pairs", "pairs.jsonl")):
        out = f"--out={collection / kind}"
        assert command("encode", exported[0], f"--{kind}={collection / source}", out)[0] == 0
    folders = collection / "images", collection / "texts", f"--out={collection / 'index'}"
    assert command("index", *folders)[0] == 0
    return collection / "index"


def test_an_export_takes_the_place_of_the_earlier_one_whole(trained, exported):
    place, output = exported
    assert gch.load(place).note.run == trained.run_folder.name
    assert f"SavedModel of outer epoch 1 in {place}" in output
    assert "signatures: encode_image, encode_image_float, encode_image_bytes, encode_text, " in output
    assert not [path for path in trained.run_folder.iterdir() if "unfinished" in path.name]
    assert f"the encoders for TensorFlow Lite in {place / 'lite'}" in output
    assert sorted(path.name for path in (place / "lite").iterdir()) == ["image.tflite", "text.tflite"]


def test_without_a_folder_the_run_of_the_settings_is_exported(trained, monkeypatch):
    asked = []
    monkeypatch.setattr("gch.commands.export.run_job", lambda settings, **_: asked.append(settings.values()))
    trained.run("export")
    expected = trained.results["settings"] | {"phase": "export"}
    assert asked == [expected]


def test_an_export_elsewhere_of_a_run_that_cannot_be_written(trained, command, tmp_path, monkeypatch):
    """It is another user's; the test may be root, who can write everything."""
    monkeypatch.setattr("gch.job.os.access", lambda path, mode: False)
    monkeypatch.setattr("gch.session.Session", mock.Mock())
    with lock(trained.run_folder, "busy"):
        status, _, error = command("export", trained.run_folder, f"--out={tmp_path / 'model'}")
        assert (status, error) == (0, "")
        assert command("export", trained.run_folder)[0] == 1


def test_another_program_gets_the_codes_of_the_test_phase(trained, exported, queries, collection, tmp_path):
    pictures, texts, tags = queries
    widest = max(map(len, tags))
    padded = np.array([[*one, *[""] * (widest - len(one))] for one in tags])
    paths = sorted((collection / "pictures").iterdir())
    files = np.array([path.read_bytes() + b"end" for path in paths])  # NumPy drops zeros at the end
    np.savez(tmp_path / "given.npz", pictures=pictures, texts=texts, tags=padded, files=files)
    words = exported[0], tmp_path / "given.npz", tmp_path / "found.npz"
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


def test_a_collection_has_the_codes_of_the_test_phase(trained, indexed):
    for name, kind in (("Qi", "images"), ("Qt", "texts"), ("Qu", "pairs")):
        packed = np.packbits(trained.codes()[name] > 0, axis=1)
        np.testing.assert_array_equal(open_codes(indexed.parent / kind).codes, packed)


def test_a_picture_and_words_are_answered_by_the_command_and_the_server(trained, exported, indexed, command):
    model, codes, picture = exported[0], trained.codes(), indexed.parent / "pictures" / "007.png"
    exact = "--count=20", "--json", "--ranking=hamming"
    found = json.loads(command("search", model, indexed, f"--picture={picture}", *exact)[1])
    away = (codes["Qi"][7] != codes["Qt"]).sum(axis=1)
    assert [one["distance"] for one in found["results"]] == sorted(away)
    assert all(away[int(one["id"][1:])] == one["distance"] for one in found["results"])
    said = "word 3 of label 3, word 9 of label 1"
    of_words = json.loads(command("search", model, indexed, said, "--count=5", "--json")[1])["results"]
    with connected(Searcher(gch.load(model), open_index(indexed))) as client:
        url = "/api/search/picture?count=20&ranking=hamming"
        seen = client.post(url, content=picture.read_bytes()).json()["results"]
        read = client.post("/api/search/text", json={"text": said, "count": 5}).json()["results"]
    assert [one["id"] for one in seen] == [one["id"] for one in found["results"]]
    assert [one["id"] for one in read] == [one["id"] for one in of_words]


def test_a_run_is_opened_and_tested_again(trained):
    run = gch.open_run(trained.run_folder)
    assert str(trained.run_folder) in repr(run)
    assert run.settings["bit"] == 16
    before = run.results["mAP"]["I->T"]
    run.test(ties="optimistic")
    assert run.results["mAP"]["I->T"] > before
    with pytest.raises(gch.GCHError, match="test: bit cannot change; a run keeps"):
        run.test(bit=8)


def test_a_model_and_an_index_in_python_answer_queries(exported):
    model = gch.load(exported[0])
    words = list(model.words)[:4]
    codes = model.encode_texts([words[0], words[1:3], " ".join(words[3:])])
    assert (codes.shape, codes.dtype) == ((3, 2), np.uint8)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), np.uint8)
    found = gch.Index(model.encode_images(pictures), ids=list("abcde")).search(codes, k=2)
    assert found.ids.shape == found.distances.shape == (3, 2)
    assert set(found.ids.ravel()) <= set("abcde")
    unified = model.encode_pairs([*pictures[:2], None], [words[0], None, words[1:3]])
    np.testing.assert_array_equal(unified[1:], [model.encode_images(pictures[1:2])[0], codes[1]])
