import keras
import numpy as np
import pytest

from gch.data.generated import generate
from gch.networks.backbone import Backbone
from gch.networks.features import backbone_features


@pytest.fixture
def backbone():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    return Backbone("mean-colour", model, "digest of the model")


def test_features_are_computed_once_and_then_read(backbone, tmp_path):
    pairs = generate(items=100, image_size=8)
    seen = []
    features = backbone_features(backbone, pairs, tmp_path, lambda done, total: seen.append((done, total)))
    np.testing.assert_allclose(features, pairs.pictures.array.mean(axis=(1, 2)), rtol=1e-5)
    assert seen[-1] == (100, 100)
    seen.clear()
    again = backbone_features(backbone, pairs, tmp_path, lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(again, features)
    assert not seen


def test_other_weights_or_data_have_other_features(backbone, tmp_path):
    for seed, digest in ((0, "a"), (0, "b"), (1, "a")):
        pairs = generate(items=60, image_size=8, seed=seed)
        # A backbone may be the path of a file; its features lie in the cache all the same.
        backbone_features(
            Backbone("/some/where/net.keras", backbone.model, digest), pairs, tmp_path, lambda *_: None
        )
    assert len(list(tmp_path.glob("features-*-net-*.npy"))) == 3


@pytest.mark.parametrize("damage", [b"", b"not an array", None])
def test_a_damaged_cache_is_computed_again(backbone, tmp_path, damage):
    pairs = generate(items=60, image_size=8)
    whole = np.array(backbone_features(backbone, pairs, tmp_path, lambda *_: None))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    np.testing.assert_array_equal(backbone_features(backbone, pairs, tmp_path, lambda *_: None), whole)
