"""What the preset `reference` does as the original, on a small method."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sources import labels_through_noise

from gch.data.generated import generate
from gch.methods import build_method
from gch.methods.gch.paper import PaperGCH, fuse, normalized_affinity
from gch.methods.items import training_items
from gch.methods.stage import Batch
from gch.networks.backbone import Backbone
from gch.settings import load_settings
from gch.training.loop import StageLoop

PAIRS = generate(items=80, image_size=8)
TRAINED = np.arange(60)
SMALL = {"preset": "reference", "bit": 16, "batch_size": 20, "SEMANTIC_EMBED": 32, "MAX_ITER": 10}
BATCH, OTHERS = tf.constant(np.random.default_rng(0).permutation(60)[:40].reshape(2, 20), tf.int32)


@pytest.fixture
def settings(repository):
    return lambda **changes: load_settings(repository / "setting.py", SMALL | changes)


@pytest.fixture(params=["features", "pixels"])
def build(settings, request):
    """Builds the method on ready features, or on pixels with a backbone that is trained."""

    def build(**changes):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        flat = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(inputs))
        backbone = Backbone("small", keras.Model(inputs, keras.layers.Dense(12)(flat)), "")
        features = labels_through_noise(PAIRS, 12) if request.param == "features" else None
        items = training_items(PAIRS, TRAINED, features)
        method = build_method(settings(**changes), items, backbone)
        method.items = items
        return method

    return build


def stage(method, name):
    return next(one for one in method.stages if one.name == name)


def step(method, name, positions, images=None) -> dict[str, tf.Tensor]:
    """One step of a stage on a batch of these positions."""
    loop = StageLoop(stage(method, name), method.items, len(positions))
    return loop.step(Batch(positions, images))


def labels(positions) -> tf.Tensor:
    return tf.constant(PAIRS.labels[TRAINED[positions]], tf.float32)


def test_memories_start_normal_by_the_seed(build):
    one, same, other = (build(seed=seed).memories for seed in (0, 0, 1))
    for name, codes in one.items():
        assert float(tf.math.reduce_std(codes)) == pytest.approx(1, abs=0.1)
        np.testing.assert_array_equal(codes, same[name])
        assert np.abs(codes - other[name]).mean() > 0.5
    assert np.abs(one["teacher_codes"] - one["graph_codes"]).mean() > 0.5
    assert not np.any(build(memory_refresh="stage").memories["teacher_codes"])


@pytest.mark.parametrize(("refresh", "after"), [("step", True), ("stage", False)])
def test_the_memory_holds_what_the_network_gives_after_the_update(build, refresh, after):
    method = build(memory_refresh=refresh)
    codes, network = method.memories["teacher_codes"], method.networks["label"]
    start = codes.numpy()
    before = network(labels(BATCH), training=True)["code"].numpy()
    step(method, "label", BATCH)
    updated = network(labels(BATCH), training=True)["code"].numpy()
    assert np.abs(before - updated).max() > 1e-3
    np.testing.assert_allclose(codes.numpy()[BATCH], updated if after else before, atol=1e-5)
    np.testing.assert_array_equal(codes.numpy()[OTHERS], start[OTHERS])


@pytest.mark.parametrize(("refresh", "kept"), [("step", True), ("stage", False)])
def test_students_learn_the_signs_of_the_memory_as_training_left_it(build, refresh, kept):
    method = build(memory_refresh=refresh)
    before = method.memories["teacher_codes"].numpy()
    stage(method, "text/label").begin()
    assert np.array_equal(method.memories["teacher_codes"], before) == kept
    target = np.where(method.memories["teacher_codes"] >= 0, 1, -1)[BATCH]
    # One step of a student, whose loss is the distance to the target before the update.
    code = method.networks["text"](PAIRS.texts[TRAINED[BATCH]].astype(np.float32), training=True)["code"]
    parts = step(method, "text/label", BATCH)
    assert float(parts["code"]) == pytest.approx(float(np.mean((code - target) ** 2)), rel=1e-4)


@pytest.mark.parametrize(
    ("graph_input", "expected"), [("raw", np.log1p(np.exp(-0.5))), ("normalized", np.log(2))]
)
def test_the_graphs_label_probabilities_are_taken_for_logits(settings, graph_input, expected):
    items = training_items(PAIRS, TRAINED, labels_through_noise(PAIRS, 12))
    method = PaperGCH(settings(graph_input=graph_input), items, None)
    update = stage(method, "graph").updates[0]
    ones = items.labels.assign(tf.ones_like(items.labels))
    output = {"code": tf.zeros((20, 16)), "label": tf.zeros_like(ones[:20])}  # probabilities of 1/2
    assert float(update.loss(Batch(BATCH, None), output)["label"]) == pytest.approx(expected)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_students_learn_graph_codes_made_anew_of_their_batch(build, modality):
    method = build()
    graph = method.networks["graph"]
    stage(method, "graph").begin()
    step(method, "graph", OTHERS)
    stage(method, f"{modality}/graph").begin()
    rows = TRAINED[BATCH]
    images = labels_through_noise(PAIRS, 12)[rows] if len(method.networks["image"].input_shape) == 2 else None
    images = PAIRS.pictures.read(rows) if images is None else images
    # Both networks by the statistics of the batch, as in their own stages.
    output = {
        "image": method.networks["image"](images, training=True),
        "text": method.networks["text"](PAIRS.texts[rows].astype(np.float32), training=True),
    }
    fused = fuse(output["image"]["feature"], output["text"]["feature"])
    code = graph([fused, normalized_affinity(labels(BATCH))])["code"]
    images = tf.constant(images) if modality == "image" else None
    parts = step(method, f"{modality}/graph", BATCH, images)
    distance = float(tf.reduce_mean(tf.square(output[modality]["code"] - code)))
    assert float(parts["graph"]) == pytest.approx(distance, rel=1e-3)
    # Which those in the memory are not.
    memory = tf.gather(method.memories["graph_codes"], BATCH)
    assert float(tf.reduce_mean(tf.square(output[modality]["code"] - memory))) != pytest.approx(
        distance, rel=1e-3
    )


def test_no_gradient_reaches_the_graph_network_through_its_codes(settings):
    items = training_items(PAIRS, TRAINED, labels_through_noise(PAIRS, 12))
    method = PaperGCH(settings(), items, None)
    feature = tf.random.stateless_normal((20, 32), (0, 0))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        code = method.taught("text", feature, BATCH)
    assert tape.gradient(code, feature) is None
    assert np.abs(code - method.taught("text", -feature, BATCH)).max() > 0.1
