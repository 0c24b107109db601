"""The paper's graph: the items of a batch, tied by the labels that they share (section 3.2).

The graph network fuses the features of both students, which rest meanwhile, over the label affinity of the
batch. Its codes fill the code memory M, and teach the students in the stages that follow.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from gch.methods.gch.affinity import normalized_affinity
from gch.methods.gch.code_memory import CodeMemory
from gch.methods.gch.fusion import fuse
from gch.methods.gch.networks import graph_network
from gch.methods.gch.objectives import Objectives
from gch.methods.items import TrainingItems
from gch.methods.optimizer import compiled_step
from gch.methods.sign import sign
from gch.methods.similarity import similarity
from gch.methods.stage import Stage
from gch.networks.inference import infer
from gch.settings import Settings


class BatchGraph:
    """One graph network for both modalities.

    Attributes:
      network: the graph network.
      memory: its codes M of all training items.
    """

    def __init__(self, settings: Settings, items: TrainingItems, students: dict[str, keras.Model]):
        count, labels = items.labels.shape
        self._settings, self._items, self._students = settings, items, students
        self._normalized = settings.graph_input == "normalized"
        embedding = settings.SEMANTIC_EMBED
        self.network = graph_network(
            embedding, labels, settings.bit, settings.start, batch_norm=self._normalized
        )
        self.memory = CodeMemory(settings, items.labels, "graph_codes")
        # What of the resting students is constant. Raw features are by the statistics of their batch, so that
        # only what the students read of an item is; for the texts that is in memory as it is.
        constant = {"image": students["image"].output["vector"].shape[-1]}
        if self._normalized:
            constant = {modality: embedding for modality in students}
        elif items.features is not None:
            constant = {}
        self._constant = {
            modality: tf.Variable(tf.zeros([count, size]), trainable=False)
            for modality, size in constant.items()
        }

    def unified(self, teacher_codes: tf.Variable) -> tf.Tensor:
        """The signs (N, K) that the students learn: of teacher, graph network or both."""
        relaxed = {
            "teacher": teacher_codes,
            "graph": self.memory.codes,
            "both": teacher_codes + self.memory.codes,
            "apart": teacher_codes,
        }
        return sign(tf.convert_to_tensor(relaxed[self._settings.unified]))

    def stage(
        self,
        steps: int,
        optimizer: keras.optimizers.Optimizer,
        objectives: Objectives,
        teacher: CodeMemory,
        targets: tf.Variable,
        begin: Callable[[], None],
    ) -> Stage:
        """The stage 'graph'.

        Args:
          steps: number of steps.
          optimizer: of the network.
          objectives: the losses.
          teacher: the teacher's codes H, which pairs are made with.
          targets: the codes (N, K) that g is tied to.
          begin: sets the targets.
        """
        settings, items = self._settings, self._items
        apart = settings.unified == "apart"

        def forward(positions, _):
            output = self._run(positions)
            batch = tf.gather(items.labels, positions)
            if apart:
                return output, objectives.graph_apart(output, batch, similarity(batch, batch))
            pairs = teacher.pairs(output["code"], positions)
            return output, objectives.graph(output, tf.gather(targets, positions), batch, *pairs)

        step = compiled_step(forward, self.network.trainable_variables, optimizer, settings.jit_compile)

        def update(positions, _):
            output, parts = step(positions, None)
            if self.memory.refreshed_by_step:
                output = self._run(positions)
            self.memory.update(positions, output["code"])
            return parts

        def begin_all() -> None:
            begin()
            self.read_students()

        parts = ("pair", "label") if apart else ("code", "pair", "label")
        rates = ((optimizer, settings.lr_gph),)
        return Stage("graph", steps, update, parts, rates, reads_images=False, begin=begin_all)

    def read_students(self, learning: str = "") -> None:
        """Notes what is constant of the students but the one that is `learning`."""
        output = "feature" if self._normalized else "vector"
        if self._normalized and learning:  # its codes are in the memory
            return
        for modality, noted in self._constant.items():
            if modality != learning:
                noted.assign(infer(self._students[modality], self._items.inputs(modality), output)[0])

    def taught(self, modality: str, feature: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """The graph codes (B, K) that a student learns, constants.

        Args:
          modality: the student's.
          feature: float (B, E), its features of the batch.
          positions: int (B,).
        """
        if self._normalized:
            return tf.gather(self.memory.codes, positions)
        return tf.stop_gradient(self._run(positions, **{modality: feature})["code"])

    def _run(self, positions: tf.Tensor, **learning: tf.Tensor) -> dict[str, tf.Tensor]:
        """The graph network's output for a batch; of a student that is `learning`, by its features (B, E)."""
        features = {
            modality: learning[modality] if modality in learning else self._feature(modality, positions)
            for modality in ("image", "text")
        }
        affinity = normalized_affinity(tf.gather(self._items.labels, positions))
        return self.network([fuse(features["image"], features["text"]), affinity], training=True)

    def _feature(self, modality: str, positions: tf.Tensor) -> tf.Tensor:
        """What the graph network reads of a resting student, (B, E)."""
        if self._normalized:
            return tf.math.l2_normalize(tf.gather(self._constant[modality], positions), axis=1)
        items, student = self._items, self._students[modality]
        if modality == "text":
            inputs = tf.cast(tf.gather(items.texts, positions), tf.float32)
        elif items.features is not None:
            inputs = tf.gather(items.features, positions)
        else:
            inputs, student = tf.gather(self._constant[modality], positions), student.get_layer("image_head")
        return student(inputs, training=True)["feature"]
