"""AGAH's networks and method, small: what the original's outputs do not say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import uncompiled, under
from methods import FEATURES, OF_AGAH, PAIRS, build, opened

from gch.evaluation.encoding import encode
from gch.methods.agah import losses
from gch.methods.agah.networks import BatchNormalized, LabelAttention, network


def agah(**changes):
    return build(OF_AGAH, **changes)


def test_the_penalty_of_a_flat_discriminator_has_a_gradient_and_a_slope_of_one_costs_nothing():
    weights = tf.Variable(tf.zeros((3, 1)))
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(lambda x: tf.nn.relu(x @ weights - 1), *3 * (tf.ones((4, 3)),))
    assert float(penalty) == pytest.approx(10)
    assert np.isfinite(tape.gradient(penalty, weights)).all()
    slope = tf.constant([[0.6], [0.8]])
    assert float(losses.gradient_penalty(lambda x: x @ slope, *3 * (tf.ones((4, 2)),))) == pytest.approx(0)


def test_the_text_network_is_as_wide_as_its_setting():
    attention = LabelAttention(24, 0.8)
    shape = {"labels": 24, "bits": 16, "embedding": 512, "start": "glorot", "feature_norm": "item"}
    made = network("text", 10, [819, 409], attention=attention, **shape)
    shapes = [tuple(weight.shape) for weight in made.trainable_weights if weight.path.endswith("kernel")]
    assert sorted(shapes) == sorted([(10, 819), (819, 409), (409, 512), (512, 16), (512, 24)])


@pytest.mark.parametrize("feature_norm", ["item", "batch"])
def test_the_networks_are_saved_with_their_feature_map(tmp_path, feature_norm):
    method = agah(feature_norm=feature_norm)
    method.networks["image"].get_layer("attention").feature_map.assign(tf.ones((PAIRS.labels.shape[1], 32)))
    for name, width in (("image", 12), ("text", PAIRS.texts.shape[1])):
        method.networks[name].save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        inputs = tf.random.stateless_uniform([3, width], (0, 2))
        for key, value in method.networks[name](inputs).items():
            np.testing.assert_array_equal(loaded(inputs)[key], value)
        assert isinstance(loaded.get_layer("feature"), BatchNormalized) == (feature_norm == "batch")


def test_a_code_depends_on_its_item_alone_but_in_reference_mode():
    for norm, batch in (("item", None), ("batch", 20)):
        method = agah(feature_norm=norm)
        assert method.encoding_batch == batch
        codes = encode(method, PAIRS, FEATURES, np.arange(40))
        # Encoded by twenties, the second part finds itself in the same batch.
        later = encode(method, PAIRS, FEATURES, np.arange(20, 40))
        np.testing.assert_allclose(later.codes["text"], codes.codes["text"][20:], atol=1e-6)
        shifted = encode(method, PAIRS, FEATURES, np.arange(10, 40))
        assert np.allclose(shifted.codes["image"], codes.codes["image"][10:], atol=1e-6) == (norm == "item")


def test_training_lowers_the_triplet_loss_and_sets_the_maps():
    method = agah(k_agah=20)
    start = method.memories["code_map"].numpy()
    run = opened(method, "pairs")
    first = run(3)
    feature_map = method.networks["text"].get_layer("attention").feature_map
    np.testing.assert_allclose(np.linalg.norm(feature_map, axis=1), 1, rtol=1e-5)  # after one pass
    assert not np.array_equal(method.memories["code_map"], start)
    run(54)
    last = run(3)
    for part in ("triplet I->T", "triplet T->I"):
        assert last[part] < 0.8 * first[part], part
    assert first["label"] == 0  # beta is 0


def test_compiled_by_xla_a_stage_does_the_same():
    with uncompiled():
        expected = opened(agah(data_enhance=True), "pairs")(3)
    compiled = opened(agah(data_enhance=True), "pairs", jit_compile=True)(3)
    assert compiled == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_an_item_without_features_has_finite_gradients_in_half_precision():
    """They are 0 after the ReLU, and the gradient of a norm of 0 overflows float16."""
    with under("mixed_float16"):
        text = agah().encoders["text"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(text(tf.zeros((2, PAIRS.texts.shape[1])))["code"])
    kernel = text.get_layer("hidden_1").kernel.value
    assert not np.any(tape.gradient(loss, kernel))


@uncompiled()
def test_a_weight_of_zero_leaves_its_part_out():
    weights = ("alpha", "beta", "gamma", "eta", "mu")
    found = opened(agah(**dict.fromkeys(weights, 0.0)), "pairs")(1)
    for part in ("balance", "label", "code map", "quantization", "adversarial"):
        assert found[part] == 0
    assert found["triplet I->T"] > 0
    # Of two networks that know nothing yet: log 2 for each of the 20 items' labels.
    untrained = 2 * 20 * PAIRS.labels.shape[1] * np.log(2)
    assert opened(agah(beta=1.0), "pairs")(1)["label"] == pytest.approx(untrained, rel=0.1)


def test_the_discriminators_learn_to_tell_the_modalities_apart():
    method = agah(k_agah=40, mu=0.0)
    run = opened(method, "pairs")
    method.stages[0].updates[-1].optimizer.learning_rate = 1e-6  # the features rest
    run(110)
    last = run(10)
    # mean D(fake) - mean D(real) of one that cannot tell is 0.
    assert last["discriminator image"] < -0.05
    assert last["discriminator text"] < -0.05
