"""Teacher and students of GCH (Xu et al., IJCAI 2019, section 3): what its variants have in common.

label       the label network (teacher) learns codes from labels; its codes fill the code memory H
text, image the text and the image network (students) learn the signs of H, and the labels
"""

import functools
import zlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from gch.methods.batch import draw_positions, sign, similarity
from gch.methods.gch.networks import image_head, label_network, text_network
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.methods.stage import Batch, Losses, Stage, Update, state
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, slices
from gch.networks.parts import compiled_by_xla, image_network, split_over_replicas
from gch.settings import Settings

SIMILAR_WEIGHT = 0.999  # the original's factor on S in the squared pair loss

# ---------------------------------------------------------------- losses: means over all entries


def squared_pair_loss(codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor) -> tf.Tensor:
    """mean((0.999 S theta - log(1 + e^theta))^2), theta = codes others^T: the original's pair loss.

    Args:
      codes: float (N, K), relaxed codes.
      others: float (B, K), relaxed codes.
      similar: float (N, B), 1 for similar pairs, else 0.
    """
    theta = tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.square(SIMILAR_WEIGHT * similar * theta - tf.nn.softplus(theta)))


def likelihood_pair_loss(
    codes: tf.Tensor, others: tf.Tensor, similar: tf.Tensor, scale: float = 0.0
) -> tf.Tensor:
    """mean(log(1 + e^theta) - S theta), the negative log-likelihood of the similarities (paper equation 1).

    p(S_ij = 1) = sigmoid(theta_ij), theta = scale / K codes others^T; with scale 0, the paper's 1/2 codes
    others^T, under which long codes need to agree in a small share of their bits only.
    Other arguments as of `squared_pair_loss`.
    """
    factor = scale / codes.shape[1] if scale else 0.5
    theta = factor * tf.matmul(codes, others, transpose_b=True)
    return tf.reduce_mean(tf.nn.softplus(theta) - similar * theta)


def squared_error(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Mean over all entries of the squared difference of two tensors of one shape."""
    return tf.reduce_mean(tf.math.squared_difference(first, second))


def squared_label_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean squared error of sigmoid(logits) (B, C) from labels (B, C) in [0, 1]."""
    return squared_error(tf.sigmoid(logits), labels)


def label_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross-entropy of logits (B, C) against labels (B, C) in [0, 1]."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def pair_loss(settings: Settings) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """The pair loss that the settings name."""
    if settings.options.pair_loss == "squared":
        return squared_pair_loss
    return functools.partial(likelihood_pair_loss, scale=settings.options.pair_scale)


# ---------------------------------------------------------------- the code memory


class CodeMemory:
    """Relaxed codes of N training items: the last ones of a network that training alone has.

    They are zeros at first, or, with the setting `memory_refresh` 'step', N(0, 1) by the seed and the name.

    Attributes:
      codes: variable float32 (N, K).
      refreshed_by_step: whether each step is followed by a pass that fills it, and nothing else does.
    """

    def __init__(self, settings: Settings, labels: tf.Tensor, name: str):
        self._kind, self._count, self._labels = settings.options.memory, settings.options.pair_items, labels
        self.refreshed_by_step = settings.options.memory_refresh == "step"
        start = tf.zeros([labels.shape[0], settings.bit])
        if self.refreshed_by_step:
            start = tf.random.stateless_normal(start.shape, (settings.seed, zlib.crc32(name.encode())))
        self.codes = state(start, name=name)

    def update(self, positions: tf.Tensor, codes: tf.Tensor) -> None:
        """Replaces the codes (B, K) of a batch."""
        if not compiled_by_xla():
            self.codes.scatter_update(tf.IndexedSlices(codes, positions))
            return
        # XLA's scatter repeats to the bit only item by item, which takes longer than all else in a step.
        matches = tf.range(self.codes.shape[0])[:, None] == positions
        place = tf.reduce_max(tf.where(matches, tf.range(positions.shape[0]), -1), axis=1)
        replaced = tf.gather(codes, tf.maximum(place, 0))
        self.codes.assign(tf.where(place[:, None] >= 0, replaced, self.codes))

    def refresh(self, positions: tf.Tensor, output: dict, again: Callable[[], dict]) -> None:
        """What follows a step: the codes of its batch, from its own pass or from another one after it."""
        self.update(positions, (again() if self.refreshed_by_step else output)["code"])

    def pairs(
        self, code: tf.Tensor, positions: tf.Tensor, targets: tf.Variable | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the pair loss compares a batch with, as the settings `memory` and `pair_items` say.

        Args:
          code: float (B, K), codes of the batch itself.
          positions: int (B,).
          targets: float (N, K), codes in place of this memory's.

        Returns:
          Codes (M, K), and which of the pairs are similar, float (M, B).
        """
        batch, total = tf.gather(self._labels, positions), self._labels.shape[0]
        if self._kind == "batch":
            return code, similarity(batch, batch)
        codes, labels = self.codes if targets is None else targets, self._labels
        if 0 < self._count < total:
            others = draw_positions(positions, self._count, total)
            codes, labels = tf.gather(codes, others), tf.gather(labels, others)
        codes = tf.convert_to_tensor(codes)
        signs = targets is None and self._kind == "sign"
        return sign(codes) if signs else codes, similarity(labels, batch)


# ---------------------------------------------------------------- networks and stages


class Students:
    """Teacher and students, and their stages.

    Attributes:
      networks: 'label', 'text' and 'image'.
      head: the image network without its backbone.
      optimizers: those of the stages made so far, by name.
      teacher: the code memory H.
      targets: float32 (N, K), codes that the students learn; `begin` of a stage sets it.
      label_targets: float32 (N, C), likewise.
    """

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings, self._items = settings, items
        self._backbone = backbone.model if items.trains_backbone else None
        shape = {
            "labels": items.labels.shape[1],
            "bits": settings.bit,
            "embedding": settings.SEMANTIC_EMBED,
            "start": settings.start,
        }
        features = backbone.feature_size if items.trains_backbone else items.images.shape[1]
        self.head = image_head(features, dropout=settings.options.dropout_img, **shape)
        label = label_network(**shape)
        text = text_network(
            items.texts.shape[1],
            dropout=settings.options.dropout_txt,
            word_dropout=settings.options.dropout_words,
            **shape,
        )
        image = image_network(self._backbone, self.head) if self._backbone else self.head
        self.networks = {"label": label, "text": text, "image": image}
        self.optimizers = {}
        self.teacher = CodeMemory(settings, items.labels, "teacher_codes")
        # Constant during a stage, and derived from the networks when it begins: not for the checkpoint.
        self.targets = state(tf.zeros_like(self.teacher.codes))
        self.label_targets = state(tf.zeros_like(items.labels))
        self._pair = pair_loss(settings)
        squared = settings.options.label_loss == "squared"
        self._label = squared_label_loss if squared else label_cross_entropy

    def stages(self, text_passes: int, image_passes: int) -> list[Stage]:
        """The stages 'label', 'text/label' and 'image/label'."""
        settings = self._settings
        per_pass = len(self._items) // settings.batch_size
        stages = (
            [self._label_stage(settings.options.k_lab * settings.options.MAX_ITER)]
            if settings.options.teacher
            else []
        )
        return [
            *stages,
            self.student_stage("text", "label", text_passes * per_pass, self.aim_at_teacher),
            self.student_stage("image", "label", image_passes * per_pass, self.aim_at_teacher),
        ]

    def update(
        self, name: str, loss: Callable[[Batch, dict], Losses], trains: list[keras.Variable], rate: float
    ) -> tuple[Update]:
        """A step of Adam; the optimizer is kept under the name."""
        settings = self._settings
        slowed = self._backbone.trainable_variables if self._backbone else ()
        adam = RatedAdam(name, slowed, settings.options.lr_backbone / settings.options.lr_img)
        optimizer = loss_scaled(adam, settings.precision)
        optimizer.build(trains)
        self.optimizers[name] = optimizer
        return (Update(loss, trains, optimizer, rate),)

    def _label_stage(self, steps: int) -> Stage:
        network, labels = self.networks["label"], self._items.labels

        def forward(batch: Batch) -> dict:
            return network(tf.gather(labels, batch.positions), training=True)

        def loss(batch: Batch, output: dict) -> Losses:
            memory, similar = self.teacher.pairs(output["code"], batch.positions)
            return {
                "pair": self._pair(memory, output["code"], similar),
                "label": self._label(output["label"], tf.gather(labels, batch.positions)),
            }

        return Stage(
            "label",
            steps,
            forward,
            self.update("label", loss, network.trainable_variables, self._settings.options.lr_lab),
            after=lambda batch, output: self.teacher.refresh(batch.positions, output, lambda: forward(batch)),
        )

    def student_stage(
        self,
        modality: str,
        aim: str,
        steps: int,
        begin: Callable[[str], None],
        loss: Callable[[Batch, dict], Losses] | None = None,
    ) -> Stage:
        """A student learns the targets that `begin` sets; `loss` is `student_loss` or another."""
        settings, network = self._settings, self.networks[modality]
        rate = settings.options.lr_img if modality == "image" else settings.options.lr_txt
        return Stage(
            f"{modality}/{aim}",
            steps,
            self._image_forward if modality == "image" else self._text_forward,
            self.update(f"{modality}_{aim}", loss or self.student_loss, network.trainable_variables, rate),
            begin=lambda: begin(modality),
            reads_images=modality == "image",
        )

    def _text_forward(self, batch: Batch) -> dict:
        texts = tf.cast(tf.gather(self._items.texts, batch.positions), tf.float32)
        return self.networks["text"](texts, training=True)

    def _image_forward(self, batch: Batch) -> dict:
        images = split_over_replicas(self._backbone, batch.images) if self._backbone else batch.images
        return self.head(images, training=True)

    def student_loss(self, batch: Batch, output: dict) -> Losses:
        """Target codes, label targets, and pairs with the code memory; without a teacher labels alone."""
        if not self._settings.options.teacher:
            return {"label": self._label(output["label"], tf.gather(self._items.labels, batch.positions))}
        return {
            "code": squared_error(output["code"], tf.gather(self.targets, batch.positions)),
            "label": self._label(output["label"], tf.gather(self.label_targets, batch.positions)),
        } | self.student_pairs(batch, output)

    def student_pairs(self, batch: Batch, output: dict) -> Losses:
        """The pair loss of a student's codes against the targets; none where its weight is 0."""
        weight = self._settings.options.student_pair
        if not weight:
            return {}
        memory, similar = self.teacher.pairs(output["code"], batch.positions, self.targets)
        return {"pair": weight * self._pair(memory, output["code"], similar)}

    def aim_at_teacher(self, modality: str) -> None:
        """Targets: the signs of the teacher's codes, and the labels (for the text network, the original's
        squared loss: the teacher's prediction of them).
        """
        if not self._settings.options.teacher:
            return
        labels = slices(self._items.labels, VECTOR_BATCH)
        codes, logits = infer(self.networks["label"], labels, "code", "label")
        if not self.teacher.refreshed_by_step:
            self.teacher.codes.assign(codes)
        self.targets.assign(sign(self.teacher.codes))
        predicted = modality == "text" and self._settings.options.label_loss == "squared"
        self.label_targets.assign(tf.sigmoid(logits) if predicted else self._items.labels)

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher."""
        return {"teacher": self.teacher.codes.numpy()} if self._settings.options.teacher else {}
