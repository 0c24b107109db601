"""A method that needs no labels: two linear networks that bring the halves of a pair together."""

import dataclasses

import keras
import tensorflow as tf

from gch.methods.method import Method, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    needs_labels = ""

    def check(self) -> None:
        pass


def network(inputs: int, bits: int, seed: int) -> keras.Model:
    vectors = keras.Input((inputs,))
    start = keras.initializers.GlorotUniform(seed)
    return keras.Model(
        vectors, {"code": keras.layers.Dense(bits, activation="tanh", kernel_initializer=start)(vectors)}
    )


class Aligned(Method):
    def __init__(self, settings, items, backbone):
        super().__init__(settings, items, backbone)
        image = network(self.feature_size, settings.bit, seed=1)
        self.encoders = {"image": image, "text": network(items.texts.shape[1], settings.bit, seed=2)}
        self.networks = dict(self.encoders)
        trains = [weight for one in self.networks.values() for weight in one.trainable_variables]
        update = self.update("pairs", self._loss, trains, keras.optimizers.Adam(), 1e-2)
        self.stages = (Stage("pairs", 10, self._forward, (update,), reads_images=True),)

    def _forward(self, batch):
        return self.encoders["image"](batch.images)["code"], self.encoders["text"](self.texts(batch))["code"]

    def _loss(self, batch, outputs):
        image, text = outputs
        logits = tf.matmul(image, text, transpose_b=True) * 8 / self.settings.bit
        own = tf.range(tf.shape(logits)[0])
        return {"pairs": tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(own, logits))}


def build(settings, items, backbone):
    return Aligned(settings, items, backbone)
