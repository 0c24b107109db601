"""GCH over a graph of items and labels: unified codes, learned by ranking, on top of the students' labels.

label, text, image as of `gch.methods.gch.students`
graph       graph networks of both modalities learn codes from what ties an item to the labels

An item is tied to labels in two ways: by the probabilities that its student gives them, and by way of its
nearest training items, whose labels are known (`gch.methods.gch.neighbours`). Two such ways that meet in a
label are the paper's affinity A = L L^T; a single way needs no other item of a batch, so the code of an item
depends on that item alone, and a query can be encoded by itself.

A training item is its own nearest neighbour, and its student has seen it; a new item is neither. So training
items play new ones: their neighbours are the others, and their student is under dropout. Queries always do,
the items that answer them every other time, as a retrieval set holds items of both kinds.
"""

import keras
import numpy as np
import tensorflow as tf

from gch.methods.batch import draw_numbers, draw_positions, similarity
from gch.methods.gch.neighbours import NeighbourLabels, blend, nearest_others
from gch.methods.gch.networks import block
from gch.methods.gch.students import Students, squared_error
from gch.methods.items import TrainingItems
from gch.methods.stage import Batch, Losses, Stage, state
from gch.networks.backbone import Backbone
from gch.networks.inference import infer, infer_under_dropout
from gch.networks.parts import dense
from gch.settings import Settings

ANSWERS = 512  # items that are ranked in a step
DROPOUT_DRAWS = 4
RANKING_BINS = 17  # of the relaxed histogram of distances; codes of 16 bits have as many
WIDTH = 256
SHARPNESS = 4.0

# ---------------------------------------------------------------- losses


def average_precision_loss(inner: tf.Tensor, similar: tf.Tensor, counted: tf.Tensor, bins: int) -> tf.Tensor:
    """1 - AP of the ranking of M items for each of B queries, relaxed so that it has a gradient.

    The distances fall into a histogram whose neighbouring bins share an item linearly. With h, h+ the items
    and the similar items of a bin and H, H+ those of all nearer bins,

        AP = 1 / N+ sum over bins of h+ (H+ + (h+ + 1) / 2) / (H + (h + 1) / 2).

    Ranks start at 1, so a tie of h items has its middle at H + (h + 1) / 2 (He, Cakir, Bargal and Sclaroff,
    CVPR 2018; the relaxation: Cakir, He, Xia, Kulis and Sclaroff, CVPR 2019).

    Args:
      inner: float (B, M), inner products of relaxed codes divided by their length, in [-1, 1].
      similar: float (B, M), 1 for similar pairs, else 0.
      counted: float (B, M), 0 for a pair that is left out, such as an item with itself, else 1.
      bins: number of bins, at least 2.

    Returns:
      Float scalar in [0, 1], the mean over the queries; one without a similar item counts 1.
    """
    distance = (1 - inner) / 2 * (bins - 1)
    share = tf.nn.relu(1 - tf.abs(distance[:, :, None] - tf.range(bins, dtype=distance.dtype)))
    # One product for both histograms: a third faster than two sums over (B, M, bins).
    items, relevant = tf.unstack(tf.matmul(tf.stack([counted, counted * similar], axis=1), share), axis=1)
    ranked = tf.cumsum(items, axis=1) + (1 - items) / 2
    found = tf.cumsum(relevant, axis=1) + (1 - relevant) / 2
    gained = tf.reduce_sum(relevant * found / ranked, axis=1)
    return 1 - tf.reduce_mean(tf.math.divide_no_nan(gained, tf.reduce_sum(relevant, axis=1)))


def imbalance(codes: tf.Tensor) -> tf.Tensor:
    """Mean over the bits of |mean over the items|, in [0, 1]; 0 where every bit is +1 for half of the items.

    Args:
      codes: float (B, K), relaxed codes.
    """
    return tf.reduce_mean(tf.abs(tf.reduce_mean(codes, axis=0)))


# ---------------------------------------------------------------- networks


def label_graph_network(labels: int, bits: int, start: str, name: str) -> keras.Model:
    """2C -> 256 -> 256, each with batch norm and leaky ReLU; 256 -> K tanh: codes over items and labels.

    The first layer is the graph convolution [P, A L] Z: an item is tied to the labels by their probabilities
    P (B, C), and by way of its neighbours, A (B, N), to the labels L (N, C) of those. Z (2C, 256) are the
    features of the label nodes, one set for each kind of tie.

    Args:
      labels: number of labels C.
      bits: length of a code K.
      start: 'glorot' or 'normal'.
      name: of the model.
    """
    probabilities = keras.Input((labels,), name="probabilities")
    neighbours = keras.Input((labels,), name="neighbours")
    # float32 under every precision: it is small, and a CPU has no float16 for its batches.
    ties = keras.layers.Concatenate(name="ties", dtype="float32")([probabilities, neighbours])
    hidden = block(ties, WIDTH, start, "convolution", "float32")
    hidden = block(hidden, WIDTH, start, "hidden", "float32")
    code = dense(hidden, bits, start, "code_dense", dtype="float32")
    # Scaled, so that relaxed codes are nearly signs from the start: the ranking is of signs in the end.
    code = keras.layers.Rescaling(SHARPNESS, name="sharpened", dtype="float32")(code)
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    return keras.Model([probabilities, neighbours], {"code": code}, name=name)


def encoder(
    student: keras.Model, neighbours: keras.layers.Layer, graph: keras.Model, *, own: bool = True
) -> keras.Model:
    """What the student reads to the graph network's `code` (B, K), and the student's `label` logits (B, C).

    Args:
      student: the image or the text network.
      neighbours: `NeighbourLabels` of what the student's vectors are compared with.
      graph: a `label_graph_network`.
      own: whether a training item is its own neighbour. Without, the encoder takes a second input, the
        position (B,) of each item among the training items, or -1, and leaves that neighbour out.
    """
    output = student(student.input)
    probabilities = keras.layers.Activation("sigmoid", name="probabilities", dtype="float32")(output["label"])
    positions = [] if own else [keras.Input((), dtype="int32", name="positions")]
    code = graph([probabilities, neighbours(output["vector"], *positions)])["code"]
    return keras.Model(
        [student.input, *positions] if positions else student.input,
        {"code": code, "label": output["label"]},
        name=f"{student.name}_encoder" if own else f"{student.name}_encoder_without_own",
    )


# ---------------------------------------------------------------- the method


class LabelGraphGCH:
    """GCH with the graph of items and labels; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings, self._items = settings, items
        self._students = students = Students(settings, items, backbone)
        self._nodes = {
            modality: Nodes(students.networks[modality], modality, settings, items.labels)
            for modality in ("image", "text")
        }
        self.encoders, self.encoders_without_own = (
            {
                modality: encoder(nodes.student, nodes.layer, nodes.graph, own=own)
                for modality, nodes in self._nodes.items()
            }
            for own in (True, False)
        )
        self.encoding_batch = None
        graphs = {f"graph_{modality}": nodes.graph for modality, nodes in self._nodes.items()}
        layers = {f"neighbours_{modality}": nodes.layer for modality, nodes in self._nodes.items()}
        self.networks = students.networks | graphs | layers
        self.memories = {"teacher_codes": students.teacher.codes}
        trains = [weight for part in (graphs | layers).values() for weight in part.trainable_variables]
        ranking = Stage(
            "graph",
            settings.options.k_gph * settings.options.MAX_ITER,
            self._forward,
            students.update("graph", self._loss, trains, settings.options.lr_gph),
            begin=self._begin,
        )
        stages = [*students.stages(settings.options.k_txt, settings.options.k_img), ranking]
        self.stages = tuple(stage for stage in stages if stage.steps)
        self.optimizers = students.optimizers

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher."""
        return self._students.relaxed_codes()

    def _begin(self) -> None:
        for modality, nodes in self._nodes.items():
            fixed = modality == "text" or not self._items.trains_backbone
            nodes.begin(lambda modality=modality: self._items.inputs(modality), fixed)

    def _forward(self, batch: Batch) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Answers (M,) drawn for the batch, and relaxed codes (B + M, K) of 'image' and 'text'."""
        queries = batch.positions
        answers = draw_positions(queries, ANSWERS, len(self._items))
        positions = tf.concat([queries, answers], axis=0)
        known = tf.cast(draw_numbers(queries, 1, ANSWERS, below=2), tf.bool)
        known = tf.concat([tf.zeros_like(queries, tf.bool), known], axis=0)
        draw = draw_numbers(queries, 2, positions.shape[0], below=DROPOUT_DRAWS)
        return answers, {
            modality: nodes.codes(positions, known, draw) for modality, nodes in self._nodes.items()
        }

    def _loss(self, batch: Batch, outputs: tuple[tf.Tensor, dict[str, tf.Tensor]]) -> Losses:
        """Every query ranks the same answers, of the other modality."""
        settings, labels = self._settings, self._items.labels
        answers, codes = outputs
        count, bits = batch.positions.shape[0], settings.bit
        similar = similarity(tf.gather(labels, batch.positions), tf.gather(labels, answers))
        counted = tf.cast(batch.positions[:, None] != answers[None, :], tf.float32)

        def ranking(asked: str, answered: str) -> tf.Tensor:
            inner = tf.matmul(codes[asked][:count], codes[answered][count:], transpose_b=True) / bits
            return average_precision_loss(inner, similar, counted, RANKING_BINS)

        from_text = settings.options.graph_text_queries
        image, text = codes["image"][count:], codes["text"][count:]
        return {
            "I->T": 2 / (1 + from_text) * ranking("image", "text"),
            "T->I": 2 * from_text / (1 + from_text) * ranking("text", "image"),
            "balance": settings.options.graph_balance * (imbalance(image) + imbalance(text)),
            "tie": settings.options.graph_agreement * squared_error(image, text),
        }


class Nodes:
    """The training items as nodes of one modality, with what is constant during the stage.

    Attributes:
      student: the student network.
      graph: the graph network on it.
      layer: the neighbours' labels, as new items see them.
    """

    def __init__(self, student: keras.Model, modality: str, settings: Settings, labels: tf.Tensor):
        count, classes = labels.shape
        neighbours = min(settings.options.graph_neighbours, count - 1)
        self.student = student
        self.graph = label_graph_network(classes, settings.bit, settings.start, name=f"graph_{modality}")
        self.layer = NeighbourLabels(
            items=count,
            features=student.output["vector"].shape[-1],
            labels=classes,
            count=neighbours,
            name=f"neighbours_{modality}",
        )
        self._labels = labels
        self._probabilities = state(tf.zeros((count, classes)))
        self._unsure = state(tf.zeros((DROPOUT_DRAWS * count, classes)))  # one draw after the other
        # Each item itself, then its nearest others. int64: TensorFlow keeps int32 variables on the host.
        self._nearest = state(tf.zeros((count, 1 + neighbours), tf.int64))
        self._cosines = state(tf.zeros((count, 1 + neighbours)))
        self._placed = False

    def begin(self, inputs, fixed: bool) -> None:
        """Sets the students' probabilities, and the neighbours unless they are `fixed` and set.

        Args:
          inputs: gives what the student reads of all items, in batches.
          fixed: whether that never changes.
        """
        logits, vectors = infer(self.student, inputs(), "label", "vector")
        self._probabilities.assign(tf.sigmoid(logits))
        unsure = infer_under_dropout(self.student, inputs, "label", DROPOUT_DRAWS)
        self._unsure.assign(tf.sigmoid(np.concatenate(unsure)))
        if fixed and self._placed:
            return
        nearest, cosines = nearest_others(vectors, self.layer.count)
        self._nearest.assign(nearest)
        self._cosines.assign(cosines)
        self.layer.set_items(vectors, self._labels)
        self._placed = True

    def codes(self, positions: tf.Tensor, known: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """Relaxed codes (M, K) of items that are `known`, bool (M,), or play new ones with a dropout draw."""
        unsure = tf.gather(self._unsure, draw * self.layer.items + positions)
        probabilities = tf.where(known[:, None], tf.gather(self._probabilities, positions), unsure)

        def of_kind(table: tf.Variable) -> tf.Tensor:
            rows = tf.gather(table, positions)
            return tf.where(known[:, None], rows[:, :-1], rows[:, 1:])

        nearest, cosines = of_kind(self._nearest), of_kind(self._cosines)
        neighbours = blend(tf.gather(self._labels, nearest), cosines, self.layer.sharpness)
        return self.graph([probabilities, neighbours], training=True)["code"]
