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
from gch.methods.gch.affinity import normalized_affinity, similarity
from gch.methods.gch.fusion import fuse
from gch.methods.gch.networks import graph_network, image_head, image_network, label_network, text_network
from gch.methods.gch.objectives import Objectives
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.methods.stage import Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, sequential_images, slices
from gch.settings import Settings


class GCH:
    """The method GCH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone):
        self._settings = settings
        self._items = items
        self._objectives = Objectives(settings)
        self._backbone = backbone
        self.networks = self._build_networks()
        self._build_memories()
        self.optimizers = {}
        self.stages = self._build_stages()

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of teacher and graph network."""
        codes = {"teacher": self._teacher_codes.numpy()}
        if self._settings.graph:
            codes["graph"] = self._graph_codes.numpy()
        return codes

    # ------------------------------------------------------------ networks and memories

    def _build_networks(self) -> dict[str, keras.Model]:
        settings, items = self._settings, self._items
        labels, words = items.labels.shape[1], items.texts.shape[1]
        shape = {
            "labels": labels,
            "bits": settings.bit,
            "embedding": settings.SEMANTIC_EMBED,
            "start": settings.start,
        }
        head = image_head(self._backbone.feature_size, dropout=settings.dropout_img, **shape)
        networks = {
            "label": label_network(**shape),
            "text": text_network(words, dropout=settings.dropout_txt, **shape),
            "image": head if items.features is not None else image_network(self._backbone.model, head),
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

    def _build_stages(self) -> tuple[Stage, ...]:
        settings = self._settings
        per_pass = len(self._items) // settings.batch_size
        text_passes, image_passes = settings.k_txt, settings.k_img
        if not settings.graph:  # the same budget, all of it spent on the teacher's codes
            text_passes, image_passes = text_passes + settings.k_txt_g, image_passes + settings.k_img_g
        stages = [
            self._label_stage(settings.k_lab * settings.MAX_ITER),
            self._student_stage("text", "label", text_passes * per_pass, self._aim_at_teacher),
            self._student_stage("image", "label", image_passes * per_pass, self._aim_at_teacher),
        ]
        if settings.graph:
            stages += [
                self._graph_stage(settings.k_gph * settings.MAX_ITER),
                self._student_stage("text", "graph", settings.k_txt_g * per_pass, self._aim_at_unified),
                self._student_stage("image", "graph", settings.k_img_g * per_pass, self._aim_at_unified),
            ]
        return tuple(stage for stage in stages if stage.steps)

    def _label_stage(self, steps: int) -> Stage:
        items, optimizer = self._items, self._optimizer("label", self.networks["label"])

        def objective(output, positions):
            batch = tf.gather(items.labels, positions)
            return self._objectives.teacher(output, batch, self._memory(), similarity(items.labels, batch))

        descend = self._descend("label", optimizer, objective)

        def update(positions, _):
            codes, parts = descend(positions, tf.gather(items.labels, positions))
            _scatter(self._teacher_codes, positions, codes)
            return parts

        rates = ((optimizer, self._settings.lr_lab),)
        return Stage("label", steps, update, ("pair", "label"), rates, reads_images=False, begin=lambda: None)

    def _student_stage(self, modality: str, aim: str, steps: int, begin: Callable[[str], None]) -> Stage:
        """A student learns the codes that `begin` puts into the targets."""
        settings, items = self._settings, self._items
        reads_images = modality == "image"
        apart = aim == "graph" and settings.unified == "apart"
        optimizer = self._optimizer(f"{modality}_{aim}", self.networks[modality])

        def objective(output, positions):
            target = tf.gather(self._targets, positions)
            similar = similarity(items.labels, tf.gather(items.labels, positions))
            if apart:
                graph_code = tf.gather(self._graph_codes, positions)
                return self._objectives.student_apart(output, target, graph_code, self._targets, similar)
            labels = tf.gather(self._label_targets, positions)
            return self._objectives.student(output, target, labels, self._targets, similar)

        descend = self._descend(modality, optimizer, objective)

        def update(positions, images):
            inputs = images if reads_images else tf.cast(tf.gather(items.texts, positions), tf.float32)
            return descend(positions, inputs)[1]

        parts = ("code", "graph") if apart else ("code", "label")
        parts += ("pair",) if settings.student_pair else ()
        rates = ((optimizer, settings.lr_img if reads_images else settings.lr_txt),)
        return Stage(f"{modality}/{aim}", steps, update, parts, rates, reads_images, lambda: begin(modality))

    def _graph_stage(self, steps: int) -> Stage:
        items, optimizer = self._items, self._optimizer("graph", self.networks["graph"])
        apart = self._settings.unified == "apart"

        def objective(output, positions):
            batch = tf.gather(items.labels, positions)
            if apart:
                return self._objectives.graph_apart(output, batch, similarity(batch, batch))
            target, similar = tf.gather(self._targets, positions), similarity(items.labels, batch)
            return self._objectives.graph(output, target, batch, self._memory(), similar)

        descend = self._descend("graph", optimizer, objective)

        def update(positions, _):
            codes, parts = descend(positions, self._graph_inputs(positions))
            _scatter(self._graph_codes, positions, codes)
            return parts

        parts = ("pair", "label") if apart else ("code", "pair", "label")
        rates = ((optimizer, self._settings.lr_gph),)
        return Stage("graph", steps, update, parts, rates, reads_images=False, begin=self._begin_graph)

    def _descend(self, name: str, optimizer: keras.optimizers.Optimizer, objective: Callable) -> Callable:
        """One compiled step of a network: positions and inputs of a batch to its codes and losses."""
        network = self.networks[name]

        @tf.function(jit_compile=self._settings.jit_compile)
        def descend(positions, inputs):
            with tf.GradientTape() as tape:
                output = network(inputs, training=True)
                parts = objective(output, positions)
                loss = optimizer.scale_loss(tf.add_n(list(parts.values())))
            variables = network.trainable_variables
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            optimizer.apply(gradients, variables)
            return output["code"], parts

        return descend

    # ------------------------------------------------------------ what is constant during a stage

    def _aim_at_teacher(self, modality: str) -> None:
        """Targets: the signs of the teacher's codes, and the labels (for the text network, the original's
        squared loss: the teacher's prediction of them).
        """
        codes, logits = infer(
            self.networks["label"], slices(self._items.labels, VECTOR_BATCH), "code", "label"
        )
        self._teacher_codes.assign(codes)
        self._targets.assign(sign(self._teacher_codes))
        predicted = modality == "text" and self._settings.label_loss == "squared"
        self._label_targets.assign(tf.sigmoid(logits) if predicted else self._items.labels)

    def _begin_graph(self) -> None:
        """Targets as for the students, and their features of all items: they rest meanwhile."""
        self._aim_at_teacher("graph")
        texts = slices(self._items.texts, VECTOR_BATCH, tf.float32)
        self._text_features.assign(infer(self.networks["text"], texts, "feature")[0])
        if self._items.features is not None:
            images = slices(self._items.features, VECTOR_BATCH)
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

    def _optimizer(self, name: str, network: keras.Model) -> keras.optimizers.Optimizer:
        settings = self._settings
        slowed = self._backbone.model.trainable_variables if self._items.features is None else ()
        adam = RatedAdam(name, slowed, settings.lr_backbone / settings.lr_img)
        optimizer = loss_scaled(adam, settings.precision)
        optimizer.build(network.trainable_variables)
        self.optimizers[name] = optimizer
        return optimizer


def _scatter(memory: tf.Variable, positions: tf.Tensor, rows: tf.Tensor) -> None:
    memory.scatter_update(tf.IndexedSlices(rows, positions))
