"""What each network of GCH minimises: the losses, combined as the settings say."""

import functools

import tensorflow as tf

from gch.methods.gch import losses
from gch.settings import Settings

Parts = dict[str, tf.Tensor]


class Objectives:
    """The parts of every network's loss by name, float scalars; what is minimised is their sum.

    In all methods `output` is what the network returns: `code` (B, K), `label` logits (B, C). `memory` (N, K)
    are the codes of all training items that the batch is compared with, and `similar` (N, B) tells which of
    the pairs share a label.
    """

    def __init__(self, settings: Settings):
        self._student_pair = settings.student_pair
        if settings.pair_loss == "squared":
            self._pair = losses.squared_pair_loss
        else:
            self._pair = functools.partial(losses.likelihood_pair_loss, scale=settings.pair_scale)
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
        """The original's: pairs within the batch, `similar` (B, B), and no tie to the teacher."""
        return {
            "pair": self._pair(output["code"], output["code"], similar),
            "label": losses.label_cross_entropy(output["label"], labels),
        }

    def _student_pairs(self, output: Parts, memory: tf.Tensor, similar: tf.Tensor) -> Parts:
        if not self._student_pair:
            return {}
        return {"pair": self._student_pair * self._pair(memory, output["code"], similar)}
