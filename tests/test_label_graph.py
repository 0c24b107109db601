"""GCH with the graph of items and labels, and the stages of its variants, on a small method."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import uncompiled, under
from methods import (
    FEATURES,
    NEW,
    OF_GCH,
    PAIRS,
    TEXTS,
    build,
    opened,
    precision_at_10,
    stage,
    with_parts,
)

from gch.methods.gch import label_graph
from gch.methods.gch.neighbours import blend, nearest_others, unit_length
from gch.methods.gch.ranking import expected_similarity
from gch.methods.gch.regression import ridge_regression
from gch.methods.gch.stacking import Stacked, stacking_weights
from gch.methods.gch.students import MemoryBank
from gch.methods.method import Batch
from gch.networks.inference import infer, infer_under_dropout
from gch.networks.parts import batch_norms
from gch.settings import load_settings


def gch(**changes):
    return build(OF_GCH, **changes)


@pytest.fixture(scope="module")
def begun():
    """A method whose graph stage has begun; tests leave it as it is."""
    method = gch()
    stage(method, "graph").begin()
    return method


def regressed(method, modality: str, vectors: np.ndarray) -> np.ndarray:
    return tf.clip_by_value(method.networks[f"regression_{modality}"](unit_length(vectors)), 0, 1)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, "label text/label image/label graph"),
        ({"teacher": False}, "text/label image/label graph"),
        ({"graph": "batch"}, "label text/label image/label graph text/graph image/graph"),
        ({"graph": "batch", "k_txt_g": 0}, "label text/label image/label graph image/graph"),
        ({"graph": "none"}, "label text/label image/label"),
    ],
)
def test_the_stages_of_the_variants(changes, names):
    method = gch(k_img=2, k_img_g=5, **changes)
    assert [one.name for one in method.stages] == names.split()
    passes = 7 if method.own.graph == "none" else 2  # without graph the students get its passes
    assert stage(method, "image/label").steps == passes * 3
    assert bool(method.encoders_without_own) == (method.own.graph == "label")


@pytest.mark.filterwarnings("error:Gradients do not exist")
def test_without_a_teacher_a_student_learns_labels_alone():
    """Its codes have no gradient, of which nobody is warned."""
    learn = opened(gch(teacher=False, k_img=20), "image/label")
    first = learn(5)
    learn(50)
    last = learn(5)
    assert list(first) == ["label"]
    assert last["label"] < 0.9 * first["label"]


@uncompiled()
def test_mixed_precision_learns_too():
    with under("mixed_float16"):
        method = gch(precision="mixed_float16", dropout_img=0.0)
        for name, part in (("image/label", "label"), ("graph", "I->T")):
            learn = opened(method, name)
            first = learn(2)
            learn(6)
            assert learn(2)[part] < first[part]


def test_the_graph_learns_to_rank_new_items():
    method = gch(MAX_ITER=70, graph_expected=0.0)
    norms = [moment for norm in batch_norms(method.networks["graph_image"]) for moment in norm.variables]
    before = [variable.numpy() for variable in norms]
    for name in ("text/label", "image/label"):
        opened(method, name)(60)
    graph = opened(method, "graph")
    first = graph(10)
    assert list(first) == ["I->T", "T->I", "I->pair", "T->pair", "pair->pair"]
    graph(50)
    assert graph(10)["I->T"] < 0.7 * first["I->T"]
    assert precision_at_10(method.encoders) > 0.5
    assert all((old != new.numpy()).any() for old, new in zip(before, norms, strict=True))


@pytest.mark.parametrize(("wanted", "given"), [(5, 5), (60, 59)])
def test_an_item_has_at_most_all_others_as_neighbours(wanted, given):
    """Of 60 training items."""
    assert gch(graph_neighbours=wanted).networks["neighbours_text"].count == given


def test_a_pair_is_coded_from_the_edges_of_both_of_its_halves(begun):
    logits, passed_on, predicted = [], [], []
    for modality, inputs in (("image", FEATURES), ("text", TEXTS)):
        label, vector = infer(begun.networks[modality], [inputs], "label", "vector")
        logits.append(label)
        passed_on.append(begun.networks[f"neighbours_{modality}"](tf.constant(vector)))
        predicted.append(regressed(begun, modality, vector))
    edges = [tf.sigmoid((logits[0] + logits[1]) / 2), *(sum(two) / 2 for two in (passed_on, predicted))]
    code, label = infer(begun.encoders["pair"], [[FEATURES, TEXTS]], "code", "label")
    np.testing.assert_allclose(code, begun.networks["graph_pair"](edges)["code"], atol=1e-5)
    np.testing.assert_allclose(label, (logits[0] + logits[1]) / 2, atol=1e-5)


def test_the_similarity_that_students_expect_is_the_chance_of_sharing_a_label():
    """Of items that have label a with .5 and .4, b with .2 and .1: 1 - (1 - .2) (1 - .02) = .216."""
    found = expected_similarity(tf.constant([[0.5, 0.2], [0.0, 0.0]]), tf.constant([[0.4, 0.1], [1.0, 1.0]]))
    np.testing.assert_allclose(found, [[0.216, 0.6], [0, 0]], atol=0.005)


@uncompiled()
def test_begin_leaves_the_students_as_they_were_and_balance_and_agreement_are_parts_of_the_loss():
    method = gch(graph_balance=0.1, graph_agreement=0.1)
    students = [variable for name in ("text", "image") for variable in method.networks[name].variables]
    before = [variable.numpy() for variable in students]
    stage(method, "graph").begin()
    for one, two in zip(before, students, strict=True):
        np.testing.assert_array_equal(one, two)
    losses = opened(method, "graph")(1)
    assert losses["balance"] > 0
    assert losses["agreement"] > 0


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"affinity": "both", "pairs": with_parts()[0]}, ("label", "image/label", "graph")),
        ({"preset": "reference"}, ("graph", "text/graph")),
    ],
)
def test_xla_compiles_stages_to_the_same_losses(changes, names):
    """The graph of both affinities, which has all losses of labels and of pairs, and the paper's."""
    no_dropout = {"dropout_txt": 0.0, "dropout_words": 0.0, "dropout_img": 0.0}
    plain, compiled = gch(**no_dropout, **changes), gch(**no_dropout, **changes)
    for name in names:
        with uncompiled():
            expected = opened(plain, name)(3)
        assert opened(compiled, name, jit_compile=True)(3) == pytest.approx(expected, rel=0.02), name


def test_dropout_is_drawn_anew_for_every_draw(begun):
    network = begun.networks["image"]
    drawn, again = (infer_under_dropout(network, 3 * [[tf.constant(FEATURES)]], "label") for _ in range(2))
    assert drawn.shape == (3, 80, PAIRS.labels.shape[1])
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    np.testing.assert_array_equal(drawn, again)


def test_only_dropout_is_random_in_a_draw():
    """Without dropout a draw is the inference, however the items are sorted and sliced."""
    method = gch(dropout_img=0.0)
    opened(method, "image/label")(20)  # moves the statistics of the batch norms
    network = method.networks["image"]
    by_class = FEATURES[np.argsort(PAIRS.labels.argmax(axis=1), kind="stable")]
    (expected,) = infer(network, [by_class], "label")
    for sizes in ([20, 20, 20, 20], [37, 42, 1]):
        parts = tf.split(tf.constant(by_class), sizes)
        drawn = infer_under_dropout(network, [parts], "label")
        np.testing.assert_allclose(drawn[0], expected, atol=1e-5)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert all(norm.trainable for norm in norms)


def test_a_training_item_has_its_own_labels_but_not_when_it_plays_a_new_one():
    """With one neighbour, itself or the nearest other; and a regression on all items or on all others."""
    method = gch(graph_neighbours=1)
    stage(method, "graph").begin()
    nodes = method._nodes["text"]
    rows = tf.range(60)

    def edges(known: bool, draw: int, whole: bool = False) -> list[np.ndarray]:
        found = nodes.edges(rows, tf.fill([60], known), tf.fill([60], draw), whole)
        return [edge.numpy() for edge in found]

    known, new, partial = edges(True, 1), edges(False, 0), edges(False, 1)
    np.testing.assert_array_equal(known[1], PAIRS.labels[:60])
    assert (new[1] != PAIRS.labels[:60]).any()
    np.testing.assert_allclose(known[2], regressed(method, "text", TEXTS[:60]), atol=1e-5)
    some = np.concatenate(list(method.items.partial_texts(method.settings.seed)))
    labels = PAIRS.labels[:60].astype(np.float32)
    ridge = ridge_regression(unit_length(TEXTS[:60]), labels, unit_length(some))
    for found, expected in zip((new, partial), ridge.left_out, strict=True):
        np.testing.assert_allclose(found[2], expected.clip(0, 1), atol=1e-5)
    assert np.abs(new[2] - known[2]).max() > 0.01
    nearest, cosines = (one[:, 1:] for one in nearest_others(TEXTS[:60], 1, some))
    alike = blend(tf.gather(labels, nearest), cosines, nodes.layer.sharpness)
    np.testing.assert_allclose(partial[1], alike, atol=1e-6)
    assert (partial[1] != new[1]).any()
    # The student's own view of few words is in the edges; what they should find is what the whole text would.
    assert np.abs(partial[0] - new[0]).max() > 1e-3
    for known_or_not, draws in ((False, new), (True, known)):
        for one, two in zip(edges(known_or_not, 1, whole=True), draws, strict=True):
            np.testing.assert_array_equal(one, two)


def test_partial_texts_keep_one_word_at_least(begun):
    texts = TEXTS[:60].astype(int)
    one, again, other = (
        np.concatenate(list(begun.items.partial_texts(seed))).astype(int) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert ((one == 0) | (one == texts)).all()
    kept, had = (one > 0).sum(axis=1), (texts > 0).sum(axis=1)
    assert (kept[had > 0] > 0).all()
    assert not kept[had == 0].any()
    assert 0.4 < kept.sum() / had.sum() < 0.75  # half, and the word that stays


def test_partial_texts_of_vectors_are_means_of_some_parts(begun):
    """Of text 0 one of two parts or both; text 1 has one part, text 2 none."""
    vectors, members = np.eye(3, dtype=np.float32), np.int32([[0, 1], [2, -1], [-1, -1]])
    texts = tf.Variable([[0.5, 0.5, 0], [0, 0, 1], [0.1, 0.2, 0.3]])
    items = dataclasses.replace(
        begun.items, texts=texts, text_parts=(vectors, members), rows=np.arange(3), labels=begun.items.labels
    )
    found = {next(iter(items.partial_texts(seed))).numpy().tobytes() for seed in range(30)}
    firsts = ([0.5, 0.5, 0], [1, 0, 0], [0, 1, 0])
    assert found == {np.float32([first, [0, 0, 1], [0.1, 0.2, 0.3]]).tobytes() for first in firsts}
    none = dataclasses.replace(items, texts=tf.zeros((3, 3)), text_parts=(vectors[:0], np.full((3, 1), -1)))
    assert not np.any(next(iter(none.partial_texts(0))))
    assert items.has_text_parts
    assert not dataclasses.replace(items, text_parts=None).has_text_parts


def test_training_adds_noise_to_the_edges_of_the_regression(begun, monkeypatch):
    def codes():
        return begun._forward(Batch(tf.range(20), None))[1]["text"].codes.numpy()

    noisy = codes()
    np.testing.assert_array_equal(codes(), noisy)
    monkeypatch.setattr(label_graph, "NOISE", (0.0, 0.0, 0.0))
    assert np.abs(codes() - noisy).max() > 0.01


def test_without_the_regression_there_are_two_kinds_of_edge():
    method = gch(graph_regression=False)
    assert "regression_text" not in method.networks
    assert len(method.networks["graph_pair"].inputs) == 2
    stage(method, "graph").begin()
    rows = tf.range(60)
    assert len(method._nodes["text"].edges(rows, tf.fill([60], False), tf.zeros_like(rows), True)) == 2


# ---------------------------------------------------------------- stacked predictions


def test_of_a_prediction_that_tells_nothing_the_bias_is_learned():
    """Of P = .5, whose logit is 0, and labels 1, 1, 0 the loss 3 log(1 + e^b) - 2 b + b^2 / 2 is smallest
    where 3 sigmoid(b) - 2 + b = 0, at b = .28655; w stays at 1.
    """
    half, labels = np.full((1, 3), 0.5), np.array([[1, 1, 0]])
    np.testing.assert_allclose(stacking_weights([half], labels), [1, 0.28655], atol=1e-4)
    layer = Stacked(1)
    np.testing.assert_allclose(layer([half]), half)
    layer.fit([half], labels)
    np.testing.assert_allclose(layer([half]), np.full((1, 3), 1 / (1 + np.exp(-0.28655))), atol=1e-5)


def test_predictions_are_weighed_by_how_well_they_tell_labels():
    random = np.random.default_rng(0)
    chances = random.random((500, 8))
    labels = random.random(chances.shape) < chances
    *weights, bias = stacking_weights([chances, random.random(chances.shape)], labels)
    assert weights == pytest.approx([1, 0], abs=0.1)
    assert bias == pytest.approx(0, abs=0.1)


def test_without_items_to_learn_from_all_predictions_weigh_the_same():
    none = np.empty((0, 8))
    np.testing.assert_allclose(stacking_weights([none] * 3, none), [1 / 3, 1 / 3, 1 / 3, 0])
    sure, unsure = np.array([[0.8]]), np.array([[0.5]])  # odds of 4 and 1
    np.testing.assert_allclose(Stacked(2)([sure, unsure]), [[2 / 3]], rtol=1e-5)
    np.testing.assert_allclose(Stacked(1)([np.array([[1.0]])]), [[0.99]], rtol=1e-5)


@pytest.mark.parametrize("kind", ["image", "text", "pair"])
def test_the_edges_of_an_item_are_weighed_on_validation_queries(begun, kind):
    edges = []
    for modality, inputs in (("image", FEATURES[NEW]), ("text", TEXTS[NEW])):
        (logits,) = infer(begun.networks[modality], [inputs], "label")
        layer = begun.networks[f"neighbours_{modality}"]
        edges.append([logits, layer(tf.constant(inputs)), regressed(begun, modality, inputs)])
    image, text = edges
    pair = [(one + other) / 2 for one, other in zip(image, text, strict=True)]
    logits, *others = {"image": image, "text": text, "pair": pair}[kind]
    predictions = [tf.sigmoid(logits).numpy(), *map(np.asarray, others)]
    expected = stacking_weights(predictions, PAIRS.labels[NEW])
    shares, bias = begun.networks[f"graph_{kind}"].get_layer("stacked").get_weights()
    np.testing.assert_allclose([*shares, bias], expected, atol=0.01)
    assert np.abs(shares - 1 / 3).max() > 0.05


def test_what_all_edges_predict_is_expected_and_takes_the_place_of_the_students(begun):
    batch = Batch(tf.range(20), None)
    database, coded = begun._forward(batch)
    rows = tf.concat([batch.positions, database], axis=0)
    known = tf.fill(rows.shape, True)
    logits, *others = begun._nodes["image"].edges(rows, known, tf.zeros_like(rows), whole=True)
    network = begun.networks["graph_image"]
    predicted = network.get_layer("stacked")([tf.sigmoid(logits), *others])
    as_known = np.isclose(coded["image"].probabilities, predicted, atol=1e-5).all(axis=1)
    assert 0.25 < as_known[20:].mean() < 0.75  # half of the database stands in for new items
    (first, *_) = network.get_layer("edges").input
    reads = keras.Model(network.inputs, first)
    np.testing.assert_allclose(reads([tf.sigmoid(logits), *others]), predicted, atol=1e-5)
    plain = gch(graph_stacking=False)
    assert "stacked" not in {layer.name for layer in plain.networks["graph_image"].layers}


def test_training_cannot_change_what_is_expected(begun):
    """The sharpness of the neighbours is learned, and what is expected depends on it."""
    sharpness = begun.networks["neighbours_text"].trainable_variables[0].value
    with tf.GradientTape(persistent=True) as tape:
        _, coded = begun._forward(Batch(tf.range(20), None))
    assert tape.gradient(coded["text"].codes, sharpness) is not None
    assert tape.gradient(coded["text"].probabilities, sharpness) is None


# ---------------------------------------------------------------- the memory bank

LABELS = tf.Variable([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
CODES = np.linspace(-0.9, 0.8, 32, dtype=np.float32).reshape(4, 8)
OWN, BATCH = tf.constant(CODES[1:3] / 2), tf.constant([2, 1])
SIMILAR = [[1, 0], [1, 1], [1, 1], [0, 0]]
ALL = {"pair_items": 0}


@pytest.mark.parametrize(
    ("changes", "targets", "codes", "similar"),
    [
        (ALL | {"memory": "sign"}, None, np.where(CODES >= 0, 1, -1), SIMILAR),
        (ALL | {"memory": "relaxed"}, None, CODES, SIMILAR),
        (ALL | {"memory": "sign"}, -CODES, -CODES, SIMILAR),
        ({"memory": "batch"}, CODES, OWN, [[1, 1], [1, 1]]),
    ],
)
def test_what_a_batch_is_compared_with(changes, targets, codes, similar):
    memory = MemoryBank(load_settings(None, {"bit": 8, **changes}), LABELS, "codes")
    memory.codes.assign(CODES)
    found = memory.pairs(OWN, BATCH, None if targets is None else tf.Variable(targets))
    np.testing.assert_array_equal(found[0], codes)
    assert found[1].numpy().tolist() == similar


def test_drawn_items_keep_their_similarities():
    memory = MemoryBank(
        load_settings(None, {"bit": 8, "memory": "relaxed", "pair_items": 3}), LABELS, "codes"
    )
    memory.codes.assign(CODES)
    codes, similar = memory.pairs(OWN, BATCH)
    rows = [int(np.flatnonzero((code == CODES).all(axis=1))[0]) for code in codes.numpy()]
    assert len(rows) == 3
    assert similar.numpy().tolist() == [SIMILAR[row] for row in rows]
