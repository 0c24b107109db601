"""GCH with the graph of pairs, on small methods of 60 training pairs and 20 new ones."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import uncompiled
from methods import FEATURES, NEW, OF_GCH, PAIRS, TEXTS, TRAINED, build, opened, stage, with_parts

from gch.data.pairs import TextParts
from gch.methods.gch import pair_graph
from gch.methods.gch.canonical import Moments, projections
from gch.methods.gch.neighbours import unit_length
from gch.methods.gch.pair_graph import contrastive_loss, pair_graph_network
from gch.methods.method import Batch
from gch.networks.inference import infer, slices

ALL = tf.range(60)
KINDS = ("image", "text", "pair")


def of_pairs(**changes):
    return build(OF_GCH, **{"affinity": "pairs", **changes})


def begun_of(**changes):
    method = of_pairs(**changes)
    stage(method, "graph").begin()
    return method


@pytest.fixture(scope="module")
def begun():
    """A method whose stage has begun; tests leave it as it is."""
    return begun_of()


def edges(method, known: int, seed: int = 1, times: int = 1) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Z and A F of all training items, as the stage sees them; several times over."""
    batch = Batch(tf.constant([seed, 2 * seed]), None)
    found = method._nodes.edges(batch, tf.tile(ALL, [times]), tf.fill([60 * times], known))
    return {kind: tuple(part.numpy() for part in parts) for kind, parts in found.items()}


def projected(method, modality: str, inputs: np.ndarray) -> np.ndarray:
    """The vectors Z of new items."""
    return method.networks[f"canonical_{modality}"](tf.constant(inputs, tf.float32)).numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scaled(vectors: np.ndarray) -> np.ndarray:
    """Of a mean square of 1."""
    return unit(vectors) * vectors.shape[1] ** 0.5


def blended(queries: np.ndarray, nodes: np.ndarray, values: np.ndarray, count: int, own=None) -> np.ndarray:
    """A F written out: `count` nearest nodes but an item's own, by exp(10 cos) of those above 0."""
    cosines = unit(queries) @ unit(nodes).T
    if own is not None:
        cosines[np.flatnonzero(own >= 0), own[own >= 0]] = -2
    rows = np.argsort(-cosines, axis=1)[:, :count]
    near = np.take_along_axis(cosines, rows, axis=1)
    weights = np.where(near > 0, np.exp(10 * near), 0)
    return np.einsum("bk,bkw->bw", weights / weights.sum(axis=1, keepdims=True), values[rows])


def codes(encoders: dict, features: np.ndarray = FEATURES, texts: np.ndarray = TEXTS, *own) -> dict:
    inputs = {"image": [features], "text": [texts], "pair": [features, texts]}
    taken = {kind: [*inputs[kind], *own] for kind in encoders}
    return {
        kind: infer(encoder, [taken[kind] if len(taken[kind]) > 1 else taken[kind][0]], "code")[0]
        for kind, encoder in encoders.items()
    }


# ---------------------------------------------------------------- the loss and the networks


@pytest.mark.parametrize(
    ("targets", "counted", "expected"),
    [
        ([1, 0, 0], [True, True, False], np.log(1 + np.exp(-2))),
        ([1, 0, 0], [True, True, True], np.log(1 + np.exp(-2) + np.exp(-1))),
        ([0.75, 0.25, 0], [True, True, False], np.log(1 + np.exp(-2)) + 0.25 * 2),
        ([0, 1, 0], [True, True, False], np.log(1 + np.exp(2))),
    ],
)
def test_contrastive_loss_by_hand(targets, counted, expected):
    inner, targets = tf.constant([[1.0, 0.0, 0.5]]), tf.constant([targets], tf.float32)
    assert contrastive_loss(inner, targets, tf.constant([counted]), 2.0).numpy() == pytest.approx(expected)
    twice = [tf.concat([part, part], axis=0) for part in (inner, targets, tf.constant([counted]))]
    assert contrastive_loss(*twice, 2.0).numpy() == pytest.approx(expected)  # a mean, not a sum


def test_the_losses_by_hand(begun, monkeypatch):
    """Two queries, and a database of both, of the first once more, and of another item."""
    batch, database = Batch(tf.constant([4, 9]), None), tf.constant([4, 9, 4, 30])
    random = np.random.default_rng(0)
    relaxed = {kind: np.tanh(random.normal(size=(6, 16))).astype(np.float32) for kind in KINDS}
    losses = pair_graph.contrastive_losses(begun._nodes, batch, database, relaxed)
    assert list(losses) == ["I->T", "T->I", "I->pair", "T->pair"]
    near = begun._nodes.affinity(batch.positions, database).numpy()
    left = [[1, 3], [0, 2, 3]]  # which items are others to the query
    for name, (query, other, share) in pair_graph.DIRECTIONS.items():
        total = []
        for row, (own, others) in enumerate(zip((0, 1), left, strict=True)):
            targets = np.zeros(4)
            weights = np.exp(20 * near[row, others])
            targets[others] = 0.1 * weights / weights.sum()
            targets[own] = 0.9
            there = sorted({own, *others})
            for of_others in (relaxed[other][2:], np.where(relaxed[other][2:] >= 0, 1, -1)):
                logits = 24 * (relaxed[query][row] @ of_others.T)[there] / 16
                total.append(np.log(np.exp(logits).sum()) - logits @ targets[there])
        assert losses[name].numpy() == pytest.approx(share * np.mean(total), rel=1e-4)


def test_networks_of_one_seed_start_alike_and_give_tanh_of_a_product(begun):
    one, other, another = (pair_graph_network(3, 8, seed) for seed in (1, 1, 2))
    starts = [method.networks["graph"].get_weights()[0] for method in (begun, of_pairs(seed=1))]
    assert (starts[0] != starts[1]).any()
    assert [weight.shape for weight in one.weights] == [(6, 8)]  # no bias
    np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])
    assert (one.get_weights()[0] != another.get_weights()[0]).any()
    random = np.random.default_rng(0)
    vector, seen = random.normal(size=(2, 5, 3)).astype(np.float32)
    expected = np.tanh(np.hstack([vector, seen]) @ one.get_weights()[0])
    np.testing.assert_allclose(one([vector, seen])["code"], expected, rtol=1e-5)


# ---------------------------------------------------------------- nodes and edges


def test_an_item_is_joined_to_others_and_to_itself_where_it_is_known(begun, monkeypatch):
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    vectors = {
        modality: projected(begun, modality, inputs[:60])
        for modality, inputs in (("image", FEATURES), ("text", TEXTS))
    }
    unified = (vectors["image"] + vectors["text"]) / 2
    new, known = edges(begun, 0), edges(begun, 1)
    for modality, own in vectors.items():
        of_other_folds = new[modality][0]
        without = blended(of_other_folds, own, unified, 5, own=np.arange(60))
        np.testing.assert_allclose(new[modality][1], without, atol=1e-4)
        final_without = blended(own, own, unified, 5, own=np.arange(60))
        assert np.abs(without - final_without).max() > 0.01
        np.testing.assert_allclose(known[modality][1], blended(own, own, unified, 5), atol=1e-4)
        assert np.abs(new[modality][1] - known[modality][1]).max() > 0.01
        np.testing.assert_array_equal(known[modality][0], of_other_folds)
        np.testing.assert_allclose(np.square(of_other_folds).mean(axis=1), 1, rtol=1e-4)
    for part in (0, 1):
        of_pair = (known["image"][part] + known["text"][part]) / 2
        np.testing.assert_allclose(known["pair"][part], of_pair, atol=1e-6)


def test_the_edges_have_noise_of_variance_1(begun):
    found = edges(begun, 0, times=50)
    for kind, variance in (("image", 1), ("text", 1), ("pair", 0.5)):
        for part in found[kind]:
            spread = np.var(part.reshape(50, 60, -1), axis=0, ddof=1).mean()
            assert spread == pytest.approx(variance, rel=0.05)
    assert (edges(begun, 0, seed=2)["image"][0] != found["image"][0][:60]).all()


@pytest.mark.parametrize("changed", [3, 8])
def test_a_pair_has_no_part_in_how_its_own_fold_is_projected(begun, monkeypatch, changed):
    """Folds are every fifth position. Projections are turned as a whole, which leaves inner products."""
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    texts = PAIRS.texts.copy()
    texts[changed] = 1 - texts[changed]
    other = begun_of(pairs=dataclasses.replace(PAIRS, texts=texts))
    before, after = (edges(method, 0) for method in (begun, other))
    same = np.arange(60) != changed
    for fold in range(5):
        rows = np.arange(fold, 60, 5)
        images, words = (
            [found[modality][0][rows] for found in (before, after)] for modality in ("image", "text")
        )
        kept = same[rows]
        products = [
            (one @ one.T, one @ other[kept].T, other[kept] @ other[kept].T)
            for one, other in zip(images, words, strict=True)
        ]
        for one, two in zip(*products, strict=True):
            if fold == changed % 5:
                np.testing.assert_allclose(one, two, atol=1e-4)
            else:
                assert np.abs(one - two).max() > 1e-3


def test_vectors_of_training_items_are_those_of_the_other_folds(begun, monkeypatch):
    """Not of all pairs, which a new item's are; and nearly in its directions."""
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    found = edges(begun, 0)
    for modality, inputs in (("image", FEATURES), ("text", TEXTS)):
        own, whole = found[modality][0], projected(begun, modality, inputs[:60])
        assert np.abs(unit(own) - unit(whole)).max() > 0.05
        assert (unit(own) * unit(whole)).sum(axis=1).mean() > 0.8


@pytest.mark.parametrize("stride", [2, 3])
def test_of_many_pairs_some_are_nodes(monkeypatch, stride):
    monkeypatch.setattr(pair_graph, "NODES", -(-60 // stride))
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    method = begun_of()
    assert method.networks["pairs_image"].items == 60 // stride
    images, texts = projected(method, "image", FEATURES[:60]), projected(method, "text", TEXTS[:60])
    nodes, is_node = images[::stride], np.arange(60) % stride == 0
    own = np.where(is_node, np.arange(60) // stride, -1)
    values = ((images + texts) / 2)[::stride]
    (of_other_folds, new), (_, known) = (edges(method, number)["image"] for number in (0, 1))
    np.testing.assert_allclose(new, blended(of_other_folds, nodes, values, 5, own), atol=1e-4)
    np.testing.assert_allclose(known[is_node], blended(nodes, nodes, values, 5), atol=1e-4)
    np.testing.assert_array_equal((new == known).all(axis=1), ~is_node)
    positions = np.r_[TRAINED, np.full(20, -1)].astype(np.int32)
    with_own, without = (
        codes(encoders, FEATURES, TEXTS, *more)
        for encoders, more in ((method.encoders, ()), (method.encoders_without_own, (positions,)))
    )
    for kind in KINDS:
        changed = np.abs(with_own[kind] - without[kind]).max(axis=1) > 1e-6
        np.testing.assert_array_equal(changed[:60], is_node)
        assert not changed[60:].any()


def test_training_items_are_read_slice_by_slice(begun, monkeypatch):
    monkeypatch.setattr(pair_graph, "ROWS", 7)
    sliced = begun_of()
    for kind in ("image", "text"):
        inputs = FEATURES if kind == "image" else TEXTS
        np.testing.assert_allclose(projected(sliced, kind, inputs), projected(begun, kind, inputs), atol=1e-3)
        for known in (0, 1):
            for one, other in zip(edges(sliced, known)[kind], edges(begun, known)[kind], strict=True):
                np.testing.assert_allclose(one, other, atol=1e-2)


def test_an_item_has_at_most_all_others_as_neighbours_and_may_have_none(monkeypatch):
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    assert of_pairs(graph_neighbours=1000).networks["pairs_text"].count == 59
    assert not edges(begun_of(graph_neighbours=0), 1)["image"][1].any()


@uncompiled()
@pytest.mark.parametrize("count", [2, 11])
def test_very_few_pairs_train(count):
    few = dataclasses.replace(PAIRS, texts=PAIRS.texts[:count], labels=PAIRS.labels[:count])
    method = of_pairs(pairs=few, batch_size=count)
    assert np.isfinite(list(opened(method, "graph")(3).values())).all()
    assert np.isfinite(codes(method.encoders)["pair"]).all()


# ---------------------------------------------------------------- parts of texts


@pytest.mark.parametrize("positive", [False, True])
def test_a_text_is_drawn_as_some_of_its_parts_and_often_as_one(monkeypatch, positive):
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    pairs, own = with_parts(positive)
    method = begun_of(pairs=pairs)
    vectors, there = (part.numpy() for part in method._nodes._parts)
    wholes = method._nodes._vectors["text"].numpy()
    drawn = edges(method, 0, times=400)["text"][0].reshape(400, 60, -1)
    single, every = [], []
    for row in range(60):
        parts = vectors[row][there[row]]
        assert len(parts) == len(own[row])
        if not len(parts):
            expected = np.tile(scaled(wholes[[row]]), (400, 1))
            np.testing.assert_allclose(drawn[:, row], expected, atol=1e-4)
            continue
        # The mean of all parts is the whole text.
        np.testing.assert_allclose(parts.mean(axis=0), wholes[row], atol=1e-4)
        masks = np.array([mask for mask in itertools.product([0, 1], repeat=len(parts)) if any(mask)])
        means = scaled(masks @ parts / masks.sum(axis=1, keepdims=True))
        fits = np.isclose(drawn[:, row, None], means, atol=1e-4).all(axis=2)
        assert (fits.sum(axis=1) == 1).all()
        assert fits.any(axis=0).all()
        if len(parts) == 3:
            single.append(fits[:, masks.sum(axis=1) == 1].sum() / 400)
            every.append(fits[:, masks.sum(axis=1) == 3].sum() / 400)
    # Half are one part by rule; of the rest, two of three miss an even chance c with (1 - c)^2 (1 + 2c),
    # and none does with c^3.
    assert np.mean(single) == pytest.approx(3 / 4, abs=0.02)
    assert np.mean(every) == pytest.approx(1 / 8, abs=0.02)


def test_each_part_of_a_text_varies_by_itself():
    """The second moments of texts are the means over the parts, not of the means."""
    pairs, own = with_parts()
    method = begun_of(pairs=pairs)
    products = np.zeros((22, 22))
    for row in range(60):
        for part in own[row]:
            vector = pairs.parts.vectors[part].astype(float)
            products[12:, 12:] += np.outer(vector, vector) / len(own[row])
    whole = Moments.of(FEATURES[:60], pairs.texts[:60])
    products[:12], products[12:, :12] = whole.products[:12], whole.products[12:, :12]
    image, text = projections(whole._replace(products=products), 12, 256, pair_graph.RIDGE)
    for modality, expected, inputs in (("image", image, FEATURES), ("text", text, pairs.texts)):
        found = projected(method, modality, inputs)
        np.testing.assert_allclose(found @ found.T, expected(inputs) @ expected(inputs).T, atol=1e-3)


@uncompiled()
@pytest.mark.parametrize("of_new", [0, 2])
def test_texts_without_a_part_train(of_new):
    """No training text has a part, and each new one has so many."""
    starts = np.r_[np.zeros(60, int), of_new * np.arange(21)]
    columns = np.arange(20 * of_new, dtype=np.int32)
    vectors = np.random.default_rng(4).normal(size=(len(columns), 10)).astype(np.float32)
    texts = np.zeros((80, 10), np.float32)
    if of_new:
        texts[60:] = vectors.reshape(20, of_new, 10).mean(axis=1)
    parts = TextParts(vectors, [str(column) for column in columns], starts, columns)
    method = of_pairs(pairs=dataclasses.replace(PAIRS, texts=texts, parts=parts))
    assert np.isfinite(list(opened(method, "graph")(3).values())).all()
    projected_parts, there = (part.numpy() for part in method._nodes._parts)
    assert len(projected_parts) == len(there) == 60
    assert not projected_parts.any()
    assert not there.any()
    assert all(np.isfinite(code).all() for code in codes(method.encoders, FEATURES, texts).values())


def test_too_many_parts_for_the_memory_are_left_to_the_whole_texts(monkeypatch):
    monkeypatch.setattr(pair_graph, "PARTS_SIZE", 60 * 3 * 10 - 1)
    monkeypatch.setattr(pair_graph, "NOISE", 0.0)
    pairs, _ = with_parts()
    method = begun_of(pairs=pairs)
    one, other = (edges(method, 0, seed)["text"][0] for seed in (1, 2))
    np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------- encoders


def test_without_its_own_entry_a_training_item_is_coded_by_the_others_and_a_new_item_as_before(begun):
    positions = np.r_[TRAINED, np.full(len(NEW), -1)].astype(np.int32)
    with_own = codes(begun.encoders)
    without = codes(begun.encoders_without_own, FEATURES, TEXTS, positions)
    for kind in KINDS:
        np.testing.assert_array_equal(without[kind][60:], with_own[kind][60:])
        assert (np.abs(without[kind][:60] - with_own[kind][:60]).max(axis=1) > 1e-4).all()


COUNTS = np.random.default_rng(3).integers(0, 5, PAIRS.texts.shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("features", "texts", "rooted"),
    [
        (FEATURES, PAIRS.texts, (False, True)),
        (abs(FEATURES), COUNTS, (True, True)),
        (FEATURES, FEATURES[:, :9] @ np.eye(9, 30, dtype=np.float32), (False, False)),
        (abs(FEATURES), abs(FEATURES[:, :9]), (True, True)),
    ],
)
def test_encoders_by_hand(features, texts, rooted):
    """Features after a ReLU and words count something: of these, square roots are projected."""
    method = begun_of(pairs=dataclasses.replace(PAIRS, texts=texts), features=features)
    new = features - np.where(np.arange(80) == 70, 0.5, 0)[:, None].astype(np.float32)  # may fall below 0
    inputs = {"image": new, "text": texts.astype(np.float32)}
    inputs = {
        modality: np.sqrt(inputs[modality].clip(min=0)) if roots else inputs[modality]
        for modality, roots in zip(inputs, rooted, strict=True)
    }
    vectors = {modality: projected(method, modality, inputs[modality]) for modality in inputs}
    values = (vectors["image"] + vectors["text"])[:60] / 2
    passed_on = {modality: blended(own, own[:60], values, 5) for modality, own in vectors.items()}
    vectors = {modality: scaled(own) for modality, own in vectors.items()}
    for table in (vectors, passed_on):
        table["pair"] = (table["image"] + table["text"]) / 2
    found = codes(method.encoders, new, texts.astype(np.float32))
    for kind in KINDS:
        expected = method.networks["graph"]([vectors[kind], passed_on[kind]])["code"]
        np.testing.assert_allclose(found[kind], expected, atol=1e-4)


# ---------------------------------------------------------------- training


def related(kind: str):
    """Pairs whose features and texts, words or means of two parts, show the same six hidden numbers."""
    random = np.random.default_rng(2)
    hidden = random.normal(size=(80, 6))

    def shown(width: int) -> np.ndarray:
        noise = 0.2 * random.normal(size=(80, width))
        return (hidden @ random.normal(size=(6, width)) + noise).astype(np.float32)

    features, texts = shown(12), shown(40)
    if kind == "words":
        return dataclasses.replace(PAIRS, texts=(texts > 0.8).astype(np.uint8)), features
    vectors = unit(np.repeat(texts, 2, axis=0) + 0.5 * random.normal(size=(160, 40))).astype(np.float32)
    parts = TextParts(vectors, [""] * 160, 2 * np.arange(81), np.arange(160, dtype=np.int32))
    return dataclasses.replace(PAIRS, texts=vectors.reshape(80, 2, 40).mean(axis=1), parts=parts), features


@pytest.mark.parametrize("kind", ["words", "parts"])
def test_new_pictures_and_texts_find_their_own_halves(kind):
    pairs, features = related(kind)
    method = of_pairs(pairs=pairs, features=features, bit=32)
    graph = opened(method, "graph")
    first = graph(5)
    assert list(first) == ["I->T", "T->I", "I->pair", "T->pair"]
    graph(150)
    last = graph(5)
    assert all(last[name] < first[name] for name in first)
    found = {kind: np.sign(one[NEW]) for kind, one in codes(method.encoders, features, pairs.texts).items()}
    for query, other in (("image", "text"), ("text", "image"), ("image", "pair"), ("text", "pair")):
        near = found[query] @ found[other].T
        ranks = (near > np.diag(near)[:, None]).sum(axis=1)
        assert (ranks < 3).mean() > 0.7  # by chance .15


# ---------------------------------------------------------------- mixed with labels


@pytest.fixture(scope="module")
def mixed():
    """A method of both affinities, trained; with the losses of the first steps of the graph and the last."""
    method = of_pairs(affinity="both", graph_pairs=1.0)
    graph = opened(method, "graph")
    first = graph(5)
    graph(40)
    return method, first, graph(5)


def test_both_affinities_learn_labels_and_pairs(mixed):
    method, first, last = mixed
    assert method.chosen_by == ("mAP", "recall@10")
    for name in ("I->T", "T->I", "pair->pair", "pairs I->T", "pairs T->I", "pairs I->pair", "pairs T->pair"):
        assert last[name] < first[name], name
    inputs = {"image": FEATURES, "text": TEXTS, "pair": [FEATURES, TEXTS]}
    outputs = {kind: encoder(inputs[kind]) for kind, encoder in method.encoders.items()}
    for kind, output in outputs.items():
        assert (output["code"].shape, output["label"].shape) == ((80, 16), (80, PAIRS.labels.shape[1])), kind
    students = {kind: method.networks[kind](inputs[kind])["label"] for kind in ("image", "text")}
    for kind, label in students.items():
        np.testing.assert_allclose(outputs[kind]["label"], label, atol=1e-5)
    mean = (students["image"] + students["text"]) / 2
    np.testing.assert_allclose(outputs["pair"]["label"], mean, atol=1e-5)


@pytest.fixture(scope="module", params=["pairs", "both", "labels"])
def encoders(request):
    """Those of each affinity."""
    if request.param == "both":
        return request.getfixturevalue("mixed")[0].encoders
    method = request.getfixturevalue("begun") if request.param == "pairs" else begun_of(affinity="labels")
    return method.encoders


def test_a_code_depends_on_its_item_alone(encoders):
    whole = codes(encoders)
    for kind, inputs in (("image", FEATURES), ("text", TEXTS)):
        alone = infer(encoders[kind], slices(inputs, 1), "code")[0]
        np.testing.assert_allclose(alone, whole[kind], atol=1e-5)
    one = infer(encoders["pair"], ([FEATURES[[row]], TEXTS[[row]]] for row in range(80)), "code")[0]
    np.testing.assert_allclose(one, whole["pair"], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_encoder_gives_the_same_codes_and_brings_its_neighbours(encoders, tmp_path, kind):
    encoder = encoders[kind]
    encoder.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    inputs = {"image": FEATURES, "text": TEXTS, "pair": [FEATURES, TEXTS]}[kind]
    np.testing.assert_array_equal(again(inputs)["code"], encoder(inputs)["code"])


def test_codes_of_both_depend_on_the_edges_to_pairs(mixed):
    method, *_ = mixed
    before = codes(method.encoders)
    layer = method.networks["pairs_image"]
    kept = layer.values.numpy()
    layer._labels.assign(-kept)
    after = codes(method.encoders)
    layer._labels.assign(kept)
    np.testing.assert_array_equal(before["text"], after["text"])
    for kind in ("image", "pair"):
        assert np.abs(before[kind] - after[kind]).max() > 0.01


def test_both_leave_the_own_entry_out_of_labels_and_pairs(mixed):
    method, *_ = mixed
    positions = np.r_[TRAINED, np.full(len(NEW), -1)].astype(np.int32)
    networks, edges = method.networks, {}
    for modality, inputs in (("image", FEATURES), ("text", TEXTS)):
        student = networks[modality](inputs)
        vector = networks[f"canonical_{modality}"](inputs)
        labels = networks[f"neighbours_{modality}"](student["vector"], positions)
        pairs = networks[f"pairs_{modality}"](vector, positions)
        ridge = tf.clip_by_value(networks[f"regression_{modality}"](unit_length(inputs)), 0, 1)
        edges[modality] = student["label"], labels, ridge, tf.constant(scaled(vector.numpy())), pairs
    halves = zip(edges["image"], edges["text"], strict=True)
    edges["pair"] = tuple((image + text) / 2 for image, text in halves)
    found = codes(method.encoders_without_own, FEATURES, TEXTS, positions)
    for kind, (logits, *others) in edges.items():
        expected = networks[f"graph_{kind}"]([tf.sigmoid(logits), *others])["code"]
        np.testing.assert_allclose(found[kind], expected, atol=1e-3)


def test_labels_alone_have_no_edges_to_pairs():
    method = build(OF_GCH, affinity="labels")
    assert method.chosen_by == ("mAP",)
    assert not [name for name in method.networks if "pairs" in name or "canonical" in name]


def test_both_read_the_new_features_of_a_trained_backbone_as_the_graph_begins():
    method = of_pairs(affinity="both", pixels=True)
    pixels = PAIRS.pictures.read(np.arange(80))
    for factor in (1, -2):
        weight = method.backbone_weights[0]
        weight.assign(factor * weight)
        stage(method, "graph").begin()
        features = method.backbone(pixels).numpy()
        expected = projections(Moments.of(features[:60], TEXTS[:60]), 12, 256, pair_graph.RIDGE)[0](features)
        found = projected(method, "image", features)
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-2)
    relaxed = codes(method.encoders, pixels)
    assert relaxed["image"].shape == relaxed["pair"].shape == (80, 16)
