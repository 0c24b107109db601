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

from gch.methods.gch.batch_graph import BatchGraph
from gch.methods.gch.code_memory import CodeMemory
from gch.methods.gch.label_graph import LabelGraph
from gch.methods.gch.networks import image_head, label_network, text_network
from gch.methods.gch.objectives import Objectives
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, compiled_step, loss_scaled
from gch.methods.sign import sign
from gch.methods.stage import Stage
from gch.networks.backbone import Backbone
from gch.networks.inference import VECTOR_BATCH, infer, slices
from gch.networks.parts import image_network
from gch.settings import Settings


class GCH:
    """The method GCH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings = settings
        self._items = items
        self._objectives = Objectives(settings)
        self._backbone = backbone
        self.networks = self._build_networks()
        self.encoders = {modality: self.networks[modality] for modality in ("image", "text")}
        self.encoders_without_own = {}
        self.encoding_batch = None
        self._teacher = CodeMemory(settings, items.labels, "teacher_codes")
        self.memories = {"teacher_codes": self._teacher.codes}
        # Constant during a stage and derived from the networks when it begins: not for the checkpoint.
        self._targets = tf.Variable(tf.zeros_like(self._teacher.codes), trainable=False)
        self._label_targets = tf.Variable(tf.zeros_like(items.labels), trainable=False)
        self._label_graph = self._batch_graph = None
        if settings.graph == "label":
            self._label_graph = LabelGraph(settings, items, self.encoders)
            self.networks |= self._label_graph.networks
            self.encoders = self._label_graph.encoders
            self.encoders_without_own = self._label_graph.encoders_without_own
        elif settings.graph == "batch":
            self._batch_graph = BatchGraph(settings, items, self.encoders)
            self.networks["graph"] = self._batch_graph.network
            self.memories["graph_codes"] = self._batch_graph.memory.codes
        self.optimizers = {}
        self.stages = self._build_stages()

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the teacher and of the graph network of a batch."""
        codes = {"teacher": self._teacher.codes.numpy()} if self._settings.teacher else {}
        if self._batch_graph is not None:
            codes["graph"] = self._batch_graph.memory.codes.numpy()
        return codes

    def _build_networks(self) -> dict[str, keras.Model]:
        settings, items = self._settings, self._items
        labels, words = items.labels.shape[1], items.texts.shape[1]
        shape = {
            "labels": labels,
            "bits": settings.bit,
            "embedding": settings.SEMANTIC_EMBED,
            "start": settings.start,
        }
        features = self._backbone.feature_size if items.features is None else items.features.shape[1]
        head = image_head(features, dropout=settings.dropout_img, **shape)
        return {
            "label": label_network(**shape),
            "text": text_network(
                words, dropout=settings.dropout_txt, word_dropout=settings.dropout_words, **shape
            ),
            "image": head if items.features is not None else image_network(self._backbone.model, head),
        }

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
        steps = settings.k_gph * settings.MAX_ITER
        if self._label_graph is not None:
            optimizer = self._optimizer("graph", self._label_graph.trainable_variables)
            stages.append(self._label_graph.stage(steps, optimizer, self._objectives))
        elif self._batch_graph is not None:
            optimizer = self._optimizer("graph", self._batch_graph.network.trainable_variables)
            stages += [
                self._batch_graph.stage(
                    steps,
                    optimizer,
                    self._objectives,
                    self._teacher,
                    self._targets,
                    begin=lambda: self._aim_at_teacher("graph"),
                ),
                self._student_stage("text", "graph", settings.k_txt_g * per_pass, self._aim_at_unified),
                self._student_stage("image", "graph", settings.k_img_g * per_pass, self._aim_at_unified),
            ]
        return tuple(stage for stage in stages if stage.steps)

    def _label_stage(self, steps: int) -> Stage:
        network, items = self.networks["label"], self._items
        optimizer = self._optimizer("label", network.trainable_variables)

        def forward(positions, labels):
            output = network(labels, training=True)
            pairs = self._teacher.pairs(output["code"], positions)
            return output, self._objectives.teacher(output, labels, *pairs)

        step = compiled_step(forward, network.trainable_variables, optimizer, self._settings.jit_compile)

        def update(positions, _):
            labels = tf.gather(items.labels, positions)
            output, parts = step(positions, labels)
            if self._teacher.refreshed_by_step:
                output = network(labels, training=True)
            self._teacher.update(positions, output["code"])
            return parts

        rates = ((optimizer, self._settings.lr_lab),)
        return Stage("label", steps, update, ("pair", "label"), rates, reads_images=False, begin=lambda: None)

    def _student_stage(self, modality: str, aim: str, steps: int, begin: Callable[[str], None]) -> Stage:
        """A student learns the codes that `begin` puts into the targets."""
        settings, items, network = self._settings, self._items, self.networks[modality]
        reads_images = modality == "image"
        apart = aim == "graph" and settings.unified == "apart"
        optimizer = self._optimizer(f"{modality}_{aim}", network.trainable_variables)

        def forward(positions, inputs):
            output = network(inputs, training=True)
            if not settings.teacher:
                labels = tf.gather(items.labels, positions)
                return output, self._objectives.student_of_labels(output, labels)
            target = tf.gather(self._targets, positions)
            pairs = self._teacher.pairs(output["code"], positions, self._targets)
            if apart:
                graph_code = self._batch_graph.taught(modality, output["feature"], positions)
                return output, self._objectives.student_apart(output, target, graph_code, *pairs)
            labels = tf.gather(self._label_targets, positions)
            return output, self._objectives.student(output, target, labels, *pairs)

        step = compiled_step(forward, network.trainable_variables, optimizer, settings.jit_compile)

        def update(positions, images):
            inputs = images if reads_images else tf.cast(tf.gather(items.texts, positions), tf.float32)
            return step(positions, inputs)[1]

        parts = ("code", "graph") if apart else ("code", "label")
        parts += ("pair",) if settings.student_pair else ()
        parts = parts if settings.teacher else ("label",)
        rates = ((optimizer, settings.lr_img if reads_images else settings.lr_txt),)
        return Stage(f"{modality}/{aim}", steps, update, parts, rates, reads_images, lambda: begin(modality))

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
        if not self._teacher.refreshed_by_step:
            self._teacher.codes.assign(codes)
        self._targets.assign(sign(self._teacher.codes))
        predicted = modality == "text" and self._settings.label_loss == "squared"
        self._label_targets.assign(tf.sigmoid(logits) if predicted else self._items.labels)

    def _aim_at_unified(self, modality: str) -> None:
        """Targets: the unified codes of teacher and graph network, and the labels."""
        self._batch_graph.read_students(modality)
        self._targets.assign(self._batch_graph.unified(self._teacher.codes))
        self._label_targets.assign(self._items.labels)

    def _optimizer(self, name: str, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
        settings = self._settings
        slowed = self._backbone.model.trainable_variables if self._items.features is None else ()
        adam = RatedAdam(name, slowed, settings.lr_backbone / settings.lr_img)
        optimizer = loss_scaled(adam, settings.precision)
        optimizer.build(variables)
        self.optimizers[name] = optimizer
        return optimizer
