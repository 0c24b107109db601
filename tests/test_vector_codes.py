"""Codes of vectors: exported models of data that have them, `encode`, index and search after it."""

import json
from pathlib import Path

import numpy as np
import pytest
from coded import nearest
from exporting import BITS, save_small_model

import gch
from gch.errors import DataError
from gch.search.codes_folder import open_codes

pytestmark = pytest.mark.usefixtures("load_once")

WIDTH, DIMENSIONS, ITEMS = 6, 5, 2500
RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.normal(size=(ITEMS, WIDTH)).astype(np.float32)
TEXTS = RANDOM.normal(size=(ITEMS, DIMENSIONS)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    """The folder of a model, and its networks."""
    folder = tmp_path_factory.mktemp("models") / "vectors"
    return folder, save_small_model(folder, vocabulary=None, features=WIDTH, vectors=("image", "text"))


@pytest.fixture(scope="module")
def model(made) -> Path:
    return made[0]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def loaded(model) -> gch.ExportedModel:
    return gch.load(model)


def test_the_model_takes_vectors_of_both(made, loaded):
    names = "image_features", "text", "image_vector", "text_vector", "pair"
    assert loaded.note.signatures == tuple(f"encode_{name}" for name in names)
    assert (loaded.note.image_width, loaded.note.text_width) == (WIDTH, DIMENSIONS)
    for codes, network, vectors in (
        (loaded.encode_image_vectors(IMAGES), made[1]["image"], IMAGES),
        (loaded.encode_text_vectors(TEXTS.astype(float)), made[1]["text"], TEXTS),
    ):
        relaxed = np.asarray(network(vectors)["code"])
        bits = np.unpackbits(codes, axis=1)
        assert bits.shape == (ITEMS, BITS)
        sure = abs(relaxed) > 1e-4
        np.testing.assert_array_equal(bits[sure], (relaxed >= 0)[sure])


def test_several_vectors_an_item_count_as_in_a_data_set(loaded):
    several = np.stack([TEXTS[:4], 3 * TEXTS[4:8], np.zeros_like(TEXTS[:4])], axis=1).astype(np.float16)
    directions = several[:, :2] / np.linalg.norm(several[:, :2].astype(float), axis=2, keepdims=True)
    wanted = loaded.encode_text_vectors(directions.mean(axis=1))
    np.testing.assert_array_equal(loaded.encode_text_vectors(several), wanted)


def test_models_of_earlier_versions_take_vectors_too(loaded):
    save_small_model(Path("m"), vocabulary=None, features=WIDTH)
    note = Path("m") / "assets.extra" / "model.json"
    value = json.loads(note.read_text())
    for name in ("vectors", "image_width", "text_width"):
        del value[name]
    note.write_text(json.dumps(value))
    model = gch.load("m")
    assert model.note.image_width == 0
    np.testing.assert_array_equal(model.encode_image_vectors(IMAGES), loaded.encode_image_vectors(IMAGES))
    np.testing.assert_array_equal(model.encode_text_vectors(TEXTS), loaded.encode_text_vectors(TEXTS))


WRONG = [
    (IMAGES[:, :-1], rf"vectors are float32 \({ITEMS}, 5\); the model expects numbers \(N, 6\)"),
    (IMAGES[0], r"vectors are float32 \(6,\)"),
    (np.full((2, WIDTH), "a"), "expects numbers"),
    (np.where(np.arange(ITEMS)[:, None] == 7, np.nan, IMAGES), r"holds nan \(item 7, column 0\)"),
    (IMAGES.astype(float) * 1e300, r"holds -?inf \(item 0, column 0\)"),
]


@pytest.mark.parametrize(("vectors", "line"), WRONG)
def test_wrong_vectors_are_named(loaded, vectors, line):
    with pytest.raises(DataError, match=line):
        loaded.encode_image_vectors(vectors)


def test_a_model_of_pictures_takes_no_vectors_of_them():
    save_small_model(Path("m"))
    model = gch.load("m")
    with pytest.raises(DataError, match="no encode_image_vector, because small has no vectors of images"):
        model.encode_image_vectors(IMAGES)
    assert len(model.encode_text_vectors(np.eye(5, dtype=int))) == 5


@pytest.mark.parametrize("kind", ["npy", "float16", "across", "npz", "several"])
def test_encode_streams_vectors_of_a_file(command, model, loaded, kind):
    file = "v.npz" if kind == "npz" else "v.npy"
    stored = {
        "float16": IMAGES.astype(np.float16),
        "across": IMAGES.T,
        "several": IMAGES[:, None] * [[[2], [3]]],
    }
    if kind == "npz":
        np.savez(file, images=IMAGES, texts=TEXTS)
    else:
        np.save(file, stored.get(kind, IMAGES))
    status, output, error = command("encode", model, f"--image_vectors={file}", "--out=c")
    assert (status, error) == (0, "")
    assert f"2,500 codes of {BITS} bits" in output
    codes = open_codes("c")
    taken = stored[kind].astype(np.float32) if kind == "float16" else IMAGES
    if kind == "several":
        taken = IMAGES / np.linalg.norm(IMAGES, axis=1, keepdims=True)
    flips = np.bitwise_count(codes.codes ^ loaded.encode_image_vectors(taken)).sum()
    assert flips <= (3 if kind == "several" else 0)  # a mean of units differs by a rounding
    assert (codes.modality, codes.root, codes.items[2499]) == ("image", "", {"id": "2499"})


def test_names_of_vectors(command, model, tmp_path):
    np.save("v.npy", IMAGES[:3])
    np.save("t.npy", TEXTS[:3])
    Path("paths.txt").write_text("a/1.jpg\n2.jpg\nb.png\n")
    Path("texts.txt").write_text("A dog\n\nzwei Hunde\n", encoding="utf-8")
    for flags in (
        ("--image_vectors=v.npy", "--names=paths.txt", "--out=images"),
        ("--text_vectors=t.npy", "--names=texts.txt", "--out=texts"),
    ):
        assert command("encode", model, *flags)[0] == 0
    images, texts = open_codes("images"), open_codes("texts")
    assert images.root == str(tmp_path)
    assert [images.items[row]["id"] for row in range(3)] == [str(Path("a/1.jpg")), "2.jpg", "b.png"]
    assert texts.items[2] == {"id": "2", "text": "zwei Hunde"}


def test_vectors_of_shards_are_those_of_one_run_which_does_not_go_on_with_others(command, model):
    np.save("v.npy", IMAGES)
    words = "encode", model, "--image_vectors=v.npy"
    for flags in (["--out=whole"], ["--out=parts", "--shard=1/2"], ["--out=parts", "--shard=2/2"]):
        assert command(*words, *flags)[0] == 0
    np.testing.assert_array_equal(open_codes("whole").codes, open_codes("parts").codes)
    np.save("v.npy", IMAGES[::-1])
    status, _, error = command(*words, "--out=whole")
    assert (status, "whole: holds codes of other entries" in error) == (1, True)


def test_search_by_vectors(command, model, loaded):
    np.save("v.npy", IMAGES)
    np.save("t.npy", TEXTS[:2])
    np.save("w.npy", IMAGES[:2])
    np.save("none.npy", TEXTS[:0])
    assert command("encode", model, "--image_vectors=v.npy", "--out=c")[0] == 0
    flags = ["--text_vectors=t.npy", "--json", "--count=3", "--ranking=hamming"]
    status, output, error = command("search", model, "c", *flags)
    assert (status, error) == (0, "")
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer["query"] for answer in answers] == ["0", "1"]
    queries, codes = loaded.encode_text_vectors(TEXTS[:2]), loaded.encode_image_vectors(IMAGES)
    for answer, rows in zip(answers, nearest(codes, queries, 3)[0], strict=True):
        assert [result["id"] for result in answer["results"]] == [str(row) for row in rows]
        assert not any("path" in result for result in answer["results"])  # no names, no pictures
    status, _, error = command("search", model, "c", "--text_vectors=w.npy")
    assert (status, "w has shape (2, 6), expected vectors (items, 5)" in error) == (1, True)
    status, _, error = command("search", model, "c", "--text_vectors=none.npy")
    assert (status, "none.npy: empty; expected a query in each row" in error) == (1, True)
