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
        self._features = {
            modality: tf.Variable(tf.zeros([count, embedding]), trainable=False) for modality in students
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
            output = self.network(self._inputs(positions), training=True)
            batch = tf.gather(items.labels, positions)
            if apart:
                return output, objectives.graph_apart(output, batch, similarity(batch, batch))
            pairs = teacher.pairs(output["code"], positions)
            return output, objectives.graph(output, tf.gather(targets, positions), batch, *pairs)

        step = compiled_step(forward, self.network.trainable_variables, optimizer, settings.jit_compile)

        def update(positions, _):
            output, parts = step(positions, None)
            self.memory.update(positions, output["code"])
            return parts

        def begin_all() -> None:
            begin()
            for modality, memory in self._features.items():
                memory.assign(infer(self._students[modality], items.inputs(modality), "feature")[0])

        parts = ("pair", "label") if apart else ("code", "pair", "label")
        rates = ((optimizer, settings.lr_gph),)
        return Stage("graph", steps, update, parts, rates, reads_images=False, begin=begin_all)

    def _inputs(self, positions: tf.Tensor) -> list[tf.Tensor]:
        """Fused features (B, E) and normalised affinity (B, B) of a batch."""
        image, text = (tf.gather(self._features[modality], positions) for modality in ("image", "text"))
        if self._normalized:
            image, text = tf.math.l2_normalize(image, axis=1), tf.math.l2_normalize(text, axis=1)
        return [fuse(image, text), normalized_affinity(tf.gather(self._items.labels, positions))]
