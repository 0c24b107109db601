"""Teacher and students of GCH (Xu et al., IJCAI 2019, section 3), which its variants share.

label       the label network (teacher) learns codes from labels; its codes fill the memory bank H
text, image the text and the image network (students) learn the signs of H, and the labels
"""

import functools
import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gch.methods.batch import (
    draw_numbers,
    label_cross_entropy,
    likelihood_pair_loss,
    replace_rows,
    sign,
    similarity,
)
from gch.methods.gch.networks import image_head, label_network, text_network
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Loss, Losses, Method, Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, slices
from gch.settings import Settings

SIMILAR_WEIGHT = 0.999  # the original's factor on S in the squared pair loss


def squared_pair_loss(codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor) -> tf.Tensor:
    """mean((0.999 S theta - log(1 + e^theta))^2), theta = codes others^T: the original's pair loss, of what
    `likelihood_pair_loss` takes.
    """
    theta = tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.square(SIMILAR_WEIGHT * similar * theta - tf.nn.softplus(theta)))


def squared_error(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Mean over all entries of the squared difference of two tensors of one shape."""
    return tf.reduce_mean(tf.math.squared_difference(first, second))


def squared_label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean squared error of sigmoid(logits) (B, C) from labels (B, C) in [0, 1]."""
    return squared_error(tf.sigmoid(logits), labels)


class MemoryBank:
    """Latest relaxed codes of the N training items, from a network that only training uses.

    `codes`, a variable float32 (N, K), are zeros at first, or, if only a second pass after each step fills
    them, `refreshed_by_step`, N(0, 1) by the seed and the name.
    """

    def __init__(self, settings: Settings, labels: tf.Variable, name: str):
        self._own, self._labels = settings.options, labels
        self.refreshed_by_step = self._own.memory_refresh == "step"
        start = tf.zeros([labels.shape[0], settings.bit])
        if self.refreshed_by_step:
            start = tf.random.stateless_normal(start.shape, (settings.seed, zlib.crc32(name.encode())))
        self.codes = state(start, name=name)

    def filled_by(self, forward: Callable[[Batch], dict]) -> Callable[[Batch, dict], None]:
        """Returns what runs after a step: it stores the codes of the batch, from this pass or a second."""

        def after(batch: Batch, output: dict) -> None:
            codes = (forward(batch) if self.refreshed_by_step else output)["code"]
            replace_rows(self.codes, batch.positions, codes)

        return after

    def pairs(
        self, code: tf.Tensor, positions: tf.Tensor, targets: tf.Variable | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The codes (M, K) that the pair loss compares a batch with, by the settings `memory` and
        `pair_items`, and which of the pairs are similar, float (M, B).

        `code` (B, K) are the batch's own, `targets` (N, K) codes to use in place of this memory bank's.
        """
        batch, count = tf.gather(self._labels, positions), self._own.pair_items
        if self._own.memory == "batch":
            return code, similarity(batch, batch)
        codes, labels = self.codes if targets is None else targets, self._labels
        if 0 < count < labels.shape[0]:
            others = draw_numbers(positions, 0, count, below=labels.shape[0])
            codes, labels = tf.gather(codes, others), tf.gather(labels, others)
        codes = tf.convert_to_tensor(codes)
        signs = targets is None and self._own.memory == "sign"
        return sign(codes) if signs else codes, similarity(labels, batch)


class Students(Method):
    """Teacher and students: what all variants of GCH share. The variants set `stages`.

    The networks are 'label', 'text' and 'image', of which `head` is the image network without its backbone.
    `teacher` is the memory bank H. Students learn `targets`, codes (N, K), and `label_targets` (N, C), which
    the `begin` of a stage sets.
    """

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own = self.own
        shape = {"labels": items.labels.shape[1], "bits": settings.bit}
        shape |= {"embedding": settings.SEMANTIC_EMBED, "start": settings.start}
        self.head = image_head(self.feature_size, dropout=own.dropout_img, **shape)
        label = label_network(**shape)
        rates = {"dropout": own.dropout_txt, "word_dropout": own.dropout_words}
        text = text_network(items.texts.shape[1], **rates, **shape)
        self.encoders = {"image": self.image_network(self.head), "text": text}
        self.networks = {"label": label, **self.encoders}
        self.teacher = MemoryBank(settings, items.labels, "teacher_codes")
        self.memories["teacher_codes"] = self.teacher.codes
        # Constant during a stage, and computed from the networks when it begins: not in the checkpoint.
        self.targets = state(tf.zeros_like(self.teacher.codes))
        self.label_targets = state(tf.zeros_like(items.labels))
        self._label_loss = squared_label_loss if own.label_loss == "squared" else label_cross_entropy
        self.pair_loss = (
            squared_pair_loss
            if own.pair_loss == "squared"
            else functools.partial(likelihood_pair_loss, scale=own.pair_scale)
        )

    def first_half(self, text_passes: int, image_passes: int) -> tuple[Stage, ...]:
        """The stages 'label', 'text/label' and 'image/label'."""
        return (
            *([self._label_stage()] if self.own.teacher else []),
            *self.student_stage("text", "label", text_passes, self.aim_at_teacher),
            *self.student_stage("image", "label", image_passes, self.aim_at_teacher),
        )

    def _label_stage(self) -> Stage:
        own, network = self.own, self.networks["label"]

        def forward(batch: Batch) -> dict:
            return network(self.labels(batch), training=True)

        def loss(batch: Batch, output: dict) -> Losses:
            memory, similar = self.teacher.pairs(output["code"], batch.positions)
            return {
                "pair": self.pair_loss(memory, output["code"], similar),
                "label": self._label_loss(output["label"], self.labels(batch)),
            }

        return Stage(
            "label",
            own.k_lab * own.MAX_ITER,
            forward,
            (self.adam("label", loss, network.trainable_variables, own.lr_lab),),
            after=self.teacher.filled_by(forward),
        )

    def student_stage(
        self, modality: str, aim: str, passes: int, begin: Callable[[str], None], loss: Loss | None = None
    ) -> tuple[Stage, ...]:
        """A student learns the targets that `begin` sets, with `student_loss` or another; () of no passes."""
        own, network = self.own, self.networks[modality]
        rate = own.lr_img if modality == "image" else own.lr_txt
        update = self.adam(f"{modality}_{aim}", loss or self.student_loss, network.trainable_variables, rate)
        stage = Stage(
            f"{modality}/{aim}",
            passes * self.steps_per_pass,
            functools.partial(self._student_forward, modality),
            (update,),
            begin=lambda: begin(modality),
            reads_images=modality == "image",
        )
        return (stage,) if stage.steps else ()

    def _student_forward(self, modality: str, batch: Batch) -> dict:
        if modality == "text":
            return self.networks["text"](self.texts(batch), training=True)
        return self.head(self.features(batch.images), training=True)

    def student_loss(self, batch: Batch, output: dict) -> Losses:
        """Target codes, label targets, and pairs with the memory bank; without a teacher labels alone."""
        if not self.own.teacher:
            return {"label": self._label_loss(output["label"], self.labels(batch))}
        return {
            "code": squared_error(output["code"], tf.gather(self.targets, batch.positions)),
            "label": self._label_loss(output["label"], tf.gather(self.label_targets, batch.positions)),
        } | self.student_pairs(batch, output)

    def student_pairs(self, batch: Batch, output: dict) -> Losses:
        """The pair loss of a student's codes against the targets; none where its weight is 0."""
        weight = self.own.student_pair
        if not weight:
            return {}
        memory, similar = self.teacher.pairs(output["code"], batch.positions, self.targets)
        return {"pair": weight * self.pair_loss(memory, output["code"], similar)}

    def aim_at_teacher(self, modality: str) -> None:
        """Targets: the signs of the teacher's codes, and the labels (for the text network, the original's
        squared loss: the teacher's prediction of them).
        """
        if not self.own.teacher:
            return
        labels = slices(self.items.labels, VECTOR_BATCH)
        codes, logits = infer(self.networks["label"], labels, "code", "label")
        if not self.teacher.refreshed_by_step:
            self.teacher.codes.assign(codes)
        self.targets.assign(sign(self.teacher.codes))
        predicted = modality == "text" and self.own.label_loss == "squared"
        self.label_targets.assign(tf.sigmoid(logits) if predicted else self.items.labels)

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher."""
        return {"teacher": self.teacher.codes.numpy()} if self.own.teacher else {}


class WithoutGraph(Students):
    """Teacher and students alone. The students spend the passes of the graph stages on the codes of H."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own = self.own
        self.stages = self.first_half(own.k_txt + own.k_txt_g, own.k_img + own.k_img_g)
