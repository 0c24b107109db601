"""The real entry point on data of the user's own."""

import csv
import json

import numpy as np
import pytest
import scipy.io
from entry import DCMH, SIZES, Command, uncompiled
from PIL import Image

from gch.data.generated import generate

SOURCE = generate(items=240, labels=6, words=30, image_size=48, seed=3)
OWN_SIZES = dict.fromkeys(SIZES)
TINY = DCMH | OWN_SIZES | {"k_dcmh": 30, "batch_size": 40, "Epoch": 1}


def described(row: int) -> tuple[str, str]:
    words = " ".join(SOURCE.tag_names[n].replace(" ", "") for n in np.flatnonzero(SOURCE.texts[row]))
    return words, ";".join(SOURCE.label_names[c] for c in np.flatnonzero(SOURCE.labels[row]))


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A folder of pictures of several sizes and modes, one of them broken, and its CSV."""
    folder = tmp_path_factory.mktemp("collection")
    with open(folder / "pictures.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text", "labels"])
        for row, pixels in enumerate(SOURCE.pictures.array):
            name = f"{row}.{('png', 'jpg', 'gif')[row % 3]}"
            Image.fromarray(pixels).resize((70 + row % 9, 60)).save(folder / name)
            writer.writerow([name, *described(row)])
        (folder / "broken.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
        writer.writerow(["broken.jpg", "wordless", "label 1"])
    return folder


@pytest.fixture
def command(repository, tmp_path, data, collection):
    return Command(repository, tmp_path, data, **TINY, dataset_dir="collection", DATA_DIR=collection)


def test_a_folder_of_pictures_trains_and_tests(command, collection):
    output, _ = command.run()
    assert "broken.jpg" in output
    assert "collection: 240 pairs" in output
    assert "97% of what is retrieved is trained on" in output
    found = command.results
    assert found["label_names"] == sorted(SOURCE.label_names)
    assert found["mAP"]["I->T"] > 0.5
    assert found["queries"] == 24
    for name in ("split", "items"):
        assert f"{name} digest {found['digests'][name][:16]}" in output
    vocabulary = json.loads((command.run_folder / "vocabulary.json").read_text())
    words = vocabulary["words"]
    split = np.load(command.run_folder / "split.npz")
    seen = {word for row in split["training"] for word in described(row)[0].split()}
    assert set(words) <= seen
    codes = command.codes()
    again, _ = command.run("test")
    assert "Preparing" not in again
    np.testing.assert_array_equal(command.codes()["Qt"], codes["Qt"])
    (command.run_folder / "vocabulary.json").write_text(json.dumps(vocabulary | {"words": words[::-1]}))
    assert "not started with this vocabulary" in command.run("test", expect=1)[1]
    np.savez(command.run_folder / "split.npz", **{**split, "retrieval": split["retrieval"][:-1]})
    assert "not started with this split" in command.run("test", expect=1)[1]


def test_the_split_of_another_run_is_taken_over_and_kept(command, tmp_path):
    random = np.random.default_rng(1).permutation(240) + 1.0
    chosen = {"indQuery": random[:20], "indDatabase": random[20:], "indTrain": random[20:120]}
    scipy.io.savemat(tmp_path / "chosen.mat", chosen)
    with uncompiled():
        command.run(split=tmp_path / "chosen.mat", VERIFICATION_SIZE=10, k_dcmh=1)
    split = np.load(command.run_folder / "split.npz")
    np.testing.assert_array_equal(split["query"], np.sort(random[:20]) - 1)
    np.testing.assert_array_equal(
        np.union1d(split["training"], split["validation"]), np.sort(random[20:120]) - 1
    )
    exported = scipy.io.loadmat(command.run_folder / "split.mat")
    np.testing.assert_array_equal(exported["query"].ravel(), split["query"] + 1)
    scipy.io.savemat(tmp_path / "chosen.mat", chosen | {"indTrain": random[20:130]})
    _, error = command.run(split=tmp_path / "chosen.mat", VERIFICATION_SIZE=10, k_dcmh=1, expect=1)
    assert "chosen.mat: not the split in " in error
    (tmp_path / "chosen.mat").unlink()
    assert "training" in command.run("test", split=tmp_path / "chosen.mat", VERIFICATION_SIZE=10, k_dcmh=1)[0]


def test_features_in_place_of_pixels_train_without_a_backbone(repository, tmp_path, data):
    squeezed = SOURCE.pictures.array.reshape(240, 12, 4, 12, 4, 3).mean(axis=(2, 4)).reshape(240, -1) / 255
    arrays = {"images": squeezed, "YAll": SOURCE.texts, "LAll": SOURCE.labels}
    scipy.io.savemat(tmp_path / "FLICKR-25K.mat", arrays, do_compression=True)
    given = {"dataset_dir": "FLICKR", "netStr": "vggf", "DATA_DIR": tmp_path}
    command = Command(repository, tmp_path, data, **TINY | given)
    # Without validation the last outer epoch is the best.
    output, _ = command.run(Epoch=2, VERIFICATION_SIZE=0)
    assert "features of 432 dimensions" in output
    assert "Query set, weights of outer epoch 2" in output
    assert command.results["mAP"]["I->T"] > 0.5
    assert command.results["digests"]["backbone"] is None
    _, error = command.run(backbone="trained", expect=1)
    assert "has features in place of pixels; expected 'frozen'" in error
