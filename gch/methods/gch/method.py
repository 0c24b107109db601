"""GCH: the networks, their losses and the stages of an outer epoch (Xu et al., IJCAI 2019, section 3).

label       the teacher learns codes from labels; its codes fill the code memory H
text, image the students learn the signs of H
graph       the graph network fuses the students' features over the label graph; its codes fill M
text, image the students learn the unified codes
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from gch.codes import sign
from gch.methods.gch import losses
from gch.methods.gch.affinity import normalized_affinity, similarity
from gch.methods.gch.fusion import fuse
from gch.methods.gch.networks import graph_network, image_head, image_network, label_network, text_network
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.methods.stage import Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import infer, sequential_images, slices
from gch.settings import Settings

PAIR_LOSSES = {"likelihood": losses.likelihood_pair_loss, "squared": losses.squared_pair_loss}
LABEL_LOSSES = {"cross_entropy": losses.label_cross_entropy, "squared": losses.squared_label_loss}
INFERENCE_BATCH = 1024


class GCH:
    """The method GCH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone):
        self._settings = settings
        self._items = items
        self._pair_loss = PAIR_LOSSES[settings.pair_loss]
        self._label_loss = LABEL_LOSSES[settings.label_loss]
        self.networks = self._build_networks(backbone)
        self._build_memories()
        self.optimizers = {}
        self.stages = self._build_stages(backbone)

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of teacher and graph network."""
        codes = {"teacher": self._teacher_codes.numpy()}
        if self._settings.graph:
            codes["graph"] = self._graph_codes.numpy()
        return codes

    # ------------------------------------------------------------ networks and memories

    def _build_networks(self, backbone: Backbone) -> dict[str, keras.Model]:
        settings, items = self._settings, self._items
        labels, words = items.labels.shape[1], items.texts.shape[1]
        shape = {
            "labels": labels,
            "bits": settings.bit,
            "embedding": settings.SEMANTIC_EMBED,
            "start": settings.start,
        }
        head = image_head(backbone.feature_size, dropout=settings.dropout_img, **shape)
        networks = {
            "label": label_network(**shape),
            "text": text_network(words, dropout=settings.dropout_txt, **shape),
            "image": head if items.features is not None else image_network(backbone.model, head),
        }
        if settings.graph:
            networks["graph"] = graph_network(**shape, batch_norm=settings.graph_input == "normalized")
        return networks

    def _build_memories(self) -> None:
        count, labels = self._items.labels.shape
        bits, embedding = self._settings.bit, self._settings.SEMANTIC_EMBED

        def memory(name: str, width: int) -> tf.Variable:
            return tf.Variable(tf.zeros([count, width]), trainable=False, name=name)

        self._teacher_codes = memory("teacher_codes", bits)
        self._graph_codes = memory("graph_codes", bits)
        self.memories = {"teacher_codes": self._teacher_codes, "graph_codes": self._graph_codes}
        # Constant during a stage and derived from the networks when it begins: not for the checkpoint.
        self._targets = memory("targets", bits)
        self._label_targets = memory("label_targets", labels)
        self._image_features = memory("image_features", embedding)
        self._text_features = memory("text_features", embedding)

    # ------------------------------------------------------------ stages

    def _build_stages(self, backbone: Backbone) -> tuple[Stage, ...]:
        settings = self._settings
        per_pass = len(self._items) // settings.batch_size
        text_passes, image_passes = settings.k_txt, settings.k_img
        if not settings.graph:  # the same budget, all of it spent on the teacher's codes
            text_passes, image_passes = text_passes + settings.k_txt_g, image_passes + settings.k_img_g
        stages = [
            self._label_stage(settings.k_lab * settings.MAX_ITER),
            self._student_stage("text", "label", text_passes * per_pass, self._aim_at_teacher),
            self._student_stage("image", "label", image_passes * per_pass, self._aim_at_teacher, backbone),
        ]
        if settings.graph:
            stages += [
                self._graph_stage(settings.k_gph * settings.MAX_ITER),
                self._student_stage("text", "graph", settings.k_txt_g * per_pass, self._aim_at_unified),
                self._student_stage(
                    "image", "graph", settings.k_img_g * per_pass, self._aim_at_unified, backbone
                ),
            ]
        return tuple(stage for stage in stages if stage.steps)

    def _label_stage(self, steps: int) -> Stage:
        network, labels = self.networks["label"], self._items.labels
        optimizer = self._optimizer("label", network)

        @tf.function(jit_compile=self._settings.jit_compile)
        def descend(batch):
            with tf.GradientTape() as tape:
                output = network(batch, training=True)
                parts = {
                    "pair": self._pair_loss(self._memory(), output["code"], similarity(labels, batch)),
                    "label": self._label_loss(output["label"], batch),
                }
                loss = optimizer.scale_loss(tf.add_n(list(parts.values())))
            _apply(tape, loss, optimizer, network)
            return output["code"], parts

        def update(positions, _):
            codes, parts = descend(tf.gather(labels, positions))
            _scatter(self._teacher_codes, positions, codes)
            return parts

        rates = ((optimizer, self._settings.lr_lab),)
        return Stage("label", steps, update, ("pair", "label"), rates, reads_images=False, begin=lambda: None)

    def _student_stage(
        self, modality: str, aim: str, steps: int, begin: Callable[[], None], backbone: Backbone | None = None
    ) -> Stage:
        """A student learns the codes that `begin` puts into the targets."""
        settings, network = self._settings, self.networks[modality]
        apart = aim == "graph" and settings.unified == "apart"
        optimizer = self._optimizer(f"{modality}_{aim}", network, backbone)
        parts = ["code", "graph"] if apart else ["code", "label"]
        if settings.student_pair:
            parts.append("pair")

        @tf.function(jit_compile=settings.jit_compile)
        def descend(positions, inputs):
            with tf.GradientTape() as tape:
                output = network(inputs, training=True)
                code, losses_by_part = output["code"], {}
                losses_by_part["code"] = losses.squared_error(code, tf.gather(self._targets, positions))
                if apart:
                    losses_by_part["graph"] = losses.squared_error(
                        code, tf.gather(self._graph_codes, positions)
                    )
                else:
                    labels = tf.gather(self._label_targets, positions)
                    losses_by_part["label"] = self._label_loss(output["label"], labels)
                if settings.student_pair:
                    similar = similarity(self._items.labels, tf.gather(self._items.labels, positions))
                    losses_by_part["pair"] = settings.student_pair * self._pair_loss(
                        self._targets, code, similar
                    )
                loss = optimizer.scale_loss(tf.add_n(list(losses_by_part.values())))
            _apply(tape, loss, optimizer, network)
            return losses_by_part

        def update_text(positions, _):
            return descend(positions, tf.cast(tf.gather(self._items.texts, positions), tf.float32))

        rate = settings.lr_txt if modality == "text" else settings.lr_img
        return Stage(
            name=f"{modality}/{aim}",
            steps=steps,
            update=update_text if modality == "text" else descend,
            parts=tuple(parts),
            optimizers=((optimizer, rate),),
            reads_images=modality == "image",
            begin=lambda: begin(modality),
        )

    def _graph_stage(self, steps: int) -> Stage:
        settings, network, labels = self._settings, self.networks["graph"], self._items.labels
        optimizer = self._optimizer("graph", network)
        # Without a share in the teacher's bits, g is free to permute them, and to collapse.
        follows_teacher = settings.unified != "apart"
        names = ("code", "pair", "label") if follows_teacher else ("pair", "label")

        @tf.function(jit_compile=settings.jit_compile)
        def descend(positions):
            batch = tf.gather(labels, positions)
            with tf.GradientTape() as tape:
                output = network(self._graph_inputs(positions), training=True)
                code = output["code"]
                if follows_teacher:
                    parts = {
                        "code": losses.squared_error(code, tf.gather(self._targets, positions)),
                        "pair": self._pair_loss(self._memory(), code, similarity(labels, batch)),
                    }
                else:
                    parts = {"pair": self._pair_loss(code, code, similarity(batch, batch))}
                parts["label"] = losses.label_cross_entropy(output["label"], batch)
                loss = optimizer.scale_loss(tf.add_n(list(parts.values())))
            _apply(tape, loss, optimizer, network)
            return code, parts

        def update(positions, _):
            codes, parts = descend(positions)
            _scatter(self._graph_codes, positions, codes)
            return parts

        rates = ((optimizer, settings.lr_gph),)
        return Stage("graph", steps, update, names, rates, reads_images=False, begin=self._begin_graph)

    # ------------------------------------------------------------ what is constant during a stage

    def _aim_at_teacher(self, modality: str) -> None:
        """Targets: the signs of the teacher's codes, and the labels (for the text network, the original's
        squared loss: the teacher's prediction of them).
        """
        codes, logits = infer(
            self.networks["label"], slices(self._items.labels, INFERENCE_BATCH), "code", "label"
        )
        self._teacher_codes.assign(codes)
        self._targets.assign(sign(self._teacher_codes))
        predicted = modality == "text" and self._settings.label_loss == "squared"
        self._label_targets.assign(tf.sigmoid(logits) if predicted else self._items.labels)

    def _begin_graph(self) -> None:
        """Targets as for the students, and their features of all items: they rest meanwhile."""
        self._aim_at_teacher("graph")
        texts = slices(self._items.texts, INFERENCE_BATCH, tf.float32)
        self._text_features.assign(infer(self.networks["text"], texts, "feature")[0])
        if self._items.features is not None:
            images = slices(self._items.features, INFERENCE_BATCH)
        else:
            images = sequential_images(self._items.pairs, self._items.rows)
        self._image_features.assign(infer(self.networks["image"], images, "feature")[0])

    def _aim_at_unified(self, modality: str) -> None:
        """Targets: the unified codes of teacher and graph network."""
        relaxed = {
            "teacher": self._teacher_codes,
            "graph": self._graph_codes,
            "both": self._teacher_codes + self._graph_codes,
            "apart": self._teacher_codes,
        }
        self._targets.assign(sign(tf.convert_to_tensor(relaxed[self._settings.unified])))
        self._label_targets.assign(self._items.labels)

    # ------------------------------------------------------------ pieces of a step

    def _memory(self) -> tf.Tensor:
        """What the pair loss compares a batch with, (N, K)."""
        codes = tf.convert_to_tensor(self._teacher_codes)
        return sign(codes) if self._settings.memory == "sign" else codes

    def _graph_inputs(self, positions: tf.Tensor) -> list[tf.Tensor]:
        """Fused features (B, E) and normalised affinity (B, B) of a batch."""
        image = tf.gather(self._image_features, positions)
        text = tf.gather(self._text_features, positions)
        if self._settings.graph_input == "normalized":
            image, text = tf.math.l2_normalize(image, axis=1), tf.math.l2_normalize(text, axis=1)
        return [fuse(image, text), normalized_affinity(tf.gather(self._items.labels, positions))]

    def _optimizer(self, name: str, network: keras.Model, backbone: Backbone | None = None):
        settings = self._settings
        slowed = backbone.model.trainable_variables if backbone and self._items.features is None else ()
        adam = RatedAdam(name, slowed, settings.lr_backbone / settings.lr_img)
        optimizer = loss_scaled(adam, settings.precision)
        optimizer.build(network.trainable_variables)
        self.optimizers[name] = optimizer
        return optimizer


def _apply(
    tape: tf.GradientTape, loss: tf.Tensor, optimizer: keras.optimizers.Optimizer, network: keras.Model
):
    variables = network.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    optimizer.apply(gradients, variables)


def _scatter(memory: tf.Variable, positions: tf.Tensor, rows: tf.Tensor) -> None:
    memory.scatter_update(tf.IndexedSlices(rows, positions))
