import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.methods.gch.networks import image_head, label_network, text_network
from gch.methods.gch.paper import GraphConvolution, graph_network
from gch.networks.inference import infer, slices
from gch.networks.parts import image_network

SHAPE = {"labels": 5, "bits": 16, "embedding": 32, "start": "glorot"}


def networks() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    return {
        "label": label_network(**SHAPE),
        "text": text_network(20, dropout=0.5, **SHAPE),
        "image": image_head(12, dropout=0.3, **SHAPE),
    }


def inputs(network: keras.Model, count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, network.input_shape[1])).astype(np.float32)


@pytest.mark.parametrize("name", ["label", "text", "image"])
def test_outputs_have_the_promised_shapes_and_ranges(name):
    network = networks()[name]
    output = network(inputs(network, 7))
    assert output["code"].shape == (7, 16)
    assert output["feature"].shape == (7, 32)
    assert output["label"].shape == (7, 5)
    assert np.abs(output["code"]).max() < 1


@pytest.mark.parametrize("name", ["label", "text", "image"])
def test_a_code_does_not_depend_on_the_batch_it_came_in(name):
    network = networks()[name]
    items = inputs(network, 64)
    for start in range(0, 64, 16):  # the moving statistics move
        network(items[start : start + 16] + 1, training=True)
    whole = infer(network, [items], "code")[0]
    alone = infer(network, slices(items, 1), "code")[0]
    order = np.random.default_rng(1).permutation(64)
    shuffled = infer(network, slices(items[order], 10), "code")[0]
    np.testing.assert_allclose(alone, whole, atol=1e-5)
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)
    # In training it does: the test would see it.
    trained = np.asarray(network(items, training=True)["code"])
    assert np.abs(trained - whole).max() > 0.01


@pytest.mark.parametrize("name", ["label", "text", "image", "graph"])
def test_a_saved_network_gives_the_same_codes(name, tmp_path):
    if name == "graph":
        network = graph_network(32, 5, 16, "glorot", normalized=True)
        given = [inputs(label_network(**SHAPE | {"labels": 32}), 6), np.eye(6, dtype=np.float32)]
    else:
        network = networks()[name]
        given = inputs(network, 6)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again(given)["code"], network(given)["code"])


def test_graph_convolution_by_hand():
    layer = GraphConvolution(1)
    layer.build([(None, 2), (None, None)])
    layer.set_weights([np.array([[1.0], [2.0]])])
    features, affinity = tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([[0.5, 0.5], [0.0, 1.0]])
    assert layer([features, affinity]).numpy().tolist() == [[1.5], [2.0]]


def test_the_graph_code_of_an_item_follows_its_neighbours():
    network = graph_network(32, 5, 16, "glorot", normalized=False)
    fused = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    alone = network([fused, np.eye(3, dtype=np.float32)])["code"]
    tied = network([fused, np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], np.float32)])["code"]
    np.testing.assert_allclose(tied[0], tied[1], atol=1e-6)
    np.testing.assert_allclose(tied[2], alone[2], atol=1e-6)
    assert np.abs(tied[0] - alone[0]).max() > 1e-3


def test_the_original_start_is_normal_and_ours_is_not():
    for start, deviation in (("normal", 1.0), ("glorot", (2 / (20 + 512)) ** 0.5)):
        network = text_network(20, labels=5, bits=16, embedding=512, start=start, dropout=0.0)
        assert network.get_layer("hidden_1_dense").get_weights()[0].std() == pytest.approx(
            deviation, rel=0.05
        )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_codes_and_logits_are_float32_under_mixed_precision(precision):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        for network in networks().values():
            output = network(inputs(network, 3))
            assert {key: value.dtype.name for key, value in output.items()} == dict.fromkeys(
                output, "float32"
            )
        graph = graph_network(32, 5, 16, "glorot", normalized=True)
        output = graph([np.ones((3, 32), np.float32), np.eye(3, dtype=np.float32)])
        assert output["code"].dtype.name == output["label"].dtype.name == "float32"
        assert networks()["text"].get_layer("hidden_1_dense").compute_dtype in precision
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_the_image_network_is_backbone_and_head():
    backbone = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(12)])
    head = networks()["image"]
    network = image_network(backbone, head)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(images)["code"], head(backbone(images))["code"])
    assert len(network.trainable_variables) == len(backbone.trainable_variables) + len(
        head.trainable_variables
    )
