"""AGAH: adversary-guided asymmetric hashing (Gu et al., ICMR 2019).

A step trains everything at once: first the two discriminators, each of which tells the features of its own
modality from the other's, then the image and the text network, which learn codes by triplets across the
modalities, features that the discriminators take for each other's, and codes that fit the code map. After
every pass over the training items both maps are made anew.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gch.methods.agah import losses
from gch.methods.agah.networks import LabelAttention, discriminator, image_head, text_network
from gch.methods.batch import draw_beta, draw_uniform, sign, similarity
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdamax, loss_scaled
from gch.methods.stage import Batch, Losses, Stage, Update, state
from gch.networks.backbone import Backbone
from gch.networks.parts import image_network, split_over_replicas
from gch.settings import Settings

MODALITIES = ("image", "text")
HEAD_RATE = 10.0  # learning rate of all that is not pretrained, as a multiple of the backbone's
PENALTY = 5e-4  # decay of the weights
CRITIC_PENALTY = 1e-4  # of the discriminators'
CRITIC_BETAS = (0.5, 0.9)
SHOWN = ("triplet I->T", "triplet T->I", "code map", "quantization")  # on the terminal; TensorBoard has all


class Outputs(NamedTuple):
    """What the networks make of a batch.

    Attributes:
      image, text: `code` (B, K), `label` logits (B, C) and `feature` (B, E).
      labels: float (B, C), those of the batch, or blends of them.
    """

    image: dict[str, tf.Tensor]
    text: dict[str, tf.Tensor]
    labels: tf.Tensor


class AGAH:
    """The method AGAH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings, self._items = settings, items
        self._per_pass = len(items) // settings.batch_size
        labels, embedding = items.labels.shape[1], settings.SEMANTIC_EMBED
        attention = LabelAttention(labels, settings.options.lambd, name="attention", dtype="float32")
        shape = {
            "labels": labels,
            "bits": settings.bit,
            "embedding": embedding,
            "start": settings.start,
            "feature_norm": settings.options.feature_norm,
            "attention": attention,
        }
        self._backbone = backbone.model if items.trains_backbone else None
        features = backbone.feature_size if items.trains_backbone else items.images.shape[1]
        self._head = image_head(features, **shape)
        widths = [int(width) for width in settings.options.txt_widths.split(",")]
        self._text = text_network(items.texts.shape[1], widths, **shape)
        image = image_network(self._backbone, self._head) if self._backbone else self._head
        self._critics = {
            modality: discriminator(embedding, settings.start, f"discriminator_{modality}")
            for modality in MODALITIES
        }
        self.encoders = {"image": image, "text": self._text}
        self.networks = self.encoders | {network.name: network for network in self._critics.values()}
        self.encoders_without_own = {}
        self.encoding_batch = settings.batch_size if settings.options.feature_norm == "batch" else None
        self._maps = PassMaps(
            labels,
            settings.bit,
            embedding,
            self._per_pass * settings.batch_size,
            attention.feature_map.value,
            settings.seed,
        )
        self.memories = self._maps.variables
        self.optimizers = {}
        self.stages = (self._stage(),)

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """None: both networks are encoders."""
        return {}

    def _stage(self) -> Stage:
        settings = self._settings
        slowed = self._backbone.trainable_variables if self._backbone else ()
        adamax = RatedAdamax("networks", penalty=PENALTY, slowed=slowed, factor=1 / HEAD_RATE)
        optimizer = loss_scaled(adamax, settings.precision)
        learned = [weight for network in self.encoders.values() for weight in network.trainable_variables]
        return Stage(
            "pairs",
            settings.options.k_agah * self._per_pass,
            self._forward,
            (
                *(self._critic_update(modality) for modality in ("text", "image")),
                self._update("networks", self._losses, learned, optimizer),
            ),
            after=lambda _, outputs: self._maps.gather(outputs.labels, [outputs.image, outputs.text]),
            reads_images=True,
            shown=SHOWN,
        )

    def _update(self, name: str, loss, trains: list, optimizer, decays: bool = True) -> Update:
        optimizer.build(trains)
        self.optimizers[name] = optimizer
        return Update(loss, trains, optimizer, HEAD_RATE * self._settings.options.lr, decays)

    def _critic_update(self, modality: str) -> Update:
        """A discriminator learns which features are of its modality; in the original its rate stays."""
        network = self._critics[modality]
        other = "image" if modality == "text" else "text"
        stream = 1 if modality == "text" else 2

        def loss(batch: Batch, outputs: Outputs) -> Losses:
            real, fake = (tf.stop_gradient(getattr(outputs, name)["feature"]) for name in (modality, other))
            mixing = draw_uniform(batch.positions, stream, real.shape)
            return {
                f"discriminator {modality}": losses.critic_loss(network, real, fake),
                f"penalty {modality}": losses.gradient_penalty(network, real, fake, mixing),
            }

        optimizer = RatedAdamax(network.name, *CRITIC_BETAS, penalty=CRITIC_PENALTY)
        return self._update(network.name, loss, network.trainable_variables, optimizer, decays=False)

    def _forward(self, batch: Batch) -> Outputs:
        items, images = self._items, batch.images
        texts = tf.cast(tf.gather(items.texts, batch.positions), tf.float32)
        labels = tf.gather(items.labels, batch.positions)
        if self._settings.options.data_enhance:
            images, texts, labels = mixed(
                batch.positions, self._settings.options.delta, images, texts, labels
            )
        if self._backbone:
            images = split_over_replicas(self._backbone, images)
        return Outputs(self._head(images, training=True), self._text(texts, training=True), labels)

    def _losses(self, _: Batch, outputs: Outputs) -> Losses:
        settings, (image, text, labels) = self._settings, outputs
        distances = losses.cosine_distances(image["code"], text["code"])
        similar = similarity(labels, labels)
        code_map = tf.convert_to_tensor(self._maps.code_map)
        adversarial = losses.adversarial_loss(
            self._critics["text"], image["feature"]
        ) + losses.adversarial_loss(self._critics["image"], text["feature"])
        both = (image, text)
        return {
            "triplet I->T": losses.all_triplets(distances, similar, settings.options.margin)[0],
            "triplet T->I": losses.all_triplets(tf.transpose(distances), similar, settings.options.margin)[0],
            "balance": settings.options.alpha * sum(losses.balance(one["code"]) for one in both),
            "label": settings.options.beta * sum(losses.label_loss(one["label"], labels) for one in both),
            "code map": settings.options.gamma
            * sum(losses.code_map_loss(one["code"], code_map, labels) for one in both),
            "quantization": settings.options.eta * sum(losses.quantization(one["code"]) for one in both),
            "adversarial": settings.options.mu * adversarial,
        }


def mixed(positions: tf.Tensor, concentration: float, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Mix-up (Zhang et al., ICLR 2018): every item blended with the one before it, a x_i + (1 - a) x_(i - 1).

    The order of a batch is random, so that is a random partner. Picture, text and labels of an item take the
    same a; labels become shares, and two mixed items are similar where any of theirs are.

    Args:
      positions: int (B,), which the blends depend on alone.
      concentration: a is from Beta(concentration, concentration); small ones leave most items nearly as they
        are.
      parts: (B, ...) of any real dtype.

    Returns:
      The blends of `parts`, float32.
    """
    share = draw_beta(positions, 3, positions.shape[0], concentration)

    def blend(part: tf.Tensor) -> tf.Tensor:
        part = tf.cast(part, tf.float32)
        own = tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        return own * part + (1 - own) * tf.roll(part, 1, axis=0)

    return tuple(blend(part) for part in parts)


def updated_code_map(code_map: tf.Tensor, label_codes: tf.Tensor, bit_products: tf.Tensor) -> tf.Tensor:
    """One round of discrete coordinate descent: every bit in turn, the others held.

    With U, V (N, K) the signs of the image and text codes and L (N, C) the labels, bit k becomes
    sign(P_k - 2 sum over i != k of q_i ((U^T U + V^T V)_ik + q_i . q_k)), q_i the column i of Q,
    P = 2 K (L^T (U + V) + (2 I - 1) Q).

    Args:
      code_map: float (C, K), Q, of -1 and +1.
      label_codes: float (C, K), L^T (U + V).
      bit_products: float (K, K), U^T U + V^T V.

    Returns:
      float (C, K), of -1 and +1.
    """
    labels, bits = code_map.shape
    apart = 2 * tf.eye(labels) - 1
    pull = tf.transpose(2 * bits * (label_codes + tf.matmul(apart, code_map)))
    columns = tf.transpose(code_map)
    for bit in tf.range(bits):
        column = columns[bit]
        weights = bit_products[:, bit] + tf.linalg.matvec(columns, column)
        weights = tf.where(tf.range(bits) == bit, 0.0, weights)
        new = sign(pull[bit] - 2 * tf.linalg.matvec(columns, weights, transpose_a=True))
        columns = tf.where(tf.range(bits)[:, None] == bit, new, columns)
    return tf.transpose(columns)


def updated_feature_map(feature_map: tf.Tensor, label_features: tf.Tensor) -> tf.Tensor:
    """The directions of the mean features of the labels, image and text averaged.

    Args:
      feature_map: float (C, E), Z, which a label that no item has keeps (the original: NaN).
      label_features: float (C, E), L^T (F_image + F_text); counts do not matter to a direction.

    Returns:
      float (C, E), rows of unit length but for those kept.
    """
    length = tf.norm(label_features, axis=1, keepdims=True)
    return tf.where(length > 0, label_features / tf.maximum(length, 1e-12), feature_map)


class PassMaps:
    """Both maps, and what the pass that is under way has gathered for them.

    The code map Q (C, K) holds a code of every label, the feature map Z (C, E) a feature. The original keeps
    the codes and features of all N items until a pass is over, and makes the maps of them. But they enter in
    sums over the items only, which are as small as the maps: those are what a pass gathers.

    Attributes:
      code_map: tf.Variable float32 (C, K).
      variables: what a checkpoint must hold, by name; the feature map is a weight of the networks.
    """

    def __init__(
        self, labels: int, bits: int, embedding: int, items: int, feature_map: tf.Variable, seed: int
    ):
        """Arguments beside the obvious: `items`, how many make a pass; `feature_map`, the variable (C, E) to
        set; `seed`, of the random signs that the code map starts from.
        """

        def zeros(*shape: int) -> tf.Variable:
            return state(tf.zeros(shape))

        start = sign(tf.random.stateless_normal([labels, bits], seed=(seed, labels)))
        self.code_map = state(start)
        self._feature_map, self._items = feature_map, items
        self._label_codes, self._bit_products = zeros(labels, bits), zeros(bits, bits)
        self._label_features, self._seen = zeros(labels, embedding), zeros()
        self.variables = {
            "code_map": self.code_map,
            "label_codes": self._label_codes,
            "bit_products": self._bit_products,
            "label_features": self._label_features,
            "items_seen": self._seen,
        }

    def gather(self, labels: tf.Tensor, outputs: list[dict[str, tf.Tensor]]) -> None:
        """Adds a batch, and makes the maps when the pass is over.

        Args:
          labels: float (B, C).
          outputs: of the image and the text network: `code` (B, K), `feature` (B, E).
        """
        codes = [sign(output["code"]) for output in outputs]
        features = tf.add_n([output["feature"] for output in outputs])
        self._label_codes.assign_add(tf.matmul(labels, tf.add_n(codes), transpose_a=True))
        self._bit_products.assign_add(tf.add_n([tf.matmul(code, code, transpose_a=True) for code in codes]))
        self._label_features.assign_add(tf.matmul(labels, features, transpose_a=True))
        self._seen.assign_add(tf.cast(tf.shape(labels)[0], tf.float32))
        if self._seen >= self._items:
            self._make()

    def _make(self) -> None:
        self.code_map.assign(updated_code_map(self.code_map, self._label_codes, self._bit_products))
        self._feature_map.assign(updated_feature_map(self._feature_map, self._label_features))
        for gathered in (self._label_codes, self._bit_products, self._label_features, self._seen):
            gathered.assign(tf.zeros_like(gathered))
