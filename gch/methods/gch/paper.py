"""GCH as published (Xu et al., IJCAI 2019): the graph joins the items of a batch by the labels they share.

label, text, image as of `gch.methods.gch.students`
graph       the graph network fuses the students' features over the label affinity; its codes fill M
text, image the students learn the signs of H + M

Without the graph (`graph = "none"`) the students spend the passes of the last two stages on the codes of H.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from gch.methods.batch import sign, similarity
from gch.methods.gch.networks import batch_norm
from gch.methods.gch.students import (
    CodeMemory,
    Students,
    label_cross_entropy,
    pair_loss,
    squared_error,
)
from gch.methods.items import TrainingItems
from gch.methods.stage import Batch, Losses, Stage, state
from gch.networks.backbone import Backbone
from gch.networks.inference import infer
from gch.networks.parts import dense, initializer
from gch.settings import Settings

# ---------------------------------------------------------------- the graph of a batch


def normalized_affinity(labels: tf.Tensor) -> tf.Tensor:
    """A_hat = D^-1/2 A D^-1/2 of the label affinity A = L L^T, D the row sums of A (section 3.2).

    A counts shared labels, as the original does; an item without labels gets a row of zeros
    (the original: infinities).

    Args:
      labels: float (B, C), multi-hot.

    Returns:
      float (B, B), symmetric, entries in [0, 1].
    """
    affinity = tf.matmul(labels, labels, transpose_b=True)
    degree = tf.reduce_sum(affinity, axis=1)
    scale = tf.where(degree > 0, tf.math.rsqrt(tf.maximum(degree, 1)), tf.zeros_like(degree))
    return scale[:, None] * affinity * scale[None, :]


def fuse(image_features: tf.Tensor, text_features: tf.Tensor) -> tf.Tensor:
    """X = 1/2 (P^T / max P) F_img + 1/2 (P / max P) F_txt with P = F_img F_txt^T (section 3.2).

    Args:
      image_features: float (B, E).
      text_features: float (B, E), of the same items.

    Returns:
      float (B, E).
    """
    attention = tf.matmul(image_features, text_features, transpose_b=True)
    attention = attention / tf.reduce_max(attention)
    return 0.5 * tf.matmul(attention, image_features, transpose_a=True) + 0.5 * tf.matmul(
        attention, text_features
    )


@keras.saving.register_keras_serializable(package="gch")
class GraphConvolution(keras.layers.Layer):
    """A_hat X W, without bias (Kipf and Welling, ICLR 2017, equation 2, before its activation).

    Called with [X (B, D), A_hat (B, B)]; returns (B, units).
    """

    def __init__(self, units: int, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        """Creates W (D, units)."""
        features, _ = input_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(features[-1], self.units), initializer=self.kernel_initializer
        )

    def call(self, inputs):
        """Multiplies by W first: units is never larger than D here."""
        features, affinity = inputs
        return tf.matmul(affinity, tf.matmul(features, self.kernel))

    def compute_output_shape(self, input_shape):
        """(B, units)."""
        features, _ = input_shape
        return (features[0], self.units)

    def get_config(self):
        """Arguments of the constructor."""
        return super().get_config() | {
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def graph_network(embedding: int, labels: int, bits: int, start: str, normalized: bool) -> keras.Model:
    """E -> E ReLU -> K tanh, both graph convolutions; K -> C.

    Called with [X (B, E), A_hat (B, B)]; returns `code` (B, K) and `label` logits (B, C).

    Args:
      embedding: size of the fused features E.
      labels: number of labels C.
      bits: length of a code K.
      start: 'glorot' or 'normal'.
      normalized: batch norm of X and the hidden layer; without it g takes nearly one value per batch.
    """
    fused = keras.Input((embedding,), name="fused")
    affinity = keras.Input((None,), name="affinity")
    hidden = batch_norm(fused, "fused_norm") if normalized else fused
    initial = initializer(start, embedding)
    hidden = GraphConvolution(embedding, initial, name="convolution_1")([hidden, affinity])
    if normalized:
        hidden = batch_norm(hidden, "hidden_norm")
    hidden = keras.layers.ReLU(name="hidden")(hidden)
    code = GraphConvolution(bits, initial, name="convolution_2", dtype="float32")([hidden, affinity])
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    label = dense(code, labels, start, "label", dtype="float32")
    return keras.Model([fused, affinity], {"code": code, "label": label}, name="graph")


# ---------------------------------------------------------------- the method


class PaperGCH:
    """GCH with the graph of a batch, or without a graph; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings, self._items = settings, items
        self._students = students = Students(settings, items, backbone)
        self.encoders = {modality: students.networks[modality] for modality in ("image", "text")}
        self.encoders_without_own = {}
        self.encoding_batch = None
        self.networks = students.networks
        self.memories = {"teacher_codes": students.teacher.codes}
        text_passes, image_passes = settings.options.k_txt, settings.options.k_img
        if settings.options.graph == "none":
            text_passes, image_passes = (
                text_passes + settings.options.k_txt_g,
                image_passes + settings.options.k_img_g,
            )
        stages = students.stages(text_passes, image_passes)
        self._memory = None
        if settings.options.graph == "batch":
            self._add_graph_network()
            per_pass = len(items) // settings.batch_size
            stages += [
                self._graph_stage(),
                *(
                    students.student_stage(
                        modality,
                        "graph",
                        passes * per_pass,
                        self._aim_at_unified,
                        self._loss_of_both(modality) if settings.options.unified == "apart" else None,
                    )
                    for modality, passes in (
                        ("text", settings.options.k_txt_g),
                        ("image", settings.options.k_img_g),
                    )
                ),
            ]
        self.stages = tuple(stage for stage in stages if stage.steps)
        self.optimizers = students.optimizers

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher and of the graph network."""
        graph = {} if self._memory is None else {"graph": self._memory.codes.numpy()}
        return self._students.relaxed_codes() | graph

    def _add_graph_network(self) -> None:
        settings, (count, labels) = self._settings, self._items.labels.shape
        embedding = settings.SEMANTIC_EMBED
        self._normalized = settings.options.graph_input == "normalized"
        self._network = graph_network(embedding, labels, settings.bit, settings.start, self._normalized)
        self._memory = CodeMemory(settings, self._items.labels, "graph_codes")
        # What of the resting students is constant. Raw features are by the statistics of their batch, so that
        # only what the image network's head reads of an item is.
        constant = {}
        if self._normalized:
            constant = dict.fromkeys(self.encoders, embedding)
        elif self._items.trains_backbone:
            constant = {"image": self._students.head.input_shape[-1]}
        self._constant = {modality: state(tf.zeros([count, size])) for modality, size in constant.items()}
        self.networks = self.networks | {"graph": self._network}
        self.memories["graph_codes"] = self._memory.codes

    def _graph_stage(self) -> Stage:
        settings = self._settings
        return Stage(
            "graph",
            settings.options.k_gph * settings.options.MAX_ITER,
            self._forward,
            self._students.update(
                "graph",
                self._loss_apart if settings.options.unified == "apart" else self._loss,
                self._network.trainable_variables,
                settings.options.lr_gph,
            ),
            after=lambda batch, output: self._memory.refresh(
                batch.positions, output, lambda: self._forward(batch)
            ),
            begin=self._begin,
        )

    def _begin(self) -> None:
        self._students.aim_at_teacher("graph")
        self._read_students()

    def _read_students(self, learning: str = "") -> None:
        """Notes what is constant of the students but the one that is `learning`."""
        if self._normalized and learning:  # the graph codes that it learns are in the memory
            return
        output = "feature" if self._normalized else "vector"
        for modality, noted in self._constant.items():
            if modality != learning:
                noted.assign(infer(self.encoders[modality], self._items.inputs(modality), output)[0])

    def _forward(self, batch: Batch) -> dict:
        return self._fused(batch.positions)

    def _fused(self, positions: tf.Tensor, **learning: tf.Tensor) -> dict:
        """The graph network's output for a batch; of a student that is `learning`, by its features (B, E)."""
        features = {
            modality: learning[modality] if modality in learning else self._feature(modality, positions)
            for modality in ("image", "text")
        }
        affinity = normalized_affinity(tf.gather(self._items.labels, positions))
        return self._network([fuse(features["image"], features["text"]), affinity], training=True)

    def _feature(self, modality: str, positions: tf.Tensor) -> tf.Tensor:
        """What the graph network reads of a resting student, (B, E)."""
        if self._normalized:
            return tf.math.l2_normalize(tf.gather(self._constant[modality], positions), axis=1)
        if modality == "text":
            texts = tf.cast(tf.gather(self._items.texts, positions), tf.float32)
            return self._students.networks["text"](texts, training=True)["feature"]
        vectors = self._constant.get("image", self._items.images)
        return self._students.head(tf.gather(vectors, positions), training=True)["feature"]

    def _loss(self, batch: Batch, output: dict) -> Losses:
        """Without the target, and compared with the memory alone, g is free to permute the teacher's bits;
        and it then collapses.
        """
        students = self._students
        memory, similar = students.teacher.pairs(output["code"], batch.positions)
        return {
            "code": squared_error(output["code"], tf.gather(students.targets, batch.positions)),
            "pair": pair_loss(self._settings)(memory, output["code"], similar),
            "label": label_cross_entropy(output["label"], tf.gather(self._items.labels, batch.positions)),
        }

    def _loss_apart(self, batch: Batch, output: dict) -> Losses:
        """The original's: pairs within the batch, and no tie to the teacher.

        With raw features the cross-entropy takes probabilities for logits, as there.
        """
        labels = tf.gather(self._items.labels, batch.positions)
        logits = output["label"] if self._normalized else tf.sigmoid(output["label"])
        return {
            "pair": pair_loss(self._settings)(output["code"], output["code"], similarity(labels, labels)),
            "label": label_cross_entropy(logits, labels),
        }

    def _loss_of_both(self, modality: str) -> Callable[[Batch, dict], Losses]:
        """The original's second half: a student learns the signs of H and the graph codes, both at once."""
        students = self._students

        def loss(batch: Batch, output: dict) -> Losses:
            graph_code = self.taught(modality, output["feature"], batch.positions)
            return {
                "code": squared_error(output["code"], tf.gather(students.targets, batch.positions)),
                "graph": squared_error(output["code"], graph_code),
            } | students.student_pairs(batch, output)

        return loss

    def taught(self, modality: str, feature: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """The graph codes (B, K) that a student learns, constants: those of M, or, of raw features, new ones.

        Args:
          modality: the student's.
          feature: float (B, E), its features of the batch.
          positions: int (B,).
        """
        if self._normalized:
            return tf.gather(self._memory.codes, positions)
        return tf.stop_gradient(self._fused(positions, **{modality: feature})["code"])

    def _aim_at_unified(self, modality: str) -> None:
        """Targets: the signs of teacher, graph network or both, and the labels."""
        self._read_students(learning=modality)
        teacher, graph = self._students.teacher.codes, self._memory.codes
        relaxed = {"teacher": teacher, "graph": graph, "both": teacher + graph, "apart": teacher}
        self._students.targets.assign(sign(tf.convert_to_tensor(relaxed[self._settings.options.unified])))
        self._students.label_targets.assign(self._items.labels)
