"""What a method is: networks and stages."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers import Optimizer

from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.networks.backbone import Backbone
from gch.networks.parts import split_over_replicas
from gch.settings import Settings

Losses = dict[str, tf.Tensor]  # the parts of a loss by name, float scalars


class Batch(NamedTuple):
    """The input of a step."""

    positions: tf.Tensor  # int (B,), of training items; no position occurs twice
    # Features (B, F) of a frozen backbone, or pixels uint8 (B, H, W, 3) for a trained one; None in a stage
    # that reads no images.
    images: tf.Tensor | None


# A function of the batch, the outputs of the stage's `forward`, and variables alone.
Loss = Callable[[Batch, Any], Losses]


@dataclasses.dataclass(frozen=True)
class Update:
    """One step of gradient descent."""

    loss: Loss  # the sum of its parts is minimised
    trains: Sequence[keras.Variable]  # the variables over which it is minimised
    optimizer: Optimizer  # built for these variables
    rate: float  # learning rate of the first outer epoch
    decays: bool = True  # whether the schedule lowers the rate


@dataclasses.dataclass(frozen=True)
class Stage:
    """Many steps of one kind, which `gch.training.loop` compiles to one program.

    Attributes:
      name: such as 'text/label'.
      steps: number of steps in an outer epoch.
      forward: maps a batch to the outputs that all updates share; recorded for their gradients.
      updates: of a step, in order.
      after: runs after the updates, with the batch and the outputs; updates a memory bank, for example.
      begin: sets what is constant during the stage, such as targets. Called again when the stage resumes, so
        it may depend only on what the stage does not change.
      reads_images: whether a batch has images.
      shown: the parts of the losses that the terminal shows; none: all.
    """

    name: str
    steps: int
    forward: Callable[[Batch], Any]
    updates: tuple[Update, ...]
    after: Callable[[Batch, Any], None] = lambda batch, outputs: None
    begin: Callable[[], None] = lambda: None
    reads_images: bool = False
    shown: tuple[str, ...] = ()


class Method:
    """The interface of a method to training, evaluation and export. A subclass sets
    `encoders`, `networks` and `stages`.

    Attributes:
      networks: all networks by name, and single layers that have weights of their own.
      encoders: models that compute codes, of the networks' layers. 'image' maps images (features (B, F) of a
        frozen backbone, else pixels (B, H, W, 3)) and 'text' maps float texts (B, D) to a dictionary with
        `code` (B, K) in (-1, 1) and, with labels, `label` logits (B, C). 'pair', of methods with unified
        codes, maps a list of both.
      encoders_without_own: where encoders look training items up, the same encoders with one more input,
        int32 (B,): the position of a training item, whose own entry is then left out, or -1. Else empty.
      encoding_batch: number of items that are encoded together where a code depends on its batch, else None.
      optimizers: all optimizers by name.
      chosen_by: the measures by which the best outer epoch is chosen, 'mAP' or 'recall@10' of own halves.
      memories: other variables that a checkpoint must hold, such as memory banks, by name.
      stages: what an outer epoch runs, in order.
      settings: of the run; `own` are the method's.
      items: what it trains on.
      backbone: a trained one, with its `backbone_weights`; None where images are features already.
      feature_size: size F of the features that the image network's head reads.
      steps_per_pass: steps in which the training items are seen once.
    """

    networks: dict[str, keras.Layer]
    encoders: dict[str, keras.Model]
    stages: tuple[Stage, ...]

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self.encoders_without_own: dict[str, keras.Model] = {}
        self.encoding_batch: int | None = None
        self.optimizers: dict[str, Optimizer] = {}
        self.memories: dict[str, tf.Variable] = {}
        self.chosen_by: tuple[str, ...] = ("mAP",)
        self.settings, self.own, self.items = settings, settings.options, items
        self.steps_per_pass = len(items) // settings.batch_size
        self.backbone: keras.Model | None = None
        if items.trains_backbone and backbone:
            self.backbone, self.feature_size = backbone.model, backbone.feature_size
        elif items.images is not None:
            self.feature_size = items.images.shape[1]
        self.backbone_weights = self.backbone.trainable_variables if self.backbone else []

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """Relaxed codes (N, K) of the training items by the networks that only training has."""
        return {}

    def image_network(self, head: keras.Model) -> keras.Model:
        """The image encoder: the head, on the backbone if that is trained."""
        if self.backbone is None:
            return head
        images = keras.Input(self.backbone.input_shape[1:], name="images")
        return keras.Model(images, head(self.backbone(images)), name="image")

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The inputs (B, F) of the head in training, from a batch's images."""
        return split_over_replicas(self.backbone, images) if self.backbone else images

    def texts(self, batch: Batch) -> tf.Tensor:
        """The texts of a batch, float32 (B, D)."""
        return tf.cast(tf.gather(self.items.texts, batch.positions), tf.float32)

    def labels(self, batch: Batch) -> tf.Tensor:
        """The labels of a batch, float32 (B, C)."""
        return tf.gather(self.items.labels, batch.positions)

    def update(
        self,
        name: str,
        loss: Loss,
        trains: list[keras.Variable],
        optimizer: Optimizer,
        rate: float,
        decays: bool = True,
    ) -> Update:
        """An `Update` whose optimizer is built, and kept for checkpoints under the name."""
        optimizer.build(trains)
        self.optimizers[name] = optimizer
        return Update(loss, trains, optimizer, rate, decays)

    def adam(self, name: str, loss: Loss, trains: list[keras.Variable], rate: float) -> Update:
        """An `update` by Adam, slower on a trained backbone: by `lr_backbone` / `lr_img`."""
        adam = RatedAdam(name, self.backbone_weights, self.own.lr_backbone / self.own.lr_img)
        return self.update(name, loss, trains, loss_scaled(adam, self.settings.precision), rate)


def build_method(settings: Settings, items: TrainingItems, backbone: Backbone | None) -> Method:
    """The method that the settings name, with newly started networks.

    `backbone` may be None where the items have features.
    """
    module = importlib.import_module(f"gch.methods.{settings.method}.method")
    return module.build(settings, items, backbone)
