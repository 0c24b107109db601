"""GCH as published (Xu et al., IJCAI 2019): an in-batch graph joins the items that share labels.

label, text, image as in `gch.methods.gch.students`
graph       the graph network fuses the students' features over the label affinity; its codes fill M, a
            memory bank
text, image the students learn the signs of H + M
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from gch.methods.batch import label_cross_entropy, sign, similarity
from gch.methods.gch.networks import batch_norm
from gch.methods.gch.students import MemoryBank, Students, squared_error
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Losses, Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import infer
from gch.networks.parts import dense, initializer
from gch.settings import Settings


def normalized_affinity(labels: tf.Tensor) -> tf.Tensor:
    """A_hat = D^-1/2 A D^-1/2 of the label affinity A = L L^T, D the row sums of A (section 3.2).

    A counts shared labels, as the original does; an item without labels gets a row of zeros (the original:
    infinities). From labels (B, C), multi-hot, to float (B, B), symmetric, in [0, 1].
    """
    affinity = tf.matmul(labels, labels, transpose_b=True)
    degree = tf.reduce_sum(affinity, axis=1)
    scale = tf.where(degree > 0, tf.math.rsqrt(tf.maximum(degree, 1)), tf.zeros_like(degree))
    return scale[:, None] * affinity * scale[None, :]


def fuse(images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
    """X = 1/2 (P^T / max P) F_img + 1/2 (P / max P) F_txt with P = F_img F_txt^T (section 3.2), float (B, E),
    of the features of the same items.
    """
    attention = tf.matmul(images, texts, transpose_b=True)
    attention = attention / tf.reduce_max(attention)
    return 0.5 * tf.matmul(attention, images, transpose_a=True) + 0.5 * tf.matmul(attention, texts)


def graph_convolution(features, affinity, units: int, initial: keras.Initializer, name: str, dtype=None):
    """A_hat X W, without bias (Kipf and Welling, ICLR 2017, equation 2, before its activation).

    From Keras tensors X (B, D) and A_hat (B, B) to (B, units).
    """
    layer = keras.layers.Dense(units, use_bias=False, kernel_initializer=initial, name=name, dtype=dtype)
    # Multiplied by W first: units is never larger than D here.
    hidden = layer(features)
    return keras.ops.matmul(keras.ops.cast(affinity, hidden.dtype), hidden)


def graph_network(embedding: int, labels: int, bits: int, start: str, normalized: bool) -> keras.Model:
    """E -> E ReLU -> K tanh, both graph convolutions; K -> C.

    Called with [X (B, E), A_hat (B, B)]; returns `code` (B, K) and `label` logits (B, C). `normalized` adds
    batch norm of X and the hidden layer; without it g takes nearly one value per batch.
    """
    fused = keras.Input((embedding,), name="fused")
    affinity = keras.Input((None,), name="affinity")
    hidden = batch_norm(fused, "fused_norm") if normalized else fused
    initial = initializer(start, embedding)
    hidden = graph_convolution(hidden, affinity, embedding, initial, "convolution_1")
    if normalized:
        hidden = batch_norm(hidden, "hidden_norm")
    hidden = keras.layers.ReLU(name="hidden")(hidden)
    code = graph_convolution(hidden, affinity, bits, initial, "convolution_2", "float32")
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(code)
    label = dense(code, labels, start, "label", dtype="float32")
    return keras.Model([fused, affinity], {"code": code, "label": label}, name="graph")


class PaperGCH(Students):
    """GCH with the in-batch graph."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own, embedding, (count, labels) = self.own, settings.SEMANTIC_EMBED, items.labels.shape
        self._normalized = own.graph_input == "normalized"
        self._graph = graph_network(embedding, labels, settings.bit, settings.start, self._normalized)
        self.networks["graph"] = self._graph
        self._memory = MemoryBank(settings, items.labels, "graph_codes")
        self.memories["graph_codes"] = self._memory.codes
        # Constants of the resting students. Raw features depend on the statistics of their batch, so that
        # only the inputs of the image network's head are constant.
        sizes = dict.fromkeys(self.encoders, embedding) if self._normalized else {}
        if not self._normalized and self.backbone:
            sizes = {"image": self.feature_size}
        self._constant = {modality: state(tf.zeros([count, size])) for modality, size in sizes.items()}
        self.stages = (
            *self.first_half(own.k_txt, own.k_img),
            self._graph_stage(),
            *self._unified_stage("text", own.k_txt_g),
            *self._unified_stage("image", own.k_img_g),
        )

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher and of the graph network."""
        return super().relaxed_codes() | {"graph": self._memory.codes.numpy()}

    def _graph_stage(self) -> Stage:
        own = self.own
        loss = self._loss_apart if own.unified == "apart" else self._loss
        return Stage(
            "graph",
            own.k_gph * own.MAX_ITER,
            self._forward,
            (self.adam("graph", loss, self._graph.trainable_variables, own.lr_gph),),
            after=self._memory.filled_by(self._forward),
            begin=self._begin,
        )

    def _unified_stage(self, modality: str, passes: int) -> tuple[Stage, ...]:
        loss = functools.partial(self._loss_of_both, modality) if self.own.unified == "apart" else None
        return self.student_stage(modality, "graph", passes, self._aim_at_unified, loss)

    def _begin(self) -> None:
        self.aim_at_teacher("graph")
        self._read_students()

    def _read_students(self, learning: str = "") -> None:
        """Stores the constants of all students but the one that is `learning`."""
        if self._normalized and learning:  # the graph codes that it learns are in the memory bank
            return
        output = "feature" if self._normalized else "vector"
        for modality, noted in self._constant.items():
            if modality != learning:
                noted.assign(infer(self.encoders[modality], self.items.inputs(modality), output)[0])

    def _forward(self, batch: Batch, **learning: tf.Tensor) -> dict:
        """The graph network's output for a batch; of a student that is `learning`, by its features (B, E)."""
        images, texts = (
            learning[modality] if modality in learning else self._feature(modality, batch)
            for modality in ("image", "text")
        )
        return self._graph([fuse(images, texts), normalized_affinity(self.labels(batch))], training=True)

    def _feature(self, modality: str, batch: Batch) -> tf.Tensor:
        """What the graph network reads of a resting student, (B, E)."""
        if self._normalized:
            return tf.math.l2_normalize(tf.gather(self._constant[modality], batch.positions), axis=1)
        if modality == "text":
            return self.networks["text"](self.texts(batch), training=True)["feature"]
        vectors = self._constant.get("image", self.items.images)
        return self.head(tf.gather(vectors, batch.positions), training=True)["feature"]

    def _loss(self, batch: Batch, output: dict) -> Losses:
        """Without the target, compared with the memory bank alone, g is free to permute the teacher's bits,
        and then collapses.
        """
        memory, similar = self.teacher.pairs(output["code"], batch.positions)
        return {
            "code": squared_error(output["code"], tf.gather(self.targets, batch.positions)),
            "pair": self.pair_loss(memory, output["code"], similar),
            "label": label_cross_entropy(output["label"], self.labels(batch)),
        }

    def _loss_apart(self, batch: Batch, output: dict) -> Losses:
        """The original's loss: pairs within the batch, without the teacher. With raw features the
        cross-entropy takes probabilities for logits, as there.
        """
        labels = self.labels(batch)
        logits = output["label"] if self._normalized else tf.sigmoid(output["label"])
        return {
            "pair": self.pair_loss(output["code"], output["code"], similarity(labels, labels)),
            "label": label_cross_entropy(logits, labels),
        }

    def _loss_of_both(self, modality: str, batch: Batch, output: dict) -> Losses:
        """The original's loss after the graph stage: a student learns the signs of H and the graph codes."""
        graph_code = self.graph_targets(modality, output["feature"], batch)
        return {
            "code": squared_error(output["code"], tf.gather(self.targets, batch.positions)),
            "graph": squared_error(output["code"], graph_code),
        } | self.student_pairs(batch, output)

    def graph_targets(self, modality: str, feature: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The graph codes (B, K) that a student learns, constants: those of M, or, of raw features, new ones
        by the student's features of the batch, float (B, E).
        """
        if self._normalized:
            return tf.gather(self._memory.codes, batch.positions)
        return tf.stop_gradient(self._forward(batch, **{modality: feature})["code"])

    def _aim_at_unified(self, modality: str) -> None:
        """Targets: the signs of teacher, graph network or both, and the labels."""
        self._read_students(learning=modality)
        teacher, graph = self.teacher.codes, self._memory.codes
        relaxed = {"teacher": teacher, "graph": graph, "both": teacher + graph, "apart": teacher}
        self.targets.assign(sign(tf.convert_to_tensor(relaxed[self.own.unified])))
        self.label_targets.assign(self.items.labels)
