"""GCH: the networks, their losses and the stages of an outer epoch (Xu et al., IJCAI 2019, section 3).

label       the teacher learns codes from labels; its codes fill the code memory H
text, image the students learn the signs of H, and the labels
graph       graph networks learn unified codes over items and labels (`gch.methods.gch.label_graph`)

With the paper's graph of the items of a batch:
label, text, image as above
graph       the graph network fuses the students' features over the label affinity; its codes fill M
text, image the students learn the signs of H + M
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from gch.codes import sign
from gch.methods.gch.affinity import normalized_affinity, similarity
from gch.methods.gch.draws import draw_positions
from gch.methods.gch.fusion import fuse
from gch.methods.gch.label_graph import LabelGraph
from gch.methods.gch.networks import graph_network, image_head, image_network, label_network, text_network
from gch.methods.gch.objectives import Objectives
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.methods.stage import Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, slices
from gch.settings import Settings


class GCH:
    """The method GCH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone):
        self._settings = settings
        self._items = items
        self._objectives = Objectives(settings)
        self._backbone = backbone
        self.networks = self._build_networks()
        self.encoders = {modality: self.networks[modality] for modality in ("image", "text")}
        if settings.graph == "label":
            self._label_graph = LabelGraph(settings, items, self.encoders)
            self.networks |= self._label_graph.networks
            self.encoders = self._label_graph.encoders
        self._build_memories()
        self.optimizers = {}
        self.stages = self._build_stages()

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher and of the graph network of a batch."""
        codes = {"teacher": self._teacher_codes.numpy()} if self._settings.teacher else {}
        if self._settings.graph == "batch":
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
            "text": text_network(
                words, dropout=settings.dropout_txt, word_dropout=settings.dropout_words, **shape
            ),
            "image": head if items.features is not None else image_network(self._backbone.model, head),
        }
        if settings.graph == "batch":
            networks["graph"] = graph_network(**shape, batch_norm=settings.graph_input == "normalized")
        return networks

    def _build_memories(self) -> None:
        count, labels = self._items.labels.shape
        bits, embedding = self._settings.bit, self._settings.SEMANTIC_EMBED

        def memory(name: str, width: int) -> tf.Variable:
            return tf.Variable(tf.zeros([count, width]), trainable=False, name=name)

        self._teacher_codes = memory("teacher_codes", bits)
        self.memories = {"teacher_codes": self._teacher_codes}
        # Constant during a stage and derived from the networks when it begins: not for the checkpoint.
        self._targets = memory("targets", bits)
        self._label_targets = memory("label_targets", labels)
        if self._settings.graph == "batch":
            self._graph_codes = self.memories["graph_codes"] = memory("graph_codes", bits)
            self._image_features = memory("image_features", embedding)
            self._text_features = memory("text_features", embedding)

    # ------------------------------------------------------------ stages

    def _build_stages(self) -> tuple[Stage, ...]:
        settings = self._settings
        per_pass = len(self._items) // settings.batch_size
        text_passes, image_passes = settings.k_txt, settings.k_img
        if settings.graph == "none":  # the same budget, all of it spent on the teacher's codes
            text_passes, image_passes = text_passes + settings.k_txt_g, image_passes + settings.k_img_g
        stages = [self._label_stage(settings.k_lab * settings.MAX_ITER)] if settings.teacher else []
        stages += [
            self._student_stage("text", "label", text_passes * per_pass, self._aim_at_teacher),
            self._student_stage("image", "label", image_passes * per_pass, self._aim_at_teacher),
        ]
        graph_steps = settings.k_gph * settings.MAX_ITER
        if settings.graph == "label":
            optimizer = self._optimizer("graph", self._label_graph.trainable_variables)
            stages.append(self._label_graph.stage(graph_steps, optimizer, settings.lr_gph, self._objectives))
        elif settings.graph == "batch":
            stages += [
                self._graph_stage(graph_steps),
                self._student_stage("text", "graph", settings.k_txt_g * per_pass, self._aim_at_unified),
                self._student_stage("image", "graph", settings.k_img_g * per_pass, self._aim_at_unified),
            ]
        return tuple(stage for stage in stages if stage.steps)

    def _label_stage(self, steps: int) -> Stage:
        items = self._items
        optimizer = self._optimizer("label", self.networks["label"].trainable_variables)

        def objective(output, positions):
            batch = tf.gather(items.labels, positions)
            return self._objectives.teacher(output, batch, *self._compared(output, self._memory(), positions))

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
        optimizer = self._optimizer(f"{modality}_{aim}", self.networks[modality].trainable_variables)

        def objective(output, positions):
            if not settings.teacher:
                return self._objectives.student_of_labels(output, tf.gather(items.labels, positions))
            target = tf.gather(self._targets, positions)
            compared = self._compared(output, self._targets, positions)
            if apart:
                graph_code = tf.gather(self._graph_codes, positions)
                return self._objectives.student_apart(output, target, graph_code, *compared)
            labels = tf.gather(self._label_targets, positions)
            return self._objectives.student(output, target, labels, *compared)

        descend = self._descend(modality, optimizer, objective)

        def update(positions, images):
            inputs = images if reads_images else tf.cast(tf.gather(items.texts, positions), tf.float32)
            return descend(positions, inputs)[1]

        parts = ("code", "graph") if apart else ("code", "label")
        parts += ("pair",) if settings.student_pair else ()
        parts = parts if settings.teacher else ("label",)
        rates = ((optimizer, settings.lr_img if reads_images else settings.lr_txt),)
        return Stage(f"{modality}/{aim}", steps, update, parts, rates, reads_images, lambda: begin(modality))

    def _graph_stage(self, steps: int) -> Stage:
        items = self._items
        optimizer = self._optimizer("graph", self.networks["graph"].trainable_variables)
        apart = self._settings.unified == "apart"

        def objective(output, positions):
            batch = tf.gather(items.labels, positions)
            if apart:
                return self._objectives.graph_apart(output, batch, similarity(batch, batch))
            target = tf.gather(self._targets, positions)
            compared = self._compared(output, self._memory(), positions)
            return self._objectives.graph(output, target, batch, *compared)

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
        if not self._settings.teacher:
            return
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
        for modality, memory in (("text", self._text_features), ("image", self._image_features)):
            memory.assign(infer(self.networks[modality], self._items.inputs(modality), "feature")[0])

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

    def _compared(
        self, output: dict[str, tf.Tensor], memory: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The codes (M, K) that a batch's pairs are made with, and the similarities (M, B)."""
        labels, count = self._items.labels, self._settings.pair_items
        batch = tf.gather(labels, positions)
        if self._settings.memory == "batch":
            return output["code"], similarity(batch, batch)
        if not 0 < count < len(self._items):
            return tf.convert_to_tensor(memory), similarity(labels, batch)
        others = draw_positions(positions, count, len(self._items))
        return tf.gather(memory, others), similarity(tf.gather(labels, others), batch)

    def _memory(self) -> tf.Tensor:
        """The code memory as the pair loss takes it, (N, K)."""
        codes = tf.convert_to_tensor(self._teacher_codes)
        return sign(codes) if self._settings.memory == "sign" else codes

    def _graph_inputs(self, positions: tf.Tensor) -> list[tf.Tensor]:
        """Fused features (B, E) and normalised affinity (B, B) of a batch."""
        image = tf.gather(self._image_features, positions)
        text = tf.gather(self._text_features, positions)
        if self._settings.graph_input == "normalized":
            image, text = tf.math.l2_normalize(image, axis=1), tf.math.l2_normalize(text, axis=1)
        return [fuse(image, text), normalized_affinity(tf.gather(self._items.labels, positions))]

    def _optimizer(self, name: str, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
        settings = self._settings
        slowed = self._backbone.model.trainable_variables if self._items.features is None else ()
        adam = RatedAdam(name, slowed, settings.lr_backbone / settings.lr_img)
        optimizer = loss_scaled(adam, settings.precision)
        optimizer.build(variables)
        self.optimizers[name] = optimizer
        return optimizer


def _scatter(memory: tf.Variable, positions: tf.Tensor, rows: tf.Tensor) -> None:
    memory.scatter_update(tf.IndexedSlices(rows, positions))
