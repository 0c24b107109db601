import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import under

from gch.methods.gch.networks import image_head, label_network, text_network
from gch.methods.gch.paper import graph_convolution, graph_network
from gch.networks.inference import infer, slices

SHAPE = {"labels": 5, "bits": 16, "embedding": 32, "start": "glorot"}


def build(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    return {
        "label": lambda: label_network(**SHAPE),
        "text": lambda: text_network(20, dropout=0.5, **SHAPE),
        "image": lambda: image_head(12, dropout=0.3, **SHAPE),
        "graph": lambda: graph_network(32, 5, 16, "glorot", normalized=True),
    }[name]()


def inputs(name: str, network: keras.Model, count: int):
    random = np.random.default_rng(0)
    if name == "graph":
        return [random.normal(size=(count, 32)).astype(np.float32), np.eye(count, dtype=np.float32)]
    return random.normal(size=(count, network.input_shape[1])).astype(np.float32)


@pytest.mark.parametrize("name", ["label", "text", "image"])
def test_a_code_does_not_depend_on_the_batch_it_came_in(name):
    network = build(name)
    items = inputs(name, network, 64)
    for start in range(0, 64, 16):  # the moving statistics move
        network(items[start : start + 16] + 1, training=True)
    whole, features, labels = infer(network, [items], "code", "feature", "label")
    assert (whole.shape, features.shape, labels.shape) == ((64, 16), (64, 32), (64, 5))
    assert np.abs(whole).max() < 1
    alone = infer(network, slices(items, 1), "code")[0]
    order = np.random.default_rng(1).permutation(64)
    shuffled = infer(network, slices(items[order], 10), "code")[0]
    np.testing.assert_allclose(alone, whole, atol=1e-5)
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)
    # In training it does: the test would see it.
    trained = np.asarray(network(items, training=True)["code"])
    assert np.abs(trained - whole).max() > 0.01


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["label", "text", "image", "graph"])
def test_outputs_are_float32_and_a_saved_network_gives_the_same(name, precision, tmp_path):
    with under(precision):
        network = build(name)
        given = inputs(name, network, 6)
        output = network(given)
        assert {value.dtype.name for value in output.values()} == {"float32"}
        if name == "text":
            assert network.get_layer("hidden_1_dense").compute_dtype in precision
        network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again(given)["code"], output["code"])


def test_graph_convolution_by_hand():
    start = keras.initializers.Constant([[1.0], [2.0]])
    features, affinity = tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([[0.5, 0.5], [0.0, 1.0]])
    assert graph_convolution(features, affinity, 1, start, "convolution").numpy().tolist() == [[1.5], [2.0]]


def test_the_original_start_is_normal_and_ours_is_not():
    for start, deviation in (("normal", 1.0), ("glorot", (2 / (20 + 512)) ** 0.5)):
        network = text_network(20, labels=5, bits=16, embedding=512, start=start, dropout=0.0)
        kernel = network.get_layer("hidden_1_dense").get_weights()[0]
        assert kernel.std() == pytest.approx(deviation, rel=0.05)
