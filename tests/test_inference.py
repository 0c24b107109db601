"""Networks that run without training, and features that are computed once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.data.generated import generate
from gch.errors import WeightsError
from gch.networks.backbone import Backbone
from gch.networks.inference import backbone_features, infer, infer_under_dropout
from gch.networks.parts import synchronize_batch_norms


@pytest.fixture
def features(tmp_path):
    """Computes features of generated pictures by their mean colour; returns them and the counts reported."""
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])

    def features(digest="a", seed=0):
        # A backbone may be the path of a file; its features lie in the cache all the same.
        backbone, pairs = Backbone("/some/net.keras", model, digest), generate(60, image_size=8, seed=seed)
        reports = []
        found = backbone_features(backbone, pairs, tmp_path, lambda *counts: reports.append(counts))
        np.testing.assert_allclose(found, pairs.pictures.array.mean(axis=(1, 2)), rtol=1e-5)
        return np.array(found), reports

    return features


def test_batches_of_all_sizes_share_one_trace_so_that_codes_repeat_in_another_process():
    vectors = [keras.Input((3,), name=name) for name in "ab"]
    network = keras.Model(vectors, {"code": keras.layers.Add()(vectors)})
    for size in (5, 8, 5):
        given = np.arange(3.0 * size, dtype=np.float32).reshape(size, 3)
        (found,) = infer(network, [[given, given], [given[:2], given[:2]]], "code")
        np.testing.assert_array_equal(found, 2 * np.concatenate([given, given[:2]]))
    assert network.compiled_False.experimental_get_tracing_count() == 1


def test_features_are_computed_once_for_weights_and_data(features, tmp_path):
    found, reports = features()
    assert reports[-1] == (60, 60)
    again, reports = features()
    np.testing.assert_array_equal(again, found)
    assert not reports
    for digest, seed in (("b", 0), ("a", 1)):
        assert features(digest, seed)[1]
    assert len(list(tmp_path.glob("features-*-net-*.npy"))) == 3


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda mean: keras.ops.log(mean - 300), "NaN or infinity"),
        (
            lambda mean: mean - keras.ops.mean(mean, axis=0),
            "that an item has one alone and another in a batch",
        ),
    ],
)
def test_features_that_are_no_numbers_or_of_a_batch_are_refused_and_not_cached(tmp_path, change, found):
    pixels = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels)
    backbone = Backbone("net.keras", keras.Model(pixels, change(mean)), "a")
    with pytest.raises(WeightsError, match=rf"^net\.keras: its features of generated: found {found}"):
        backbone_features(backbone, generate(40, image_size=8), tmp_path, lambda *_: None)
    assert not list(tmp_path.glob("*.npy"))


def test_a_dropout_function_is_traced_once():
    inputs = keras.Input((3,))
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(inputs.shape)
            return inputs

    network = keras.Model(inputs, {"code": keras.layers.Dropout(0.5)(Counted()(inputs))})
    traces.clear()
    for _ in range(3):
        infer_under_dropout(network, 2 * [[tf.ones((4, 3))]], "code")
    assert len(traces) == 1


def test_batch_norms_within_models_are_synchronized():
    norms = [keras.layers.BatchNormalization() for _ in range(2)]
    inner = keras.Sequential([keras.Input((4,)), norms[0]])
    synchronize_batch_norms(keras.Sequential([keras.Input((4,)), inner, norms[1]]))
    assert [norm.synchronized for norm in norms] == [True, True]
