"""The graph of items and labels, on a small method with frozen features."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sources import labels_through_noise

from gch.data.generated import generate
from gch.methods import build_method
from gch.methods.batch import draw_numbers, draw_order, draw_positions
from gch.methods.gch.neighbours import blend, nearest_others
from gch.methods.items import training_items
from gch.networks.backbone import Backbone
from gch.networks.inference import infer, infer_under_dropout, slices
from gch.settings import load_settings
from gch.training.loop import StageLoop, set_rates

TRAINED, NEW = np.arange(60), np.arange(60, 80)
PAIRS = generate(items=80, image_size=8)
SETTINGS = {
    "bit": 16,
    "batch_size": 20,
    "SEMANTIC_EMBED": 32,
    "MAX_ITER": 10,
    "k_gph": 1,
    "graph_neighbours": 5,
}


@pytest.fixture(scope="module")
def features():
    return labels_through_noise(PAIRS, 12)


@pytest.fixture
def build(repository, features):
    def build(**changes):
        keras.utils.set_random_seed(0)
        backbone = Backbone("features", keras.Sequential([keras.Input((12,)), keras.layers.Identity()]), "")
        settings = load_settings(repository / "setting.py", SETTINGS | changes)
        items = training_items(PAIRS, TRAINED, features)
        method = build_method(settings, items, backbone)
        method.items, method.settings = items, settings
        return method

    return build


def stage(method, name):
    return next(one for one in method.stages if one.name == name)


def run(method, name: str, jit_compile: bool = False):
    """Opens a stage: a function that runs so many steps of it and returns the losses."""
    one = stage(method, name)
    set_rates(one, method.settings, 0)
    return StageLoop(one, method.items, 20, jit_compile).open((0, 0, name), 0)


def test_the_stages_of_a_label_graph(build):
    assert [one.name for one in build().stages] == ["label", "text/label", "image/label", "graph"]
    assert [one.name for one in build(teacher=False).stages] == ["text/label", "image/label", "graph"]
    names = [one.name for one in build(graph="batch").stages]
    assert names == ["label", "text/label", "image/label", "graph", "text/graph", "image/graph"]


def test_without_a_teacher_a_student_learns_labels_alone(build):
    learn = run(build(teacher=False, k_img=20), "image/label")
    first = learn(5)
    learn(50)
    last = learn(5)
    assert list(first) == ["label"]
    assert last["label"] < 0.9 * first["label"]


def test_without_graph_the_students_get_its_passes(build):
    whole, without = build(k_img=2, k_img_g=5), build(k_img=2, k_img_g=5, graph="none")
    assert stage(whole, "image/label").steps == 2 * 3
    assert stage(without, "image/label").steps == 7 * 3
    assert [one.name for one in without.stages] == ["label", "text/label", "image/label"]


def test_the_graph_learns_to_rank_new_items(build, features):
    method = build(MAX_ITER=120)
    for name in ("text/label", "image/label"):
        run(method, name)(60)
    graph = run(method, "graph")
    first = graph(10)
    graph(100)
    assert graph(10)["I->T"] < 0.7 * first["I->T"]

    def precision(networks) -> float:
        codes = infer(networks["image"], [features[NEW]], "code")[0]
        others = infer(networks["text"], [PAIRS.texts[:60].astype(np.float32)], "code")[0]
        inner = np.where(codes >= 0, 1, -1) @ np.where(others >= 0, 1, -1).T
        similar = PAIRS.labels[NEW].astype(int) @ PAIRS.labels[:60].T > 0
        nearest = np.argsort(-inner, axis=1, kind="stable")[:, :10]
        return float(np.take_along_axis(similar, nearest, axis=1).mean())

    chance = float((PAIRS.labels[NEW].astype(int) @ PAIRS.labels[:60].T > 0).mean())
    assert precision(method.encoders) > chance + 0.5 * (1 - chance)


def test_the_batch_norms_of_the_graph_networks_learn_in_its_stage(build):
    method = build()
    network = method.networks["graph_image"]
    before = [variable.numpy() for variable in network.non_trainable_variables]
    run(method, "graph")(1)
    assert before
    for old, new in zip(before, network.non_trainable_variables, strict=True):
        assert (old != new.numpy()).any()


@pytest.mark.parametrize(("asked", "given"), [(5, 5), (59, 59), (60, 59), (1000, 59)])
def test_an_item_has_at_most_all_others_as_neighbours(build, asked, given):
    """Of 60 training items."""
    method = build(graph_neighbours=asked)
    stage(method, "graph").begin()
    assert method.networks["neighbours_text"].count == given


def test_a_code_depends_on_its_item_alone(build, features):
    method = build()
    stage(method, "graph").begin()
    whole = infer(method.encoders["image"], [features], "code")[0]
    alone = infer(method.encoders["image"], slices(features, 1), "code")[0]
    np.testing.assert_allclose(alone, whole, atol=1e-5)


def test_a_saved_encoder_gives_the_same_codes_and_brings_its_neighbours(build, features, tmp_path):
    method = build()
    stage(method, "graph").begin()
    encoder = method.encoders["text"]
    encoder.save(tmp_path / "encoder.keras")
    texts = PAIRS.texts.astype(np.float32)
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(texts)["code"], encoder(texts)["code"])


def test_without_its_own_entry_a_training_item_is_coded_by_the_others_and_a_new_item_as_before(
    build, features
):
    method = build()
    stage(method, "graph").begin()
    own = np.r_[TRAINED, np.full(len(NEW), -1)].astype(np.int32)
    for modality, inputs in (("image", features), ("text", PAIRS.texts.astype(np.float32))):
        with_own = infer(method.encoders[modality], [inputs], "code")[0]
        without = infer(method.encoders_without_own[modality], [[inputs, own]], "code")[0]
        np.testing.assert_array_equal(without[60:], with_own[60:])
        nearest, cosines = nearest_others(inputs[:60], 5)
        labels = tf.gather(tf.constant(PAIRS.labels[:60], tf.float32), nearest[:, 1:])
        sharpness = method.networks[f"neighbours_{modality}"].sharpness
        (logits,) = infer(method.networks[modality], [inputs[:60]], "label")
        ties = [tf.sigmoid(logits), blend(labels, tf.constant(cosines[:, 1:]), sharpness)]
        expected = method.networks[f"graph_{modality}"](ties)["code"]
        np.testing.assert_allclose(without[:60], expected, atol=1e-4)
        assert np.abs(without[:60] - with_own[:60]).max() > 0.01


def test_where_no_item_is_looked_up_there_is_nothing_to_leave_out(build):
    assert build(graph="none").encoders_without_own == {}


def test_begin_leaves_the_students_as_they_were_and_repeats_itself(build):
    method = build()
    graph = stage(method, "graph")
    before = [variable.numpy() for name in ("text", "image") for variable in method.networks[name].variables]
    graph.begin()
    after = [variable.numpy() for name in ("text", "image") for variable in method.networks[name].variables]
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)

    resumed = build()
    stage(resumed, "graph").begin()
    assert run(method, "graph")(1) == run(resumed, "graph")(1)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ("label", "text/label", "image/label", "graph")),
        ({"graph": "batch"}, ("graph",)),
        ({"preset": "reference"}, ("label", "graph", "text/graph")),
    ],
)
def test_xla_compiles_stages_to_the_same_losses(build, changes, names):
    no_dropout = {"dropout_txt": 0.0, "dropout_words": 0.0, "dropout_img": 0.0}
    plain, compiled = build(**no_dropout, **changes), build(**no_dropout, **changes)
    for name in names:
        losses = [run(method, name, jit)(3) for method, jit in ((plain, False), (compiled, True))]
        assert losses[0] == pytest.approx(losses[1], rel=0.02), name


def test_dropout_is_drawn_anew_for_every_draw(build, features):
    network = build().networks["image"]
    drawn = infer_under_dropout(network, lambda: [tf.constant(features)], "label", 3)
    assert drawn.shape == (3, 80, PAIRS.labels.shape[1])
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    again = infer_under_dropout(network, lambda: [tf.constant(features)], "label", 3)
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("sizes", [[20, 20, 20, 20], [37, 42, 1]])
def test_only_dropout_is_random_in_a_draw(build, features, sizes):
    """Without dropout a draw is the inference, however the items are sorted and sliced."""
    method = build(dropout_img=0.0)
    run(method, "image/label")(20)  # moves the statistics of the batch norms
    network = method.networks["image"]
    by_class = features[np.argsort(PAIRS.labels.argmax(axis=1), kind="stable")]
    (expected,) = infer(network, [by_class], "label")
    drawn = infer_under_dropout(network, lambda: tf.split(tf.constant(by_class), sizes), "label", 1)
    np.testing.assert_allclose(drawn[0], expected, atol=1e-5)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert all(norm.trainable for norm in norms)


def test_a_training_item_is_tied_to_its_own_labels_but_not_when_it_plays_a_new_one(build):
    """With one neighbour: itself, or the nearest other."""
    method = build(graph_neighbours=1)
    stage(method, "graph").begin()
    nodes = method._nodes["text"]
    ties = []
    nodes.graph = lambda inputs, training: ties.append(inputs[1].numpy()) or {"code": None}
    rows = tf.range(60)
    for known in (True, False):
        nodes.codes(rows, tf.fill([60], known), tf.zeros_like(rows))
    np.testing.assert_array_equal(ties[0], PAIRS.labels[:60])
    assert (ties[1] != PAIRS.labels[:60]).any()


def test_draws_depend_on_the_batch_alone():
    batch, other = tf.constant([3, 1, 4]), tf.constant([1, 3, 4])
    drawn = draw_positions(batch, 200, 7).numpy()
    assert set(drawn) == set(range(7))
    np.testing.assert_array_equal(drawn, draw_positions(batch, 200, 7))
    assert (drawn != draw_positions(other, 200, 7).numpy()).any()
    first, second = (draw_numbers(batch, stream, 200, below=2).numpy() for stream in (1, 2))
    assert 0.3 < first.mean() < 0.7
    assert 0.3 < (first == second).mean() < 0.7


def test_an_order_is_a_permutation_of_its_own_under_xla_too():
    seed, orders = tf.constant([3, 5], tf.int64), []
    for number in (0, 1):
        plain, compiled = (
            tf.function(draw_order, jit_compile=jit)(seed, tf.constant(number), 50).numpy()
            for jit in (False, True)
        )
        np.testing.assert_array_equal(plain, compiled)
        assert sorted(plain) == list(range(50))
        orders.append(tuple(plain))
    assert len(set(orders)) == 2
