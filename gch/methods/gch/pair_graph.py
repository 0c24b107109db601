"""GCH over a graph of pairs: unified codes without labels.

graph       a graph network learns codes of pictures, texts and pairs in which a picture and its text meet

Without labels the affinity of items is that of their pictures and texts. Both are projected to a common
space (`gch.methods.gch.canonical`), and an item is joined to its nearest training pairs by the cosine there.
With its vector Z, scaled to a mean square of 1, its edges A to the training pairs, and their unified vectors
F, means of both halves as they were projected, its code is one graph convolution,

    tanh([Z, A F] W).

A code needs no other item of a batch, so a query can be encoded by itself. The Z and A F of a pair are the
means of those of both halves.

A training item is its own nearest neighbour, and the projections have seen that its halves belong together;
neither is so for a new item. So training items stand in for new ones: what the other folds of the training
set have learned projects them to Z, from which their neighbours are searched, without their own entry.
Queries always do. Items of the database do every other time, since a collection holds items of both kinds;
else the neighbours of those that are nodes are found by the projections of the whole training set, with their
own entry. Z is always that of the other folds.

The contrastive loss (van den Oord et al., 2018) has a query find its own other half among all that are drawn.
Part of what it should find are the halves of items that are near in both modalities, so that neighbours stay
near. Half of the loss compares relaxed codes, the other half relaxed codes with signs, as the search does.
"""

import functools
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from gch.methods.batch import draw_numbers, draw_uniform, sign
from gch.methods.gch.canonical import ROWS, Moments, Projection, projections, turned
from gch.methods.gch.neighbours import QUERIES, NeighbourLabels, blend, nearest, unit_length
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Losses, Method, Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import infer
from gch.settings import Settings

WIDTH, RIDGE, FOLDS = 256, 1.0, 5  # of the common space
NODES = 2**14  # most training pairs that items are joined to
DRAWN = 512  # items among which a query finds its other half, beside those of the batch
SCALE = 24.0  # sharpness of the softmax over codes
NEIGHBOURS_SHARE, NEIGHBOURS_SCALE = 0.1, 20.0  # of the target: its neighbours, and their sharpness
NOISE = 1.0  # its variance on Z, whose mean square is 1, and on A F of training items
PARTS_SIZE = 2**28  # most numbers of the vectors of all parts of texts
KINDS = {"image": ("image",), "text": ("text",), "pair": ("image", "text")}
# Whose codes find whose, and with which weight.
DIRECTIONS = {
    "I->T": ("image", "text", 1.0),
    "T->I": ("text", "image", 1.0),
    "I->pair": ("image", "pair", 0.5),
    "T->pair": ("text", "pair", 0.5),
}


def contrastive_loss(inner: tf.Tensor, targets: tf.Tensor, counted: tf.Tensor, scale: float) -> tf.Tensor:
    """Mean over B queries of the cross-entropy of finding the targets among M items, by a softmax.

    Args:
      inner: float (B, M), inner products of codes divided by their length, in [-1, 1].
      targets: float (B, M), of which each row sums to 1.
      counted: bool (B, M), False for an item that is left out, such as a second copy of the target.
      scale: sharpness of the softmax.
    """
    logits = tf.where(counted, scale * inner, -1e9)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def pair_graph_network(width: int, bits: int, seed: int) -> keras.Model:
    """[Z, A F] W, 2W -> K tanh: codes over the graph of pairs.

    Pictures, texts and pairs share it, as they share their space: it learns from all of them, and says more
    of new ones than a network for each.
    """
    vector = keras.Input((width,), name="vector")
    neighbours = keras.Input((width,), name="neighbours")
    edges = keras.layers.Concatenate(name="edges", dtype="float32")([vector, neighbours])
    start = keras.initializers.Orthogonal(seed=seed)
    # Without a bias, which would outweigh what little a rare word tells.
    layer = keras.layers.Dense(
        bits, "tanh", use_bias=False, kernel_initializer=start, name="code", dtype="float32"
    )
    return keras.Model([vector, neighbours], {"code": layer(edges)}, name="graph")


class PairNodes:
    """The training pairs as nodes, and the edges of items to them.

    `begin` sets what is constant during a stage: the projections, the nodes' vectors, and for each training
    item, as a new item would have them, its vector, which is Z before it is scaled, and the blend A F of its
    neighbours; and for each node, A F with its own entry.

    Attributes:
      width: of the common space, W.
      projections: by modality, the layer from inputs to vectors, not yet scaled to Z.
      neighbours: by modality, the layer from these vectors to A F.
    """

    def __init__(self, settings: Settings, items: TrainingItems, features: int):
        self._items, count = items, len(items)
        sizes = {"image": features, "text": items.texts.shape[1]}
        self.width = min(WIDTH, *sizes.values())
        # A part of a text is projected like the whole only where that is linear.
        self._rooted = {
            "image": items.images is not None and not items.trains_backbone and _counts(items.images),
            "text": items.text_parts is None and _counts(items.texts),
        }
        self._stride = -(-count // NODES)
        nodes = len(range(0, count, self._stride))
        self._nearest = min(settings.options.graph_neighbours, nodes - 1)
        self.projections = {
            modality: keras.layers.Dense(
                self.width, trainable=False, name=f"canonical_{modality}", dtype="float32"
            )
            for modality in sizes
        }
        for modality, layer in self.projections.items():
            layer.build((None, sizes[modality]))
        self.neighbours = {
            modality: NeighbourLabels(nodes, self.width, self.width, self._nearest, name=f"pairs_{modality}")
            for modality in sizes
        }
        for layer in self.neighbours.values():
            layer.trainable = False
        self._vectors = {modality: state(tf.zeros((count, self.width))) for modality in sizes}
        # Of item i as a new one; after all items, of the nodes with their own entries.
        self._blends = {modality: state(tf.zeros((count + nodes, self.width))) for modality in sizes}
        self._placed = False
        self._parts: tuple[tf.Variable, tf.Variable] | None = None
        if items.text_parts is not None:
            _, members = items.text_parts
            if members.size * self.width <= PARTS_SIZE:
                shape = (*members.shape, self.width)
                self._parts = state(tf.zeros(shape)), state(tf.constant(members >= 0))

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """All layers, by name."""
        return {layer.name: layer for part in (self.projections, self.neighbours) for layer in part.values()}

    def begin(self, images: np.ndarray | tf.Variable, fixed: bool) -> None:
        """Places the nodes, unless they are placed and the `images`, vectors (N, F), are `fixed`."""
        if self._placed and fixed:
            return
        total = len(self._items)
        # By position: training items are in no order. Few pairs have no folds.
        folds = FOLDS if total > 2 * FOLDS else 1
        final, own = self._projections(images, folds)
        vectors = [np.empty((total, self.width), np.float32) for _ in final]
        nodes: list[list[np.ndarray]] = [[], []]
        for positions, *halves in self._slices(images):
            for number, half in enumerate(halves):
                nodes[number].append(final[number](half[positions % self._stride == 0]))
                for fold, of_fold in enumerate(own):
                    rows = slice((fold - positions[0]) % folds, None, folds)
                    vectors[number][positions[rows]] = of_fold[number](half[rows])
        placed = [np.concatenate(parts) for parts in nodes]
        for number, modality in enumerate(self.projections):
            one = final[number]
            self.projections[modality].kernel.assign(one.matrix)
            self.projections[modality].bias.assign(-one.mean @ one.matrix)
            self.neighbours[modality].set_items(placed[number], (placed[0] + placed[1]) / 2)
            self._vectors[modality].assign(vectors[number])
            unit, units = unit_length(vectors[number]), unit_length(placed[number])
            new = self._blended(modality, unit, units, own=False)
            known = self._blended(modality, units, units, own=True)
            self._blends[modality].assign(np.concatenate([new, known]))
        if self._parts is not None:
            of_parts = np.zeros(self._parts[0].shape, np.float32)
            for fold, (_, of_texts) in enumerate(own):
                part = np.arange(fold, total, folds)
                of_parts[part] = self._of_parts(of_texts, part)
            self._parts[0].assign(of_parts)
        self._placed = True

    def _projections(
        self, images: np.ndarray | tf.Variable, folds: int
    ) -> tuple[Sequence[Projection], list[Sequence[Projection]]]:
        """The projections of pictures and texts by the whole training set, and for each fold by the others;
        of one fold, by itself.
        """
        moments = folds * [Moments(0, np.zeros(()), np.zeros(()))]
        for positions, *halves in self._slices(images):
            for fold in range(folds):
                rows = slice((fold - positions[0]) % folds, None, folds)
                found = self._moments(halves[0][rows], halves[1][rows], positions[rows])
                moments[fold] = moments[fold].with_all([found])
        whole, features = moments[0].with_all(moments[1:]), images.shape[1]
        final = projections(whole, features, self.width, RIDGE)
        if folds == 1:
            return final, [final]
        rests = [whole - moment for moment in moments]
        return final, [turned(projections(rest, features, self.width, RIDGE), final, rest) for rest in rests]

    def _slices(self, images: np.ndarray | tf.Variable) -> Iterator[tuple[np.ndarray, ...]]:
        """Positions (n,) of consecutive training pairs, and their vectors (n, F) and (n, D): together they
        would take the memory of large sets twice.
        """
        for start in range(0, len(self._items), ROWS):
            positions = np.arange(start, min(start + ROWS, len(self._items)))
            part = slice(start, start + ROWS)
            texts = tf.cast(self._items.texts[part], tf.float32)
            image = self._scaled("image", tf.convert_to_tensor(images[part]))
            yield positions, np.asarray(image), np.asarray(self._scaled("text", texts))

    def _moments(self, images: np.ndarray, texts: np.ndarray, part: np.ndarray) -> Moments:
        """The moments of the pairs (n, F) and (n, D) at the positions `part`; each word or caption of a text
        varies by itself, as a query has one or a few of them.
        """
        whole = Moments.of(images, texts)
        if self._parts is None or self._items.text_parts is None:
            return whole
        table, members = self._items.text_parts
        rows, _ = np.nonzero(members[part] >= 0)
        weights = 1 / np.bincount(rows, minlength=len(part)).clip(min=1)[rows]
        own = table[members[part][members[part] >= 0]]
        side = slice(images.shape[1], None)
        products = whole.products.copy()
        products[side, side] = (own * weights[:, None].astype(np.float32)).T @ own
        return whole._replace(products=products)

    def _scaled(self, modality: str, vectors):
        """Square roots of what counts something, features after a ReLU or words: large values weigh less."""
        return keras.ops.sqrt(keras.ops.relu(vectors)) if self._rooted[modality] else vectors

    def _of_parts(self, projection: Projection, part: np.ndarray) -> np.ndarray:
        """Vectors (n, m, W) of the parts of the texts of items at the positions `part`; zeros for -1."""
        assert self._items.text_parts is not None
        table, members = self._items.text_parts
        vectors = projection(np.asarray(self._scaled("text", table)))
        return np.pad(vectors, ((0, 1), (0, 0)))[members[part]]  # the last row for -1

    def _blended(self, modality: str, unit: np.ndarray, nodes: np.ndarray, *, own: bool) -> np.ndarray:
        """A F, float32 (n, W), of vectors (n, W) to nodes (M, W), all of length 1.

        With their `own` entries, if they have any among the nodes; without, the vectors are those of all
        training items, in order.
        """
        layer, nodes = self.neighbours[modality], tf.constant(nodes)

        @tf.function(autograph=False, reduce_retracing=True)
        def search(part, left_out):
            found = nearest(part, nodes, self._nearest, own=left_out, own_score=-2.0)
            values = tf.gather(layer.values, found.positions)
            return blend(values, found.cosines, layer.sharpness)

        blends = []
        for start in range(0, len(unit), QUERIES):
            positions = np.arange(start, min(start + QUERIES, len(unit)))
            node = np.where(own | (positions % self._stride > 0), -1, positions // self._stride)
            blends.append(search(tf.constant(unit[positions]), tf.constant(node, tf.int32)).numpy())
        return np.concatenate(blends)

    def edges(
        self, batch: Batch, positions: tf.Tensor, known: tf.Tensor
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Z and A F, both (M, W), of the items at `positions` (M,), by kind, with noise; for those that are
        `known`, int (M,) of 0 and 1, A F has their own entries among the neighbours.
        """
        found, as_node = {}, (known > 0) & (positions % self._stride == 0)
        rows = tf.where(as_node, len(self._items) + positions // self._stride, positions)
        for stream, modality in enumerate(self.projections, start=1):
            vectors = tf.gather(self._vectors[modality], positions)
            if modality == "text" and self._parts is not None:
                vectors = self._some_parts(batch, positions)
            vectors = tf.math.l2_normalize(vectors, axis=1) * self.width**0.5
            blends = tf.gather(self._blends[modality], rows)
            size = (2, *vectors.shape)
            noise = NOISE * 12**0.5 * (draw_uniform(batch.positions, stream, size) - 0.5)
            found[modality] = vectors + noise[0], blends + noise[1]
        (images, seen), (texts, read) = found["image"], found["text"]
        return found | {"pair": ((images + texts) / 2, (seen + read) / 2)}

    def drawn(self, batch: Batch) -> tuple[tf.Tensor, dict[str, tuple[tf.Tensor, tf.Tensor]]]:
        """Positions (M,) of a database, the batch and others, and the `edges` of the batch and of it."""
        queries = batch.positions
        others = draw_numbers(queries, 0, DRAWN, below=len(self._items))
        database = tf.concat([queries, others], axis=0)
        known = tf.cast(draw_numbers(queries, 5, database.shape[0], below=2), queries.dtype)
        known = tf.concat([tf.zeros_like(queries), known], axis=0)
        return database, self.edges(batch, tf.concat([queries, database], axis=0), known)

    def _some_parts(self, batch: Batch, positions: tf.Tensor) -> tf.Tensor:
        """Means of some of the words or captions of the texts, (M, W), not yet scaled: of one for half of the
        items, as a query has few; of another item, each further one counts by a chance drawn from 0 to 1.
        """
        assert self._parts is not None
        vectors, there = (tf.gather(part, positions) for part in self._parts)
        shape = tuple(there.shape)
        chance = 2 * draw_uniform(batch.positions, 3, (shape[0], 1)) - 1
        order = tf.where(there, draw_uniform(batch.positions, 4, shape), 2.0)
        # The first of a random order is always there; each other one by the chance of its item.
        chosen = there & ((order < chance) | (order == tf.reduce_min(order, axis=1, keepdims=True)))
        weights = tf.cast(chosen, tf.float32)
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        means = tf.einsum("nm,nmw->nw", weights, vectors) / tf.maximum(total, 1)
        return tf.where(total > 0, means, tf.gather(self._vectors["text"], positions))

    def affinity(self, positions: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Mean cosine of the halves of training pairs and of their neighbours, (B, M), in [-1, 1]."""
        tables = [*self._vectors.values(), *self._blends.values()]

        def joined(places: tf.Tensor) -> tf.Tensor:
            parts = [tf.math.l2_normalize(tf.gather(table, places), axis=1) for table in tables]
            return tf.concat(parts, axis=1)

        return tf.matmul(joined(positions), joined(others), transpose_b=True) / len(tables)

    def inputs(self, vectors: Sequence, graph: str, *own) -> list:
        """Z and A F for the network `graph`, from Keras tensors: the vectors (B, F) and (B, D) of its halves;
        and the position of each item, int32 (B,), whose entry is left out, or none.
        """
        halves = KINDS[graph.removeprefix("graph_")]
        vectors = [
            self.projections[half](self._scaled(half, one)) for half, one in zip(halves, vectors, strict=True)
        ]
        equal = keras.ops.equal  # of Keras tensors, == compares the objects
        places = [keras.ops.where(equal(one % self._stride, 0), one // self._stride, -1) for one in own]
        blends = [
            self.neighbours[half](vector, *places) for half, vector in zip(halves, vectors, strict=True)
        ]
        scale = keras.layers.Rescaling(self.width**0.5, dtype="float32")
        vectors = [scale(keras.layers.UnitNormalization(dtype="float32")(vector)) for vector in vectors]
        if len(halves) == 1:
            return [vectors[0], blends[0]]
        average = functools.partial(keras.layers.Average, dtype="float32")
        return [average(name="pair_vector")(vectors), average(name="pair_neighbours")(blends)]


def _counts(table: tf.Variable) -> bool:
    """Whether no entry of a table is negative."""
    return bool(tf.reduce_min(table) >= 0)


def contrastive_losses(
    nodes: PairNodes, batch: Batch, database: tf.Tensor, codes: dict[str, tf.Tensor]
) -> Losses:
    """The contrastive loss by direction: queries, the batch, find their other halves among the items of a
    database, positions (M,), of which the first B are their own. `codes` are relaxed ones of both by kind,
    (B + M, K).
    """
    count = batch.positions.shape[0]
    itself = batch.positions[:, None] == database
    own = tf.eye(count, database.shape[0])
    counted = ~itself | (own > 0)
    near = tf.where(itself, -1e9, NEIGHBOURS_SCALE * nodes.affinity(batch.positions, database))
    targets = (1 - NEIGHBOURS_SHARE) * own + NEIGHBOURS_SHARE * tf.nn.softmax(near)

    def found(query: str, other: str) -> tf.Tensor:
        mine, others = codes[query][:count], codes[other][count:]
        signs = others + tf.stop_gradient(sign(others) - others)
        inner = [tf.matmul(mine, them, transpose_b=True) / mine.shape[1] for them in (others, signs)]
        return tf.add_n([contrastive_loss(one, targets, counted, SCALE) for one in inner]) / 2

    return {name: share * found(query, other) for name, (query, other, share) in DIRECTIONS.items()}


def encoder_model(name: str, inputs: list, outputs: dict, with_own: bool) -> keras.Model:
    """A model of Keras tensors, with or without training items' own entries, which its name says."""
    name = name if with_own else f"{name}_without_own"
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name=name)


class PairGraphGCH(Method):
    """GCH with the graph of pairs."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own, self.chosen_by = self.own, ("recall@10",)
        self._nodes = PairNodes(settings, items, self.feature_size)
        self._graph = pair_graph_network(self._nodes.width, settings.bit, settings.seed)
        self.encoders, self.encoders_without_own = (
            {kind: self._encoder(kind, with_own) for kind in KINDS} for with_own in (True, False)
        )
        self.networks = {"graph": self._graph} | self._nodes.layers
        update = self.adam("graph", self._loss, self._graph.trainable_variables, own.lr_gph)
        self.stages = (Stage("graph", own.k_gph * own.MAX_ITER, self._forward, (update,), begin=self._begin),)

    def _encoder(self, kind: str, with_own: bool) -> keras.Model:
        shapes = {"image": self.feature_size, "text": self.items.texts.shape[1]}
        inputs = [keras.Input((shapes[half],), name=half) for half in KINDS[kind]]
        own = [] if with_own else [keras.Input((), dtype="int32", name="positions")]
        code = self._graph(self._nodes.inputs(inputs, kind, *own))
        return encoder_model(f"encoder_{kind}", [*inputs, *own], dict(code), with_own)

    def _begin(self) -> None:
        self._nodes.begin(image_vectors(self.items, self.backbone), self.backbone is None)

    def _forward(self, batch: Batch) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Positions (M,) of the database, and relaxed codes (B + M, K), by kind, of the batch and of it."""
        database, edges = self._nodes.drawn(batch)
        return database, {kind: self._graph(list(edges[kind]), training=True)["code"] for kind in KINDS}

    def _loss(self, batch: Batch, outputs: tuple[tf.Tensor, dict[str, tf.Tensor]]) -> Losses:
        return contrastive_losses(self._nodes, batch, *outputs)


def image_vectors(items: TrainingItems, backbone: keras.Model | None) -> np.ndarray | tf.Variable:
    """The vectors (N, F) of all training pictures: their features, or a trained backbone's."""
    if backbone is not None:
        return infer(backbone, items.inputs("image"))[0]
    assert items.images is not None
    return items.images
