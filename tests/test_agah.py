"""AGAH's networks and method, small: what the original's outputs do not say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sources import labels_through_noise

from gch.data.generated import generate
from gch.evaluation.encoding import encode
from gch.methods import build_method
from gch.methods.agah import losses
from gch.methods.agah.method import updated_code_map
from gch.methods.agah.networks import BatchNormalized, LabelAttention, attend, text_network
from gch.methods.items import training_items
from gch.settings import load_settings
from gch.training.checkpoint import Checkpoints, Position
from gch.training.loop import StageLoop, set_rates

PAIRS = generate(items=80, image_size=8)
TRAINED = np.arange(60)
SETTINGS = {
    "method": "agah",
    "bit": 16,
    "batch_size": 20,
    "SEMANTIC_EMBED": 32,
    "k_agah": 2,
    "lr": 3e-4,
    "txt_widths": "48,40",
}
SEED = (0, 0, "pairs")


@pytest.fixture(scope="module")
def features():
    return labels_through_noise(PAIRS, 12)


@pytest.fixture
def build(repository, features):
    def build(**changes):
        keras.utils.set_random_seed(0)
        settings = load_settings(repository / "setting.py", SETTINGS | changes)
        items = training_items(PAIRS, TRAINED, features)
        return build_method(settings, items, None), items, settings

    return build


def test_attention_by_hand():
    # Masks sigmoid(5) and sigmoid(0) of the two labels.
    mask = np.array([1 / (1 + np.exp(-5)), 0.5])
    found = attend(tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 0.0], [0.0, 1.0]]), 0.8)
    np.testing.assert_allclose(found[0], 0.8 * np.array([1, 0]) + 0.2 * mask / mask.sum(), rtol=1e-6)


def test_losses_by_hand():
    codes = tf.constant([[1.0, -1.0], [0.5, 0.0]])
    cosine = 0.5 / (0.5 * 2**0.5)
    expected = 1 / (1 + np.e) + 1 / (1 + np.exp(cosine))
    assert float(losses.balance(codes)) == pytest.approx(expected)
    assert float(losses.quantization(codes)) == pytest.approx(0.25 + 1)  # sign(0) is +1
    labels, code_map = tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([[1.0, -1.0], [1.0, 1.0]])
    # Inner products 2, 0 and .5, .5; wanted 2, -2 and -2, 2.
    assert float(losses.code_map_loss(codes, code_map, labels)) == pytest.approx(4 + 6.25 + 2.25)


def test_a_flat_discriminator_is_penalised_without_a_gradient_that_is_none():
    weights = tf.Variable(tf.zeros((3, 1)))
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(lambda x: tf.nn.relu(x @ weights - 1), *3 * (tf.ones((4, 3)),))
    assert float(penalty) == pytest.approx(10)
    assert np.isfinite(tape.gradient(penalty, weights)).all()


def test_a_gradient_of_length_one_costs_nothing():
    slope = tf.constant([[0.6], [0.8]])
    assert float(losses.gradient_penalty(lambda x: x @ slope, *3 * (tf.ones((4, 2)),))) == pytest.approx(0)


def test_a_code_map_of_one_bit_by_hand():
    """Without another bit the update is the sign of 2 K (L^T (U + V) + (2 I - 1) Q)."""
    found = updated_code_map(tf.constant([[1.0], [1.0]]), tf.constant([[3.0], [-4.0]]), tf.constant([[5.0]]))
    # (2 I - 1) Q = [0, 0]: the other label's code pulls as hard the other way.
    np.testing.assert_array_equal(found, [[1], [-1]])


def test_codes_of_labels_follow_the_codes_of_their_items():
    """Items that have one label each, and its code: the map must find these codes."""
    random = np.random.default_rng(0)
    wanted = np.sign(random.normal(size=(6, 16)))
    labels = np.eye(6)[random.integers(0, 6, 300)]
    codes = labels @ wanted
    code_map = tf.constant(np.sign(random.normal(size=(6, 16))), tf.float32)
    sums = [tf.constant(part, tf.float32) for part in (labels.T @ (2 * codes), 2 * codes.T @ codes)]
    for _ in range(3):
        code_map = updated_code_map(code_map, *sums)
    found = np.abs(code_map.numpy() @ wanted.T) / 16
    assert (np.argmax(code_map.numpy() @ wanted.T, axis=1) == np.arange(6)).all()
    assert np.diag(found).mean() > 0.8


def test_the_text_network_is_as_wide_as_the_originals(repository):
    settings = load_settings(repository / "setting.py", {"method": "agah"})
    assert settings.txt_widths == "8192,4096"
    attention = LabelAttention(24, 0.8)
    network = text_network(10, [8192, 4096], 24, 16, settings.SEMANTIC_EMBED, "glorot", "item", attention)
    shapes = [tuple(weight.shape) for weight in network.trainable_weights if weight.path.endswith("kernel")]
    assert sorted(shapes) == sorted([(10, 8192), (8192, 4096), (4096, 512), (512, 16), (512, 24)])


@pytest.mark.parametrize("layer", [LabelAttention(3, 0.7), BatchNormalized()])
def test_layers_survive_their_config(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    inputs = tf.random.stateless_normal([4, 5], (0, 1))
    np.testing.assert_array_equal(copy(inputs), layer(inputs))


def test_the_networks_are_saved_with_their_feature_map(build, tmp_path):
    method, _, _ = build()
    method.networks["image"].get_layer("attention").feature_map.assign(tf.ones((PAIRS.labels.shape[1], 32)))
    for name, width in (("image", 12), ("text", PAIRS.texts.shape[1])):
        method.networks[name].save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        inputs = tf.random.stateless_uniform([3, width], (0, 2))
        for key, value in method.networks[name](inputs).items():
            np.testing.assert_array_equal(loaded(inputs)[key], value)


def test_a_code_depends_on_its_item_alone_but_in_reference_mode(build, features):
    for norm, batch in (("item", None), ("batch", 20)):
        method, _, _ = build(feature_norm=norm)
        assert method.encoding_batch == batch
        codes = encode(method, PAIRS, features, np.arange(40))
        # Encoded by twenties, the second part finds itself in the same batch.
        np.testing.assert_allclose(
            encode(method, PAIRS, features, np.arange(20, 40)).text, codes.text[20:], atol=1e-6
        )
        shifted = encode(method, PAIRS, features, np.arange(10, 40))
        same = np.allclose(shifted.image, codes.image[10:], atol=1e-6)
        assert same == (norm == "item")


def test_training_lowers_the_triplet_loss_and_sets_the_maps(build):
    method, items, settings = build(k_agah=20)
    (stage,) = method.stages
    start = method.memories["code_map"].numpy()
    run = StageLoop(stage, items, settings.batch_size).open(SEED, 0)
    set_rates(stage, settings, 0)
    first = run(3)
    feature_map = method.networks["text"].get_layer("attention").feature_map
    np.testing.assert_allclose(np.linalg.norm(feature_map, axis=1), 1, rtol=1e-5)  # after one pass
    assert not np.array_equal(method.memories["code_map"], start)
    run(54)
    last = run(3)
    for part in ("triplet I->T", "triplet T->I"):
        assert last[part] < 0.8 * first[part], part
    assert first["label"] == 0  # beta is 0


@pytest.mark.parametrize("changes", [{}, {"data_enhance": True}])
def test_compiled_by_xla_a_stage_does_the_same(build, changes):
    found = []
    for jit_compile in (False, True):
        method, items, _ = build(**changes)
        run = StageLoop(method.stages[0], items, 20, jit_compile).open(SEED, 0)
        found.append(run(3))
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-3)


def test_a_weight_of_zero_leaves_its_part_out(build):
    weights = ("alpha", "beta", "gamma", "eta", "mu")
    method, items, _ = build(**dict.fromkeys(weights, 0.0))
    (stage,) = method.stages
    losses_of = StageLoop(stage, items, 20).open(SEED, 0)(1)
    for part in ("balance", "label", "code map", "quantization", "adversarial"):
        assert losses_of[part] == 0
    assert losses_of["triplet I->T"] > 0
    method, items, _ = build(beta=1.0)
    (stage,) = method.stages
    losses_of = StageLoop(stage, items, 20).open(SEED, 0)(1)
    # Of two networks that know nothing yet: log 2 for each of the 20 items' labels.
    untrained = 2 * 20 * items.labels.shape[1] * np.log(2)
    assert losses_of["label"] == pytest.approx(untrained, rel=0.1)


def test_the_discriminators_learn_to_tell_the_modalities_apart(build):
    method, items, settings = build(k_agah=40, mu=0.0)
    (stage,) = method.stages
    run = StageLoop(stage, items, settings.batch_size).open(SEED, 0)
    set_rates(stage, settings, 0)
    stage.updates[-1].optimizer.learning_rate = 1e-6  # the features rest
    run(110)
    last = run(10)
    # mean D(fake) - mean D(real) of one that cannot tell is 0.
    assert last["discriminator image"] < -0.05
    assert last["discriminator text"] < -0.05


@pytest.mark.parametrize("changes", [{}, {"data_enhance": True}])
def test_a_stage_that_resumes_within_a_pass_ends_the_same(build, tmp_path, changes):
    whole, items, settings = build(**changes)
    run = StageLoop(whole.stages[0], items, settings.batch_size).open(SEED, 0)
    run(6)

    first, items, settings = build(**changes)
    StageLoop(first.stages[0], items, settings.batch_size).open(SEED, 0)(2)  # of three steps a pass
    Checkpoints(tmp_path, first, Position()).save("latest")
    second, items, settings = build(**changes)
    assert Checkpoints(tmp_path, second, Position()).restore("latest")
    StageLoop(second.stages[0], items, settings.batch_size).open(SEED, 2)(4)
    for name, network in whole.networks.items():
        for one, two in zip(network.weights, second.networks[name].weights, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=f"{name} {one.path}")
    for name, memory in whole.memories.items():
        np.testing.assert_array_equal(memory, second.memories[name], err_msg=name)
