"""The parts of AGAH against outputs of its original; the trunk's are in test_vggf.py, the measures' in
test_measures.py.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.methods.agah import losses
from gch.methods.agah.losses import all_triplets, cosine_distances
from gch.methods.agah.method import Outputs, PassMaps, updated_feature_map
from gch.methods.agah.networks import LabelAttention, discriminator, network

TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}
LABELS, BITS, EMBEDDING = 24, 16, 32


def matrix(weights: np.ndarray) -> np.ndarray:
    """A 1 x 1 convolution of PyTorch as a kernel (in, out)."""
    return weights.reshape(len(weights), -1).T


def test_triplets(golden):
    data = golden("agah_triplet_b16_k16")
    similar = data["labels"] @ data["labels"].T
    source, target = tf.constant(data["source"]), tf.constant(data["target"])
    for margin in (0.0, 0.3, 0.5):
        with tf.GradientTape() as tape:
            tape.watch([source, target])
            total, opened = all_triplets(cosine_distances(source, target), similar, margin)
        np.testing.assert_allclose(total, data[f"cos_sum_m{margin}"], **TOLERANCE)
        if margin == 0.3:
            gradients = tape.gradient(total, [source, target])
            np.testing.assert_allclose(gradients[0], data["grad_source"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(gradients[1], data["grad_target"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(total / opened, data["cos_mean_m0.3"], **TOLERANCE)


def test_losses_and_their_gradients(golden):
    data = golden("agah_losses_k16")
    codes, others = tf.constant(data["h_x"]), tf.constant(data["h_y"])
    labels, code_map = data["labels"], data["CODE_MAP"]
    similar = labels @ labels.T
    distances = cosine_distances(codes, others)

    def both(loss):
        with tf.GradientTape() as tape:
            tape.watch(codes)
            total = loss(codes) + loss(others)
        return float(total), tape.gradient(total, codes)

    balance, of_balance = both(losses.balance)
    quantization, of_quantization = both(losses.quantization)
    mapped, of_mapped = both(lambda code: losses.code_map_loss(code, code_map, labels))
    first, _ = all_triplets(distances, similar, 0.3)
    second, _ = all_triplets(tf.transpose(distances), similar, 0.3)
    for found, name in (
        (balance, "loss3_balance"),
        (quantization, "loss_quant"),
        (mapped, "loss_code_map"),
        (first, "tri1"),
        (second, "tri2"),
        (first + second + balance + 1e-3 * mapped + quantization, "err_without_adv"),
    ):
        np.testing.assert_allclose(found, data[name], rtol=1e-4, err_msg=name)
    for found, name in ((of_balance, "loss3"), (of_quantization, "quant"), (of_mapped, "codemap")):
        np.testing.assert_allclose(found, data[f"grad_hx_{name}"], rtol=1e-4, atol=1e-4, err_msg=name)

    def logits(name):  # the file holds what follows the sigmoid
        return np.log(data[name].astype(np.float64) / (1 - data[name])).astype(np.float32)

    found = losses.label_loss(logits("x_class"), labels) + losses.label_loss(logits("y_class"), labels)
    np.testing.assert_allclose(found, data["loss_class"], rtol=1e-4)


def head(data, modality: str, feature_map: np.ndarray) -> keras.Model:
    """Attention, code and labels of one network of the golden file, behind an identity."""
    attention = LabelAttention(LABELS, float(data["lambd"]), name="attention")
    shape = {"labels": LABELS, "bits": BITS, "embedding": EMBEDDING, "start": "glorot"}
    made = network("image_head", EMBEDDING, (), feature_norm="batch", attention=attention, **shape)
    made.get_layer("feature_dense").set_weights([np.eye(EMBEDDING), np.zeros(EMBEDDING)])
    for layer, name in (("code", "hash_module"), ("label", "classifier")):
        weights = [data[f"param_{name}.{modality}.0.{part}"] for part in ("weight", "bias")]
        made.get_layer(layer).set_weights([matrix(weights[0]), weights[1]])
    attention.feature_map.assign(feature_map)
    return made


@pytest.mark.parametrize(("modality", "letter"), [("img", "x"), ("txt", "y")])
def test_attention_codes_and_labels(golden, modality, letter):
    data = golden("agah_attention")
    output = head(data, modality, data["feature_map"])(data[f"f_{letter}_in"])
    np.testing.assert_allclose(output["feature"], data[f"f_{letter}"], **TOLERANCE)
    np.testing.assert_allclose(output["code"], data[f"h_{letter}"], **TOLERANCE)
    np.testing.assert_allclose(tf.sigmoid(output["label"]), data[f"{letter}_class"], **TOLERANCE)


def test_codes_depend_on_their_batch_as_the_originals_do(golden):
    data = golden("agah_attention")
    images = head(data, "img", data["feature_map"])
    np.testing.assert_allclose(images(data["f_x_in"])["code"], data["gen_img_code"], **TOLERANCE)
    alone = images(data["f_x_in"][:4])["code"]
    np.testing.assert_allclose(alone, data["gen_img_code_first4_only"], **TOLERANCE)
    assert np.abs(alone - data["gen_img_code"][:4]).max() > 0.01


def test_discriminators_and_their_penalty(golden):
    data = golden("agah_attention")
    found = {}
    for modality in ("img", "txt"):
        found[modality] = discriminator(EMBEDDING, "glorot", modality)
        for layer, number in (("hidden_1", 0), ("hidden_2", 2), ("score", 4)):
            weights, bias = (
                data[f"param_{modality}_discriminator.{number}.{part}"] for part in ("weight", "bias")
            )
            found[modality].get_layer(layer).set_weights([matrix(weights), bias])
    image, text = tf.constant(data["f_x_in"]), tf.constant(data["f_y_in"])
    np.testing.assert_allclose(found["txt"](text)[:, 0], data["dis_txt_real"], **TOLERANCE)
    np.testing.assert_allclose(found["txt"](image)[:, 0], data["dis_txt_fake"], **TOLERANCE)
    np.testing.assert_allclose(found["img"](image)[:, 0], data["dis_img_real"], **TOLERANCE)
    penalty = losses.gradient_penalty(found["txt"], text, image, data["gp_alpha"])
    np.testing.assert_allclose(penalty, data["gp_txt"], rtol=1e-4)
    critic = losses.critic_loss(found["txt"], text, image)
    expected = data["dis_txt_fake"].mean() - data["dis_txt_real"].mean()
    np.testing.assert_allclose(critic, expected, rtol=1e-3, atol=1e-6)


def test_feature_map_and_a_label_that_no_item_has(golden):
    data = golden("agah_maps_k16")
    features = data["FEAT_I"] + data["FEAT_T"]
    start = np.full_like(data["feature_map"], 7.0)
    found = updated_feature_map(start, data["L"].T @ features)
    np.testing.assert_allclose(found, data["feature_map"], **TOLERANCE)
    empty = updated_feature_map(start, data["L_class5_empty"].T @ features).numpy()
    assert np.isnan(data["feature_map_class5_empty"][5]).all()
    np.testing.assert_array_equal(empty[5], 7.0)  # as it was
    others = np.arange(LABELS) != 5
    np.testing.assert_allclose(empty[others], data["feature_map_class5_empty"][others], **TOLERANCE)


def test_a_pass_in_batches_makes_the_maps_of_all_items(golden):
    """sign(0) is +1 here; PyTorch's is 0, which one entry of the second code map is."""
    data = golden("agah_maps_k16")
    feature_map = tf.Variable(tf.zeros((LABELS, EMBEDDING)))
    maps = PassMaps(BITS, items=60, feature_map=feature_map, seed=0)
    maps.code_map.assign(data["M"])
    gather = tf.function(maps.gather)
    for number in (1, 2):
        for batch in np.split(np.random.default_rng(number).permutation(60), 4):
            outputs = [
                {"code": data[codes][batch], "feature": data[features][batch]}
                for codes, features in (("U", "FEAT_I"), ("V", "FEAT_T"))
            ]
            gather(Outputs(*outputs, labels=tf.constant(data["L"][batch])))
        expected = data[f"code_map_{number}"]
        assert (expected == 0).sum() == number - 1
        expected = np.where(expected == 0, 1, expected)
        np.testing.assert_array_equal(maps.code_map, expected)
        np.testing.assert_allclose(feature_map, data["feature_map"], **TOLERANCE)
        assert not any(np.any(maps.variables[name]) for name in ("label_codes", "bit_products", "items_seen"))
