import numpy as np
import pytest
from preparing import flickr
from sources import opened, refusal

from gch.data.generated import generate
from gch.data.names import known_datasets


def colours(images):
    """Share of the pixels in each of 4 x 4 x 4 colours, (N, 64)."""
    bins = images.astype(np.int64) // 64 @ np.array([16, 4, 1])
    return np.stack([(bins == b).mean(axis=(1, 2)) for b in range(64)], axis=1)


def first_guess_is_right(features, labels, training):
    """How often the label with the nearest direction from the mean is one of the item's labels."""
    features = features - features[training].mean(axis=0)
    known = labels[training].astype(float)
    centroids = known.T @ features[training] / known.sum(axis=0)[:, None]
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    guesses = (features @ centroids.T).argmax(axis=1)
    return labels[np.arange(len(labels)), guesses][~training].mean()


def test_pictures_and_words_both_tell_the_labels():
    pairs = generate(image_size=32)
    training = np.arange(600) < 300
    chance = pairs.labels.mean()
    assert chance < 0.25
    assert first_guess_is_right(pairs.texts.astype(float), pairs.labels, training) > 0.8
    assert first_guess_is_right(colours(pairs.pictures.read(np.arange(600))), pairs.labels, training) > 0.8


def test_keeps_the_interface():
    pairs = generate(items=50, labels=5, words=12, image_size=20)
    assert pairs.texts.shape == (50, len(pairs.tag_names)) == (50, 12)
    assert pairs.labels.shape == (50, len(pairs.label_names)) == (50, 5)
    assert pairs.pictures.read(np.array([4, 2])).shape == (2, 20, 20, 3)
    assert set(pairs.labels.sum(axis=1)) == {1, 2, 3}
    assert pairs.texts.any(axis=1).all()
    assert pairs.default_sizes == (8, 42, 38, 4)


def test_same_arguments_give_the_same_pairs_by_name_as_well(tmp_path):
    assert "generated" in known_datasets()
    pairs = opened(tmp_path, "Generated", image_size=16, seed=3)
    assert pairs.digest == generate(image_size=16, seed=3).digest
    assert pairs.digest != generate(image_size=16, seed=4).digest


@pytest.mark.parametrize("name", ["FLICKR", "FLICKR-25K", "mirflickr25k"])
def test_catalog_checks_the_size_of_the_images(tmp_path, name):
    folder = flickr(tmp_path / "data")
    assert opened(folder, name, image_size=32).name == "flickr25k"
    with refusal("are 32 x 32, expected 224 x 224, as image_size says"):
        opened(folder, name)
