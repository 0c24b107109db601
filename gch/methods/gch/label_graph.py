"""GCH over a graph of items and labels: unified codes, learned by a ranking loss, on the students' labels.

label, text, image as in `gch.methods.gch.students`
graph       graph networks of pictures, texts and pairs learn codes from an item's edges to the labels

An item is joined to labels by three kinds of edge: by the probabilities that its student gives them, by way
of its nearest training items, whose labels are known (`gch.methods.gch.neighbours`), and by what a linear
regression predicts (`gch.methods.gch.regression`). Two such edges that meet in a label are the paper's
affinity A = L L^T; a single edge needs no other item of a batch, so the code of an item depends on that item
alone, and a query can be encoded by itself. A pair has the edges of both of its halves, and one unified code
from them. What the three predict together (`gch.methods.gch.stacking`) takes the place of the student's
probabilities, unless `graph_stacking` is off.

A training item is its own nearest neighbour, and its student and the regression have seen it; none of this is
so for a new item. So training items stand in for new ones: their neighbours are the others, the regression is
one on all others, and their student is under dropout. Queries always do, items of the database every other
time, since a retrieval set holds items of both kinds. Half of the texts that stand in have lost some of their
words, as people search by few. Noise on all edges, most on the student's, which is still surer of what it has
learned than of new items, keeps the networks from learning them by heart.

Labels of the training items say little about new ones that the student is unsure of. So the ranking loss
counts an item as relevant by the mean of its true similarity and the one expected by the predicted labels of
whole items.

With affinity 'both', items are also joined to training pairs, and the loss of `gch.methods.gch.pair_graph` is
added, so that codes know groups and things.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.special import expit

from gch.methods.batch import draw_numbers, draw_uniform, similarity
from gch.methods.gch.neighbours import SHARPNESS as AT_FIRST
from gch.methods.gch.neighbours import NeighbourLabels, blend, nearest_others, unit_length
from gch.methods.gch.networks import block
from gch.methods.gch.pair_graph import KINDS, PairNodes, contrastive_losses, encoder_model, image_vectors
from gch.methods.gch.ranking import average_precision_loss, expected_similarity, imbalance
from gch.methods.gch.regression import ridge_regression
from gch.methods.gch.stacking import Stacked
from gch.methods.gch.students import Students, squared_error
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Losses, Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, infer_under_dropout, slices
from gch.networks.parts import dense
from gch.settings import Settings

DATABASE = 512  # items that a query ranks in a step
DROPOUT_DRAWS = 4
RANKING_BINS = 17  # of the relaxed histogram of distances; codes of 16 bits have as many
WIDTH = 256
SHARPNESS = 4.0
EDGES = ("probabilities", "neighbours", "regression")
NOISE = (0.1, 0.05, 0.05)  # standard deviations on them
UNIFIED = {"I->pair": "image", "T->pair": "text", "pair->pair": "pair"}  # queries of unified codes
UNIFIED_WEIGHT = 2 / 3


def label_graph_network(
    labels: int,
    bits: int,
    start: str,
    name: str,
    pairs: int = 0,
    kinds: Sequence[str] = EDGES,
    stacked: bool = False,
) -> keras.Model:
    """3C -> 256 -> 256, each with batch norm and leaky ReLU; 256 -> K tanh: codes over items and labels.

    The first layer is the graph convolution [P, A L, R] Z: an item is joined to the labels by their
    probabilities P (B, C), by way of its neighbours, A (B, N), to the labels L (N, C) of those, and by the
    regression R (B, C), or by some of the `kinds` alone. Z (3C, 256) are the features of the label nodes, one
    set for each kind of edge. If they are `stacked`, what all predict together takes the place of P. With
    `pairs`, the width of their common space, the last layer also reads an item's edges to training pairs,
    `pair_graph`'s Z and A F.
    """
    inputs = [keras.Input((labels,), name=kind) for kind in kinds]
    # float32 under every precision: it is small, and a CPU has no float16 for its batches.
    first = Stacked(len(kinds), name="stacked")(inputs) if stacked else inputs[0]
    edges = keras.layers.Concatenate(name="edges", dtype="float32")([first, *inputs[1:]])
    hidden = block(edges, WIDTH, start, "convolution", "float32")
    hidden = block(hidden, WIDTH, start, "hidden", "float32")
    if pairs:
        to_pairs = [keras.Input((pairs,), name=name) for name in ("vector", "pair_neighbours")]
        hidden = keras.layers.Concatenate(name="with_pairs", dtype="float32")([hidden, *to_pairs])
        inputs += to_pairs
    code = dense(hidden, bits, start, "code_dense", dtype="float32")
    # Scaled, so that relaxed codes are nearly signs from the start: evaluation ranks by signs.
    code = keras.layers.Rescaling(SHARPNESS, name="sharpened", dtype="float32")(code)
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    return keras.Model(inputs, {"code": code}, name=name)


def encoder(
    nodes: Sequence["Nodes"], graph: keras.Model, pairs: PairNodes | None = None, *, own: bool
) -> keras.Model:
    """From the inputs of one student, or of both, to the graph network's `code` (B, K) and `label` logits
    (B, C), the students' mean.

    Without `own` the encoder takes one more input, the position (B,) of each item among the training items,
    or -1, and leaves that neighbour out.
    """
    inputs = [one.student.input for one in nodes]
    positions = [] if own else [keras.Input((), dtype="int32", name="positions")]
    outputs = [one.student(one.student.input) for one in nodes]
    halves = [
        [output["label"], *one.links(output["vector"], *positions)]
        for one, output in zip(nodes, outputs, strict=True)
    ]
    logits, *edges = halves[0]
    if len(halves) > 1:
        average = functools.partial(keras.layers.Average, dtype="float32")
        names = ("label", *EDGES[1:])
        logits, *edges = (average(name=name)(parts) for name, *parts in zip(names, *halves, strict=False))
    edges = [keras.layers.Activation("sigmoid", name="probabilities", dtype="float32")(logits), *edges]
    if pairs:
        edges += pairs.inputs([output["vector"] for output in outputs], graph.name, *positions)
    name = graph.name.replace("graph", "encoder")
    return encoder_model(name, [*inputs, *positions], {"code": graph(edges)["code"], "label": logits}, own)


class Coded(NamedTuple):
    """Items in a step: the probabilities (M, C) of labels by the whole of them, and the relaxed codes (M, K)
    of what the graph networks see of them.
    """

    probabilities: tf.Tensor
    codes: tf.Tensor


class LabelGraphGCH(Students):
    """GCH with the graph of items and labels."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own, shape = self.own, (items.labels.shape[1], settings.bit, settings.start)
        self._nodes = {
            modality: Nodes(student, modality, settings, items) for modality, student in self.encoders.items()
        }
        self._pairs = PairNodes(settings, items, self.feature_size) if own.affinity == "both" else None
        self.chosen_by = ("mAP", "recall@10") if self._pairs else ("mAP",)
        width = self._pairs.width if self._pairs else 0
        kinds = EDGES if own.graph_regression else EDGES[:2]
        self._graphs = {
            kind: label_graph_network(*shape, f"graph_{kind}", width, kinds, own.graph_stacking)
            for kind in KINDS
        }
        self.encoders, self.encoders_without_own = (
            {
                kind: encoder(
                    [self._nodes[half] for half in halves], self._graphs[kind], self._pairs, own=own_too
                )
                for kind, halves in KINDS.items()
            }
            for own_too in (True, False)
        )
        parts = {network.name: network for network in self._graphs.values()}
        parts |= {layer.name: layer for nodes in self._nodes.values() for layer in nodes.layers}
        self.networks |= parts | (self._pairs.layers if self._pairs else {})
        trains = [weight for part in parts.values() for weight in part.trainable_variables]
        ranking = Stage(
            "graph",
            own.k_gph * own.MAX_ITER,
            self._forward,
            (self.adam("graph", self._loss, trains, own.lr_gph),),
            begin=self._begin,
        )
        self.stages = (*self.first_half(own.k_txt, own.k_img), ranking)

    def _begin(self) -> None:
        for modality, nodes in self._nodes.items():
            nodes.begin(modality == "text" or self.backbone is None)
        if self.own.graph_stacking and self.items.held_out:
            held_out = self.items.held_out()
            edges = {kind: nodes.edges_of(held_out.inputs(kind)) for kind, nodes in self._nodes.items()}
            for kind, (logits, *others) in _with_pairs(edges).items():
                self._stacked(kind).fit([expit(logits), *others], held_out.labels.numpy())
        if self._pairs:
            self._pairs.begin(image_vectors(self.items, self.backbone), self.backbone is None)

    def _stacked(self, kind: str) -> Stacked:
        return self._graphs[kind].get_layer("stacked")

    def _forward(self, batch: Batch) -> tuple[tf.Tensor, dict[str, Coded]]:
        """Positions (M,) of the database drawn for the batch, which are the queries; and of both, queries
        first, probabilities (B + M, C) and relaxed codes (B + M, K), as 'image', 'text' and 'pair'.
        """
        queries = batch.positions
        database = draw_numbers(queries, 0, DATABASE, below=len(self.items))
        if self._pairs:  # a query's own half is to be found
            database = tf.concat([queries, database], axis=0)
        positions = tf.concat([queries, database], axis=0)
        known = tf.cast(draw_numbers(queries, 1, database.shape[0], below=2), tf.bool)
        known = tf.concat([tf.zeros_like(queries, tf.bool), known], axis=0)
        draw = draw_numbers(queries, 2, positions.shape[0], below=DROPOUT_DRAWS)

        def edges_of(whole: bool) -> dict[str, list[tf.Tensor]]:
            found = {kind: nodes.edges(positions, known, draw, whole) for kind, nodes in self._nodes.items()}
            return _with_pairs(found)

        # What a few words should find is what their whole text would.
        edges, whole = edges_of(whole=False), edges_of(whole=True)
        of_pairs = {}
        if self._pairs:
            of_pairs = self._pairs.edges(batch, positions, tf.cast(known, queries.dtype))

        def coded(stream: int, kind: str) -> Coded:
            of_student, *others = edges[kind]
            taken = [tf.sigmoid(of_student), *others]
            if self.own.graph_regression:
                uniform = 12**0.5 * (draw_uniform(queries, stream, (len(taken), *of_student.shape)) - 0.5)
                taken = tf.unstack(tf.stack(taken) + tf.reshape(NOISE, (-1, 1, 1)) * uniform)
            taken += of_pairs.get(kind, ())
            logits, *others = whole[kind]
            expected = tf.sigmoid(logits)
            if self.own.graph_stacking:
                expected = tf.stop_gradient(self._stacked(kind)([expected, *others]))
            return Coded(expected, self._graphs[kind](taken, training=True)["code"])

        return database, {kind: coded(stream, kind) for stream, kind in enumerate(edges, start=6)}

    def _loss(self, batch: Batch, outputs: tuple[tf.Tensor, dict[str, Coded]]) -> Losses:
        """Every query ranks the same database: its items of the other modality, and its pairs."""
        own, (database, coded) = self.own, outputs
        count, bits = batch.positions.shape[0], self.settings.bit
        similar = similarity(self.labels(batch), tf.gather(self.items.labels, database))
        counted = tf.cast(batch.positions[:, None] != database[None, :], tf.float32)

        def ranking(query: str, other: str) -> tf.Tensor:
            (p, code), (q, others) = coded[query], coded[other]
            expected = expected_similarity(p[:count], q[count:])
            relevant = (1 - own.graph_expected) * similar + own.graph_expected * expected
            inner = tf.matmul(code[:count], others[count:], transpose_b=True) / bits
            return average_precision_loss(inner, relevant, counted, RANKING_BINS)

        from_text = own.graph_text_queries
        image, text = coded["image"].codes[count:], coded["text"].codes[count:]
        losses = {
            "I->T": 2 / (1 + from_text) * ranking("image", "text"),
            "T->I": 2 * from_text / (1 + from_text) * ranking("text", "image"),
        }
        losses |= {direction: UNIFIED_WEIGHT * ranking(query, "pair") for direction, query in UNIFIED.items()}
        if self._pairs:
            codes = {kind: one.codes for kind, one in coded.items()}
            found = contrastive_losses(self._pairs, batch, database, codes)
            losses |= {f"pairs {direction}": own.graph_pairs * loss for direction, loss in found.items()}
        if own.graph_balance:
            losses["balance"] = own.graph_balance * (imbalance(image) + imbalance(text))
        if own.graph_agreement:
            losses["agreement"] = own.graph_agreement * squared_error(image, text)
        return losses


def _with_pairs(edges: dict[str, list]) -> dict[str, list]:
    """The edges of pictures and texts, and as 'pair' their means."""
    return edges | {"pair": [(one + other) / 2 for one, other in zip(*edges.values(), strict=True)]}


class Nodes:
    """The training items as nodes of one modality, with the constants of the stage: the `student`, and what
    items see of them, the `layer` of the neighbours' labels and the regression. Both are in `layers`.
    """

    def __init__(self, student: keras.Model, modality: str, settings: Settings, items: TrainingItems):
        count, classes = items.labels.shape
        neighbours = min(settings.options.graph_neighbours, count - 1)
        self.student = student
        self._items, self._modality, self._seed = items, modality, settings.seed
        features, name = student.output["vector"].shape[-1], f"neighbours_{modality}"
        self.layer = NeighbourLabels(count, features, classes, neighbours, name=name)
        self.layers: list[keras.layers.Layer] = [self.layer]
        self._regression: keras.layers.Dense | None = None
        # Views of an item: the whole of it, and parts of its text.
        self._views = 2 if modality == "text" and items.has_text_parts else 1
        if settings.options.graph_regression:
            name = f"regression_{modality}"
            self._regression = keras.layers.Dense(classes, trainable=False, name=name, dtype="float32")
            self._regression.build((None, features))
            self.layers.append(self._regression)
            # By the regression on all items; then, view by view, by that on all others.
            self._regressed = state(tf.zeros(((1 + self._views) * count, classes)))
        self._logits = state(tf.zeros(((1 + DROPOUT_DRAWS) * count, classes)))  # known, then draw by draw
        # View by view, each item itself, then its nearest others. int64: TensorFlow keeps int32 variables on
        # the host.
        self._nearest = state(tf.zeros((self._views * count, 1 + neighbours), tf.int64))
        self._cosines = state(tf.zeros((self._views * count, 1 + neighbours)))
        self._placed = False

    def begin(self, fixed: bool) -> None:
        """Sets the student's logits, and the other edges unless they are set and the student's inputs are
        `fixed`.
        """
        inputs = functools.partial(self._items.inputs, self._modality)
        logits, vectors = infer(self.student, inputs(), "label", "vector")
        partial = functools.partial(self._items.partial_texts, self._seed)
        draws = [inputs() if draw % self._views == 0 else partial() for draw in range(DROPOUT_DRAWS)]
        unsure = infer_under_dropout(self.student, draws, "label")
        self._logits.assign(np.concatenate([logits, *unsure]))
        if fixed and self._placed:
            return
        views = [np.concatenate(list(partial()))] if self._views > 1 else []
        found = [nearest_others(vectors, self.layer.count, view) for view in (None, *views)]
        for table, parts in zip((self._nearest, self._cosines), zip(*found, strict=True), strict=True):
            table.assign(np.concatenate(parts))
        self.layer.set_items(vectors, self._items.labels)
        if self._regression:
            # A query of one word weighs as much as a long text.
            unit, *views = (unit_length(one) for one in (vectors, *views))
            ridge = ridge_regression(unit, self._items.labels.numpy(), *views)
            self._regression.kernel.assign(ridge.kernel)
            self._regression.bias.assign(ridge.bias)
            fitted = unit @ ridge.kernel.astype(np.float32) + ridge.bias.astype(np.float32)
            self._regressed.assign(np.concatenate([fitted, *ridge.left_out]).clip(0, 1))
        self._placed = True

    def links(self, vectors, *own, sharpness: tf.Tensor | None = None) -> list:
        """The edges but for the student's, Keras tensors (B, C), of vectors (B, F), without the entries of
        the training items at the positions `own`, int32 (B,); for `sharpness`, see `blend`.
        """
        found = [self.layer(vectors, *own, sharpness=sharpness)]
        if self._regression:
            unit = keras.layers.UnitNormalization(dtype="float32")(vectors)
            found.append(keras.layers.ReLU(1.0, dtype="float32")(self._regression(unit)))
        return found

    def edges_of(self, inputs: Iterator[tf.Tensor]) -> list[np.ndarray]:
        """Logits of the labels, the labels that neighbours pass on, and those of the regression, each (M, C),
        of new items, from the inputs of the student. Neighbours count as when training begins.
        """
        logits, vectors = infer(self.student, inputs, "label", "vector")
        links = [self.links(part, sharpness=tf.constant(AT_FIRST)) for part in slices(vectors, VECTOR_BATCH)]
        return [logits, *map(np.concatenate, zip(*links, strict=True))]

    def edges(self, positions: tf.Tensor, known: tf.Tensor, draw: tf.Tensor, whole: bool) -> list[tf.Tensor]:
        """The same of training items that are `known`, bool (M,), or stand in for new ones, with a dropout
        draw; of `whole` items, or of the view that belongs to the draw.
        """
        draw = draw - draw % self._views if whole else draw
        count, view = self.layer.items, draw % self._views

        def of_kind(table: tf.Variable) -> tf.Tensor:
            rows = tf.gather(table, positions + count * tf.where(known, 0, view))
            return tf.where(known[:, None], rows[:, :-1], rows[:, 1:])

        logits = tf.gather(self._logits, positions + count * tf.where(known, 0, 1 + draw))
        labels = blend(
            tf.gather(self._items.labels, of_kind(self._nearest)),
            of_kind(self._cosines),
            self.layer.sharpness,
        )
        found = [logits, labels]
        if self._regression:
            found.append(tf.gather(self._regressed, positions + count * tf.where(known, 0, 1 + view)))
        return found
