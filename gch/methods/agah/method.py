"""AGAH: adversary-guided asymmetric hashing (Gu et al., ICMR 2019).

A step trains everything at once: first the two discriminators, each of which tells the features of its own
modality from the other's, then the image and the text network, which learn codes by triplets across the
modalities, features that the discriminators take for each other's, and codes that fit the code map. After
every pass over the training items both maps are updated.
"""

from typing import NamedTuple

import tensorflow as tf

from gch.methods.agah import losses
from gch.methods.agah.networks import LabelAttention, discriminator, network
from gch.methods.batch import draw_beta, draw_uniform, sign, similarity
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Losses, Method, Stage, Update
from gch.methods.optimizer import RatedAdamax, loss_scaled
from gch.networks.backbone import Backbone
from gch.settings import Settings

OTHER = {"text": "image", "image": "text"}
HEAD_RATE = 10.0  # learning rate of what is not pretrained, as a multiple of the backbone's
PENALTY = 5e-4  # weight decay
CRITIC_PENALTY = 1e-4  # weight decay of the discriminators
CRITIC_BETAS = (0.5, 0.9)
SHOWN = ("triplet I->T", "triplet T->I", "code map", "quantization")  # on the terminal; TensorBoard has all


class Outputs(NamedTuple):
    """The networks' outputs for a batch."""

    image: dict[str, tf.Tensor]  # `code` (B, K), `label` logits (B, C) and `feature` (B, E)
    text: dict[str, tf.Tensor]  # likewise
    labels: tf.Tensor  # float (B, C), those of the batch, or blends of them


class AGAH(Method):
    """The method AGAH."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own, embedding, (_, labels) = self.own, settings.SEMANTIC_EMBED, items.labels.shape
        attention = LabelAttention(labels, own.lambd, name="attention", dtype="float32")
        shape = {"labels": labels, "bits": settings.bit, "embedding": embedding, "start": settings.start}
        shape |= {"feature_norm": own.feature_norm, "attention": attention}
        self._head = network("image_head", self.feature_size, (), **shape)
        widths = [int(width) for width in own.txt_widths.split(",")]
        self._text = network("text", items.texts.shape[1], widths, **shape)
        self.encoders = {"image": self.image_network(self._head), "text": self._text}
        self._critics = {
            modality: discriminator(embedding, settings.start, f"discriminator_{modality}")
            for modality in ("image", "text")
        }
        self.networks = self.encoders | {critic.name: critic for critic in self._critics.values()}
        self.encoding_batch = settings.batch_size if own.feature_norm == "batch" else None
        of_a_pass = self.steps_per_pass * settings.batch_size
        self._maps = PassMaps(settings.bit, of_a_pass, attention.feature_map.value, settings.seed)
        self.memories = self._maps.variables
        self.stages = (
            Stage(
                "pairs",
                own.k_agah * self.steps_per_pass,
                self._forward,
                (self._critic_update("text"), self._critic_update("image"), self._networks_update()),
                after=lambda _, outputs: self._maps.gather(outputs),
                reads_images=True,
                shown=SHOWN,
            ),
        )

    def _networks_update(self) -> Update:
        weights = [weight for encoder in self.encoders.values() for weight in encoder.trainable_variables]
        adamax = RatedAdamax("networks", PENALTY, slowed=self.backbone_weights, factor=1 / HEAD_RATE)
        optimizer = loss_scaled(adamax, self.settings.precision)
        return self.update("networks", self._losses, weights, optimizer, HEAD_RATE * self.own.lr)

    def _critic_update(self, modality: str) -> Update:
        """A discriminator learns which features are of its modality; AGAH's original keeps its rate."""
        critic, stream = self._critics[modality], 1 if modality == "text" else 2

        def loss(batch: Batch, outputs: Outputs) -> Losses:
            real, fake = (
                tf.stop_gradient(getattr(outputs, name)["feature"]) for name in (modality, OTHER[modality])
            )
            mixing = draw_uniform(batch.positions, stream, real.shape)
            return {
                f"discriminator {modality}": losses.critic_loss(critic, real, fake),
                f"penalty {modality}": losses.gradient_penalty(critic, real, fake, mixing),
            }

        adamax = RatedAdamax(critic.name, CRITIC_PENALTY, betas=CRITIC_BETAS)
        rate = HEAD_RATE * self.own.lr
        return self.update(critic.name, loss, critic.trainable_variables, adamax, rate, decays=False)

    def _forward(self, batch: Batch) -> Outputs:
        images, texts, labels = batch.images, self.texts(batch), self.labels(batch)
        if self.own.data_enhance:
            images, texts, labels = mixed(batch.positions, self.own.delta, images, texts, labels)
        image = self._head(self.features(images), training=True)
        return Outputs(image, self._text(texts, training=True), labels)

    def _losses(self, _: Batch, outputs: Outputs) -> Losses:
        own, (image, text, labels) = self.own, outputs
        distances = losses.cosine_distances(image["code"], text["code"])
        similar = similarity(labels, labels)
        code_map = tf.convert_to_tensor(self._maps.code_map)
        # An image should be taken for a text, and a text for an image.
        adversarial = -tf.reduce_mean(self._critics["text"](image["feature"]))
        adversarial += -tf.reduce_mean(self._critics["image"](text["feature"]))
        both = (image, text)
        return {
            "triplet I->T": losses.all_triplets(distances, similar, own.margin)[0],
            "triplet T->I": losses.all_triplets(tf.transpose(distances), similar, own.margin)[0],
            "balance": own.alpha * sum(losses.balance(one["code"]) for one in both),
            "label": own.beta * sum(losses.label_loss(one["label"], labels) for one in both),
            "code map": own.gamma * sum(losses.code_map_loss(one["code"], code_map, labels) for one in both),
            "quantization": own.eta * sum(losses.quantization(one["code"]) for one in both),
            "adversarial": own.mu * adversarial,
        }


build = AGAH


def mixed(positions: tf.Tensor, concentration: float, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Mix-up (Zhang et al., ICLR 2018): every item blended with the one before it, a x_i + (1 - a) x_(i - 1).

    The order of a batch is random, so that is a random partner. Picture, text and labels of an item share the
    same a; labels become shares, and two mixed items are similar where any of theirs are. By the positions
    (B,), a is drawn from Beta(concentration, concentration). From parts (B, ...) of any dtype to float32.
    """
    share = draw_beta(positions, 3, positions.shape[0], concentration)

    def blend(part: tf.Tensor) -> tf.Tensor:
        part = tf.cast(part, tf.float32)
        own = tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        return own * part + (1 - own) * tf.roll(part, 1, axis=0)

    return tuple(blend(part) for part in parts)


def updated_code_map(code_map: tf.Tensor, label_codes: tf.Tensor, bit_products: tf.Tensor) -> tf.Tensor:
    """One round of discrete coordinate descent: every bit in turn, the others fixed.

    With U, V (N, K) the signs of the image and text codes and L (N, C) the labels, bit k becomes
    sign(P_k - 2 sum over i != k of q_i ((U^T U + V^T V)_ik + q_i . q_k)), q_i the column i of Q,
    P = 2 K (L^T (U + V) + (2 I - 1) Q). `code_map` is Q, float (C, K) of -1 and +1, `label_codes` is
    L^T (U + V), and `bit_products` U^T U + V^T V.
    """
    labels, bits = code_map.shape
    apart = 2 * tf.eye(labels) - 1
    pull = tf.transpose(2 * bits * (label_codes + tf.matmul(apart, code_map)))
    columns = tf.transpose(code_map)

    def descend(bit: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = bit_products[:, bit] + tf.linalg.matvec(columns, columns[bit])
        weights = tf.where(tf.range(bits) == bit, 0.0, weights)
        new = sign(pull[bit] - 2 * tf.linalg.matvec(columns, weights, transpose_a=True))
        return bit + 1, tf.where(tf.range(bits)[:, None] == bit, new, columns)

    _, columns = tf.while_loop(lambda bit, _: bit < bits, descend, (0, columns))
    return tf.transpose(columns)


def updated_feature_map(feature_map: tf.Tensor, label_features: tf.Tensor) -> tf.Tensor:
    """The directions (C, E) of the labels' mean features, image and text averaged, of their sums
    L^T (F_image + F_text): counts do not matter to a direction. A label that no item has keeps its row of Z,
    `feature_map` (the original: NaN).
    """
    length = tf.norm(label_features, axis=1, keepdims=True)
    return tf.where(length > 0, label_features / tf.maximum(length, 1e-12), feature_map)


class PassMaps:
    """Both maps, and the sums that the current pass has gathered for them.

    The code map Q (C, K) holds a code of every label, the feature map Z (C, E) a feature. The original keeps
    the codes and features of all N items until a pass is over, and computes the maps from them.
    But they enter as sums over the `items` of a pass only, which are as small as the maps: a pass gathers
    these sums. `feature_map` is a weight of the networks; the code map starts from random signs. A checkpoint
    must hold the `variables`.
    """

    def __init__(self, bits: int, items: int, feature_map: tf.Variable, seed: int):
        labels, embedding = feature_map.shape
        self._items, self._feature_map = items, feature_map
        self.code_map = state(sign(tf.random.stateless_normal([labels, bits], seed=(seed, labels))))
        shapes = {
            "label_codes": (labels, bits),
            "bit_products": (bits, bits),
            "label_features": (labels, embedding),
            "items_seen": (),
        }
        self._gathered = {name: state(tf.zeros(shape)) for name, shape in shapes.items()}
        self.variables = {"code_map": self.code_map} | self._gathered

    def gather(self, outputs: Outputs) -> None:
        """Adds a batch, and updates the maps when the pass is over."""
        labels, of = outputs.labels, self._gathered
        codes = [sign(output["code"]) for output in (outputs.image, outputs.text)]
        features = outputs.image["feature"] + outputs.text["feature"]
        of["label_codes"].assign_add(tf.matmul(labels, tf.add_n(codes), transpose_a=True))
        of["bit_products"].assign_add(tf.add_n([tf.matmul(code, code, transpose_a=True) for code in codes]))
        of["label_features"].assign_add(tf.matmul(labels, features, transpose_a=True))
        of["items_seen"].assign_add(tf.cast(tf.shape(labels)[0], tf.float32))
        tf.cond(of["items_seen"] >= self._items, self._make, lambda: None)

    def _make(self) -> None:
        of = self._gathered
        self.code_map.assign(updated_code_map(self.code_map, of["label_codes"], of["bit_products"]))
        self._feature_map.assign(updated_feature_map(self._feature_map, of["label_features"]))
        for gathered in of.values():
            gathered.assign(tf.zeros_like(gathered))
