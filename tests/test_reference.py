"""What the preset `reference` does as the original, on a small method."""

import numpy as np
import pytest
import tensorflow as tf
from methods import FEATURES, PAIRS, TEXTS, TRAINED, build, stage, step

from gch.methods.gch.paper import fuse, normalized_affinity
from gch.methods.method import Batch

SMALL = {"preset": "reference", "MAX_ITER": 10}
BATCH, OTHERS = tf.constant(np.random.default_rng(0).permutation(60)[:40].reshape(2, 20), tf.int32)


@pytest.fixture(params=[False, True], ids=["features", "pixels"])
def pixels(request):
    return request.param


def labels(positions) -> tf.Tensor:
    return tf.constant(PAIRS.labels[TRAINED[positions]], tf.float32)


def test_memories_start_normal_by_the_seed():
    one, same, other = (build(SMALL, seed=seed).memories for seed in (0, 0, 1))
    for name, codes in one.items():
        assert float(tf.math.reduce_std(codes)) == pytest.approx(1, abs=0.1)
        np.testing.assert_array_equal(codes, same[name])
        assert np.abs(codes - other[name]).mean() > 0.5
    assert np.abs(one["teacher_codes"] - one["graph_codes"]).mean() > 0.5
    assert not np.any(build(SMALL, memory_refresh="stage").memories["teacher_codes"])


@pytest.mark.parametrize(("refresh", "after"), [("step", True), ("stage", False)])
def test_the_memory_holds_what_the_network_gives_after_the_update(refresh, after):
    method = build(SMALL, memory_refresh=refresh)
    codes, network = method.memories["teacher_codes"], method.networks["label"]
    start = codes.numpy()
    before = network(labels(BATCH), training=True)["code"].numpy()
    step(method, "label", BATCH)
    updated = network(labels(BATCH), training=True)["code"].numpy()
    assert np.abs(before - updated).max() > 1e-3
    np.testing.assert_allclose(codes.numpy()[BATCH], updated if after else before, atol=1e-5)
    np.testing.assert_array_equal(codes.numpy()[OTHERS], start[OTHERS])


@pytest.mark.parametrize(("refresh", "kept"), [("step", True), ("stage", False)])
def test_students_learn_the_signs_of_the_memory_as_training_left_it(refresh, kept):
    method = build(SMALL, memory_refresh=refresh)
    before = method.memories["teacher_codes"].numpy()
    stage(method, "text/label").begin()
    assert np.array_equal(method.memories["teacher_codes"], before) == kept
    target = np.where(method.memories["teacher_codes"] >= 0, 1, -1)[BATCH]
    # One step of a student, whose loss is the distance to the target before the update.
    code = method.networks["text"](TEXTS[TRAINED[BATCH]], training=True)["code"]
    parts = step(method, "text/label", BATCH)
    assert float(parts["code"]) == pytest.approx(float(np.mean((code - target) ** 2)), rel=1e-4)


@pytest.mark.parametrize(
    ("graph_input", "expected"), [("raw", np.log1p(np.exp(-0.5))), ("normalized", np.log(2))]
)
def test_the_graphs_label_probabilities_are_taken_for_logits(graph_input, expected):
    method = build(SMALL, graph_input=graph_input)
    ones = method.items.labels.assign(tf.ones_like(method.items.labels))
    output = {"code": tf.zeros((20, 16)), "label": tf.zeros_like(ones[:20])}  # probabilities of 1/2
    parts = stage(method, "graph").updates[0].loss(Batch(BATCH, None), output)
    assert float(parts["label"]) == pytest.approx(expected)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_students_learn_graph_codes_made_anew_of_their_batch(pixels, modality):
    method = build(SMALL, pixels)
    graph = method.networks["graph"]
    stage(method, "graph").begin()
    step(method, "graph", OTHERS)
    stage(method, f"{modality}/graph").begin()
    rows = TRAINED[BATCH]
    images = PAIRS.pictures.read(rows) if pixels else FEATURES[rows]
    # Both networks by the statistics of the batch, as in their own stages.
    output = {
        "image": method.networks["image"](images, training=True),
        "text": method.networks["text"](TEXTS[rows], training=True),
    }
    fused = fuse(output["image"]["feature"], output["text"]["feature"])
    code = graph([fused, normalized_affinity(labels(BATCH))])["code"]
    images = tf.constant(images) if modality == "image" else None
    parts = step(method, f"{modality}/graph", BATCH, images)

    def distance(codes) -> float:
        return float(tf.reduce_mean(tf.square(output[modality]["code"] - codes)))

    assert float(parts["graph"]) == pytest.approx(distance(code), rel=1e-3)
    # Those in the memory are others.
    memory = tf.gather(method.memories["graph_codes"], BATCH)
    assert distance(memory) != pytest.approx(distance(code), rel=1e-3)


def test_no_gradient_reaches_the_graph_network_through_its_codes():
    method, batch = build(SMALL), Batch(BATCH, None)
    feature = tf.random.stateless_normal((20, 32), (0, 0))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        code = method.graph_targets("text", feature, batch)
    assert tape.gradient(code, feature) is None
    assert np.abs(code - method.graph_targets("text", -feature, batch)).max() > 0.1
