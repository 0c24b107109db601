"""What each network of GCH minimises: the losses, combined as the settings say."""

import functools

import tensorflow as tf

from gch.methods.gch import losses
from gch.settings import Settings

Parts = dict[str, tf.Tensor]

RANKING_BINS = 17  # of the relaxed histogram of distances; codes of 16 bits have as many


class Objectives:
    """The parts of every network's loss by name, float scalars; what is minimised is their sum.

    In all methods `output` is what the network returns: `code` (B, K), `label` logits (B, C). `memory` (N, K)
    are the codes of the training items that the batch is compared with, and `similar` (N, B) tells which of
    the pairs share a label.

    Attributes:
      RANKING: the parts of `ranking`.
    """

    RANKING = ("I->T", "T->I", "balance", "tie")

    def __init__(self, settings: Settings):
        self._student_pair = settings.student_pair
        self._text_queries = settings.graph_text_queries
        self._balance, self._tie = settings.graph_balance, settings.graph_tie
        if settings.pair_loss == "squared":
            self._pair = losses.squared_pair_loss
        else:
            self._pair = functools.partial(losses.likelihood_pair_loss, scale=settings.pair_scale)
        self._graph_logits = tf.sigmoid if settings.graph_input == "raw" else tf.identity
        squared = settings.label_loss == "squared"
        self._label = losses.squared_label_loss if squared else losses.label_cross_entropy

    def teacher(self, output: Parts, labels: tf.Tensor, memory: tf.Tensor, similar: tf.Tensor) -> Parts:
        """Of the label network, on labels (B, C)."""
        return {
            "pair": self._pair(memory, output["code"], similar),
            "label": self._label(output["label"], labels),
        }

    def student(
        self, output: Parts, target: tf.Tensor, labels: tf.Tensor, memory: tf.Tensor, similar: tf.Tensor
    ) -> Parts:
        """Of the image and text network, on target codes (B, K) of -1 and +1 and label targets (B, C)."""
        return {
            "code": losses.squared_error(output["code"], target),
            "label": self._label(output["label"], labels),
        } | self._student_pairs(output, memory, similar)

    def student_of_labels(self, output: Parts, labels: tf.Tensor) -> Parts:
        """Of the image and text network without a teacher, on labels (B, C)."""
        return {"label": self._label(output["label"], labels)}

    def student_apart(
        self, output: Parts, target: tf.Tensor, graph_code: tf.Tensor, memory: tf.Tensor, similar: tf.Tensor
    ) -> Parts:
        """The original's second half: the signs of the teacher and the graph codes (B, K), both at once."""
        return {
            "code": losses.squared_error(output["code"], target),
            "graph": losses.squared_error(output["code"], graph_code),
        } | self._student_pairs(output, memory, similar)

    def graph(
        self, output: Parts, target: tf.Tensor, labels: tf.Tensor, memory: tf.Tensor, similar: tf.Tensor
    ) -> Parts:
        """Of the graph network.

        Without the target, and compared with the memory alone, g is free to permute the teacher's bits; and
        it then collapses.
        """
        return {
            "code": losses.squared_error(output["code"], target),
            "pair": self._pair(memory, output["code"], similar),
            "label": losses.label_cross_entropy(output["label"], labels),
        }

    def graph_apart(self, output: Parts, labels: tf.Tensor, similar: tf.Tensor) -> Parts:
        """The original's: pairs within the batch, `similar` (B, B), and no tie to the teacher.

        With the setting `graph_input` 'raw' the cross-entropy takes probabilities for logits, as there.
        """
        return {
            "pair": self._pair(output["code"], output["code"], similar),
            "label": losses.label_cross_entropy(self._graph_logits(output["label"]), labels),
        }

    def ranking(self, queries: Parts, answers: Parts, similar: tf.Tensor, counted: tf.Tensor) -> Parts:
        """Of the label graph.

        Args:
          queries: relaxed codes (B, K) of 'image' and 'text'.
          answers: relaxed codes (M, K) of 'image' and 'text', ranked for every query of the other modality.
          similar: float (B, M).
          counted: float (B, M), 0 for an item with itself.
        """

        def loss(asked: str, answered: str) -> tf.Tensor:
            inner = tf.matmul(queries[asked], answers[answered], transpose_b=True) / queries[asked].shape[1]
            return losses.average_precision_loss(inner, similar, counted, RANKING_BINS)

        from_text = self._text_queries
        parts = (
            2 / (1 + from_text) * loss("image", "text"),
            2 * from_text / (1 + from_text) * loss("text", "image"),
            self._balance * (losses.imbalance(answers["image"]) + losses.imbalance(answers["text"])),
            self._tie * losses.squared_error(answers["image"], answers["text"]),
        )
        return dict(zip(self.RANKING, parts, strict=True))

    def _student_pairs(self, output: Parts, memory: tf.Tensor, similar: tf.Tensor) -> Parts:
        if not self._student_pair:
            return {}
        return {"pair": self._student_pair * self._pair(memory, output["code"], similar)}
