"""Backbones that are SavedModels of the user's."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sources import settings_of

from gch.errors import SettingError, WeightsError
from gch.networks.backbone import load_backbone

SIZE = 12


class Eyes(tf.Module):
    """The mean colour of pictures of uint8, times a variable."""

    def __init__(self, taken: int = 1, given: tf.DType = tf.float32):
        super().__init__()
        self.given = given
        self.scale = tf.Variable(2.0)
        pixels = tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8)
        self.serve = tf.function(self._serve, input_signature=[pixels] * taken)

    def _serve(self, pixels, *others):
        features = self.scale * tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[1, 2])
        return {"features": tf.cast(features, self.given)}


def saved(path: Path, **changes) -> Path:
    module = Eyes(**changes)
    tf.saved_model.save(module, str(path), {"serving_default": module.serve})
    return path


def settings(path: Path, **changes):
    return settings_of(path, "generated", netStr=str(path), image_size=SIZE, **changes)


@pytest.mark.parametrize(("given", "atol"), [(tf.float32, 1e-3), (tf.int32, 1)])
def test_a_saved_model_is_a_backbone(tmp_path, given, atol):
    backbone = load_backbone(settings(saved(tmp_path / "eyes", given=given)))
    pictures = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    assert backbone.feature_size == 3
    found = backbone.model(pictures)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, 2 * pictures.mean(axis=(1, 2)), atol=atol)
    again = load_backbone(settings(tmp_path / "eyes")).digest
    assert again == backbone.digest
    assert load_backbone(settings(saved(tmp_path / "other"))).digest != again


def test_what_no_backbone_is(tmp_path):
    path = saved(tmp_path / "eyes")
    for changes in ({"backbone": "trained"}, {"backbone_start": "random"}):
        with pytest.raises(SettingError, match=r"eyes"):
            settings(path, **changes)
    two = saved(tmp_path / "two", taken=2)
    with pytest.raises(WeightsError, match="two: signature serving_default: found 2 inputs and 1 outputs"):
        load_backbone(settings(two))
    eyes = Eyes()
    for names, found in (((), "none"), (("a", "b"), "a, b")):
        tf.saved_model.save(eyes, str(two), dict.fromkeys(names, eyes.serve))
        with pytest.raises(WeightsError, match=f"two: signatures: found {found}; expected serving_d"):
            load_backbone(settings(two))
    (path / "saved_model.pb").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"eyes: found .*; expected a model of images \(None, 12, 12, 3\)"):
        load_backbone(settings(path))
