"""AGAH: adversary-guided asymmetric hashing (Gu et al., ICMR 2019).

A step trains everything at once: first the two discriminators, each of which tells the features of its own
modality from the other's, then the image and the text network, which learn codes by triplets across the
modalities, features that the discriminators take for each other's, and codes that fit the code map. After
every pass over the training items both maps are made anew.
"""

import keras
import numpy as np
import tensorflow as tf

from gch.methods.agah import losses
from gch.methods.agah.layers import LabelAttention
from gch.methods.agah.maps import PassMaps
from gch.methods.agah.mixing import mixed
from gch.methods.agah.networks import discriminator, image_head, text_network
from gch.methods.agah.triplets import all_triplets, cosine_distances
from gch.methods.draws import draw_uniform
from gch.methods.items import TrainingItems
from gch.methods.optimizer import RatedAdamax, compiled_step, loss_scaled
from gch.methods.similarity import similarity
from gch.methods.stage import Stage
from gch.networks.backbone import Backbone
from gch.networks.parts import image_network
from gch.settings import Settings

MODALITIES = ("image", "text")
HEAD_RATE = 10.0  # learning rate of all that is not pretrained, as a multiple of the backbone's
PENALTY = 5e-4  # decay of the weights
CRITIC_PENALTY = 1e-4  # of the discriminators'
CRITIC_BETAS = (0.5, 0.9)
LEARNED = ("triplet I->T", "triplet T->I", "balance", "label", "code map", "quantization", "adversarial")
SHOWN = (*LEARNED[:2], "code map", "quantization")  # on the terminal; TensorBoard has all
CRITICS = ("discriminator image", "discriminator text", "penalty image", "penalty text")


class AGAH:
    """The method AGAH; see `gch.methods.method.Method`."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        self._settings, self._items, self._backbone = settings, items, backbone
        self._per_pass = len(items) // settings.batch_size
        labels = items.labels.shape[1]
        attention = LabelAttention(labels, settings.lambd, name="attention", dtype="float32")
        self.networks = self._build_networks(attention)
        self.encoders = {modality: self.networks[modality] for modality in MODALITIES}
        self.encoders_without_own = {}
        self.encoding_batch = settings.batch_size if settings.feature_norm == "batch" else None
        self._maps = PassMaps(
            labels,
            settings.bit,
            settings.SEMANTIC_EMBED,
            self._per_pass * settings.batch_size,
            attention.feature_map.value,
            settings.seed,
        )
        self.memories = self._maps.variables
        self.optimizers = self._build_optimizers()
        self.stages = (self._stage(),)

    def relaxed_codes(self) -> dict[str, np.ndarray]:
        """None: both networks are encoders."""
        return {}

    def _build_networks(self, attention: LabelAttention) -> dict[str, keras.Model]:
        settings, items = self._settings, self._items
        shape = {
            "labels": items.labels.shape[1],
            "bits": settings.bit,
            "embedding": settings.SEMANTIC_EMBED,
            "start": settings.start,
            "feature_norm": settings.feature_norm,
            "attention": attention,
        }
        features = self._backbone.feature_size if items.features is None else items.features.shape[1]
        head = image_head(features, **shape)
        widths = [int(width) for width in settings.txt_widths.split(",")]
        text = text_network(items.texts.shape[1], widths, **shape)
        critics = {
            f"discriminator_{modality}": discriminator(
                settings.SEMANTIC_EMBED, settings.start, f"discriminator_{modality}"
            )
            for modality in MODALITIES
        }
        image = head if items.features is not None else image_network(self._backbone.model, head)
        return {"image": image, "text": text, **critics}

    def _build_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        settings = self._settings
        slowed = self._backbone.model.trainable_variables if self._items.features is None else ()
        adamax = RatedAdamax("networks", penalty=PENALTY, slowed=slowed, factor=1 / HEAD_RATE)
        optimizers = {"networks": loss_scaled(adamax, settings.precision)}
        optimizers["networks"].build(self._learned)
        for modality in MODALITIES:
            name = f"discriminator_{modality}"
            critic = RatedAdamax(name, *CRITIC_BETAS, penalty=CRITIC_PENALTY)
            # Not among the rates that the schedule lowers, as in the original.
            critic.learning_rate = HEAD_RATE * settings.lr
            critic.build(self.networks[name].trainable_variables)
            optimizers[name] = critic
        return optimizers

    @property
    def _learned(self) -> list[keras.Variable]:
        return [weight for modality in MODALITIES for weight in self.networks[modality].trainable_variables]

    def _stage(self) -> Stage:
        settings, items = self._settings, self._items
        optimizer = self.optimizers["networks"]
        step = compiled_step(self._forward, self._learned, optimizer, settings.jit_compile)

        def update(positions, images):
            texts = tf.cast(tf.gather(items.texts, positions), tf.float32)
            inputs = images, texts, tf.gather(items.labels, positions)
            if settings.data_enhance:
                inputs = mixed(positions, settings.delta, *inputs)
            # Drawn here, as XLA would draw other numbers within the step.
            shape = (settings.batch_size, settings.SEMANTIC_EMBED)
            mixing = {
                modality: draw_uniform(positions, stream, shape)
                for stream, modality in enumerate(("text", "image"), start=1)
            }
            (outputs, critics), parts = step(positions, (*inputs, mixing))
            self._maps.gather(inputs[2], outputs)
            return parts | critics

        return Stage(
            "pairs",
            settings.k_agah * self._per_pass,
            update,
            LEARNED + CRITICS,
            ((optimizer, HEAD_RATE * settings.lr),),
            reads_images=True,
            begin=lambda: None,
            shown=SHOWN,
        )

    def _forward(self, _, inputs: tuple) -> tuple:
        """One step of the discriminators, and then the losses of the networks.

        Inputs are images, texts, labels, and by modality the mixing weights (B, E) of the gradient penalties.
        """
        images, texts, labels, mixing = inputs
        image = self.networks["image"](images, training=True)
        text = self.networks["text"](texts, training=True)
        critics = self._train_critics(image["feature"], text["feature"], mixing)
        return ([image, text], critics), self._losses(image, text, labels)

    def _losses(self, image: dict, text: dict, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """The weighted parts of the loss by the names of LEARNED, from outputs of both networks."""
        settings = self._settings
        distances = cosine_distances(image["code"], text["code"])
        similar = similarity(labels, labels)
        code_map = tf.convert_to_tensor(self._maps.code_map)
        to_text, to_image = self.networks["discriminator_text"], self.networks["discriminator_image"]
        adversarial = losses.adversarial_loss(to_text, image["feature"]) + losses.adversarial_loss(
            to_image, text["feature"]
        )
        both = (image, text)
        parts = (
            all_triplets(distances, similar, settings.margin)[0],
            all_triplets(tf.transpose(distances), similar, settings.margin)[0],
            settings.alpha * sum(losses.balance(one["code"]) for one in both),
            settings.beta * sum(losses.label_loss(one["label"], labels) for one in both),
            settings.gamma * sum(losses.code_map_loss(one["code"], code_map, labels) for one in both),
            settings.eta * sum(losses.quantization(one["code"]) for one in both),
            settings.mu * adversarial,
        )
        return dict(zip(LEARNED, parts, strict=True))

    def _train_critics(self, image: tf.Tensor, text: tf.Tensor, mixing: dict) -> dict[str, tf.Tensor]:
        """A step of both discriminators on features (B, E); returns their losses by the names of CRITICS."""
        image, text = tf.stop_gradient(image), tf.stop_gradient(text)
        parts = {}
        for modality, real, fake in (("text", text, image), ("image", image, text)):
            name = f"discriminator_{modality}"
            network, optimizer = self.networks[name], self.optimizers[name]
            with tf.GradientTape() as tape:
                critic = losses.critic_loss(network, real, fake)
                penalty = losses.gradient_penalty(network, real, fake, mixing[modality])
                loss = critic + penalty
            variables = network.trainable_variables
            optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
            parts |= {f"discriminator {modality}": critic, f"penalty {modality}": penalty}
        return parts
