"""The graph of items and labels: unified codes, learned by ranking, on top of the students' labels.

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

from gch.methods.draws import draw_numbers, draw_positions
from gch.methods.gch.neighbours import NeighbourLabels, blend, nearest_others
from gch.methods.gch.networks import encoder, label_graph_network
from gch.methods.gch.objectives import Objectives
from gch.methods.items import TrainingItems
from gch.methods.optimizer import compiled_step
from gch.methods.similarity import similarity
from gch.methods.stage import Stage
from gch.networks.inference import infer, infer_under_dropout
from gch.settings import Settings

ANSWERS = 512  # items that are ranked in a step
DROPOUT_DRAWS = 4


class LabelGraph:
    """A graph network for each modality, on top of the students, which rest while it learns.

    Attributes:
      networks: 'graph_image' and 'graph_text', 'neighbours_image' and 'neighbours_text'.
      encoders: 'image' and 'text': the students with the graph networks on them.
      encoders_without_own: the same, where a training item is not its own neighbour.
    """

    def __init__(self, settings: Settings, items: TrainingItems, students: dict[str, keras.Model]):
        count, labels = items.labels.shape
        self._settings, self._items = settings, items
        self._nodes = {
            modality: _Nodes(
                student,
                label_graph_network(labels, settings.bit, settings.start, name=f"graph_{modality}"),
                NeighbourLabels(
                    items=count,
                    features=student.output["vector"].shape[-1],
                    labels=labels,
                    count=min(settings.graph_neighbours, count - 1),
                    name=f"neighbours_{modality}",
                ),
            )
            for modality, student in students.items()
        }
        self.networks = {f"graph_{modality}": nodes.graph for modality, nodes in self._nodes.items()}
        self.networks |= {f"neighbours_{modality}": nodes.layer for modality, nodes in self._nodes.items()}
        self.encoders, self.encoders_without_own = (
            {
                modality: encoder(nodes.student, nodes.layer, nodes.graph, own=own)
                for modality, nodes in self._nodes.items()
            }
            for own in (True, False)
        )

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Of all networks."""
        return [weight for network in self.networks.values() for weight in network.trainable_variables]

    def stage(self, steps: int, optimizer: keras.optimizers.Optimizer, objectives: Objectives) -> Stage:
        """The stage 'graph', whose losses are those of `Objectives.ranking`."""
        step = compiled_step(
            lambda positions, _: (positions, self._rank(positions, objectives)),
            self.trainable_variables,
            optimizer,
            self._settings.jit_compile,
        )

        def update(positions, _):
            return step(positions, None)[1]

        rates = ((optimizer, self._settings.lr_gph),)
        return Stage("graph", steps, update, Objectives.RANKING, rates, reads_images=False, begin=self._begin)

    def _rank(self, queries: tf.Tensor, objectives: Objectives) -> dict[str, tf.Tensor]:
        """The losses of a step: every query ranks the same answers, of the other modality."""
        labels = self._items.labels
        answers = draw_positions(queries, ANSWERS, len(self._items))
        positions = tf.concat([queries, answers], axis=0)
        known = tf.cast(draw_numbers(queries, 1, ANSWERS, below=2), tf.bool)
        known = tf.concat([tf.zeros_like(queries, tf.bool), known], axis=0)
        draw = draw_numbers(queries, 2, len(queries) + ANSWERS, below=DROPOUT_DRAWS)
        codes = {
            modality: nodes.codes(labels, positions, known, draw) for modality, nodes in self._nodes.items()
        }
        split = len(queries)
        return objectives.ranking(
            {modality: relaxed[:split] for modality, relaxed in codes.items()},
            {modality: relaxed[split:] for modality, relaxed in codes.items()},
            similar=similarity(tf.gather(labels, queries), tf.gather(labels, answers)),
            counted=tf.cast(queries[:, None] != answers[None, :], tf.float32),
        )

    def _begin(self) -> None:
        for modality, nodes in self._nodes.items():
            fixed = modality == "text" or self._items.features is not None
            nodes.begin(lambda modality=modality: self._items.inputs(modality), self._items.labels, fixed)


class _Nodes:
    """The training items as nodes of one modality, with what is constant during a stage."""

    def __init__(self, student: keras.Model, graph: keras.Model, layer: NeighbourLabels):
        self.student, self.graph, self.layer = student, graph, layer

        def constant(shape: tuple[int, ...], dtype=tf.float32) -> tf.Variable:
            return tf.Variable(tf.zeros(shape, dtype), trainable=False)

        self._probabilities = constant((layer.items, layer.labels))
        self._unsure = constant((DROPOUT_DRAWS * layer.items, layer.labels))  # one draw after the other
        # Each item itself, then its nearest others.
        self._nearest = constant((layer.items, 1 + layer.count), tf.int32)
        self._cosines = constant((layer.items, 1 + layer.count))
        self._placed = False

    def begin(self, inputs, labels: tf.Tensor, fixed: bool) -> None:
        """Sets the students' probabilities, and the neighbours unless they are `fixed` and set."""
        logits, vectors = infer(self.student, inputs(), "label", "vector")
        self._probabilities.assign(tf.sigmoid(logits))
        unsure = infer_under_dropout(self.student, inputs, "label", DROPOUT_DRAWS)
        self._unsure.assign(tf.sigmoid(np.concatenate(unsure)))
        if fixed and self._placed:
            return
        nearest, cosines = nearest_others(vectors, self.layer.count)
        self._nearest.assign(nearest)
        self._cosines.assign(cosines)
        self.layer.set_items(vectors, labels)
        self._placed = True

    def codes(self, labels: tf.Tensor, positions: tf.Tensor, known: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """Relaxed codes (M, K) of items that are `known`, bool (M,), or play new ones with a dropout draw."""
        unsure = tf.gather(self._unsure, draw * self.layer.items + positions)
        probabilities = tf.where(known[:, None], tf.gather(self._probabilities, positions), unsure)

        def of_kind(table: tf.Variable) -> tf.Tensor:
            rows = tf.gather(table, positions)
            return tf.where(known[:, None], rows[:, :-1], rows[:, 1:])

        nearest, cosines = of_kind(self._nearest), of_kind(self._cosines)
        neighbours = blend(tf.gather(labels, nearest), cosines, self.layer.sharpness)
        return self.graph([probabilities, neighbours], training=True)["code"]
