"""DCMH: deep cross-modal hashing (Jiang and Li, CVPR 2017).

F and G (N, K) are the relaxed codes of the training items by the image and the text network, B = sign(F + G)
the codes that both approach, S_ij = 1 where two items share a label. The networks minimise, in turn,

    J = sum_ij log(1 + e^theta_ij) - S_ij theta_ij      theta = F G^T / 2
        + gamma (|B - F|^2 + |B - G|^2) + eta (|F^T 1|^2 + |G^T 1|^2)

each against all codes of the other, which a memory bank holds. As published: J divided by B N, gamma, 8192
units in the text network, N(0, 1) in the memory bank at first. Ours: a step updates both networks (there:
passes of one and of the other); Adam (there: gradient descent), with which eta = 1 does not converge; if
image features are frozen, a hidden layer in place of the layers that the paper tunes. F and G have no bounds,
as there: the `code` of an encoder is their tanh, which has the same signs. A linear layer predicts labels
from the relaxed codes, because export needs them; it has no effect on the codes.
"""

import functools

import keras
import tensorflow as tf

from gch.methods.batch import label_cross_entropy, likelihood_pair_loss, replace_rows, sign, similarity
from gch.methods.items import TrainingItems, state
from gch.methods.method import Batch, Losses, Method, Stage
from gch.networks.backbone import Backbone
from gch.networks.parts import dense
from gch.settings import Settings

OTHER = {"image": "text", "text": "image"}
Outputs = dict[str, dict[str, tf.Tensor]]  # of both networks


def network(name: str, inputs: int, widths: str, bits: int, labels: int, start: str) -> keras.Model:
    """Vectors (B, inputs) to widths with ReLU, to `relaxed` (B, K), its tanh `code` and `label` (B, C)."""
    vectors = keras.Input((inputs,), name="vectors")
    hidden = vectors
    for number, width in enumerate(filter(None, widths.split(",")), start=1):
        hidden = dense(hidden, int(width), start, f"hidden_{number}", activation="relu")
    relaxed = dense(hidden, bits, start, "relaxed", dtype="float32")
    code = keras.layers.Activation("tanh", name="code", dtype="float32")(relaxed)
    label = dense(keras.ops.stop_gradient(relaxed), labels, start, "label", dtype="float32")
    return keras.Model(vectors, {"code": code, "relaxed": relaxed, "label": label}, name=name)


class DCMH(Method):
    """The method DCMH."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone | None):
        super().__init__(settings, items, backbone)
        own, (count, labels) = self.own, items.labels.shape
        sizes = {"bits": settings.bit, "labels": labels, "start": settings.start}
        self._head = network("image_head", self.feature_size, own.img_widths, **sizes)
        self._text = network("text", items.texts.shape[1], own.txt_widths, **sizes)
        self.encoders = {"image": self.image_network(self._head), "text": self._text}
        self.networks = dict(self.encoders)
        self.memories = {  # F and G
            modality: state(tf.random.stateless_normal((count, settings.bit), (settings.seed, number)))
            for number, modality in enumerate(OTHER)
        }
        updates = tuple(
            self.adam(name, functools.partial(self._loss, name), encoder.trainable_variables, rate)
            for (name, encoder), rate in zip(self.encoders.items(), (own.lr_img, own.lr_txt), strict=True)
        )
        steps = own.k_dcmh * self.steps_per_pass
        stage = Stage("pairs", steps, self._forward, updates, after=self._remember, reads_images=True)
        self.stages = (stage,)

    def _forward(self, batch: Batch) -> Outputs:
        image = self._head(self.features(batch.images), training=True)
        return {"image": image, "text": self._text(self.texts(batch), training=True)}

    def _loss(self, modality: str, batch: Batch, outputs: Outputs) -> Losses:
        """J / (B N), as far as it depends on the codes of one modality, and the loss of the labels."""
        relaxed, labels = outputs[modality]["relaxed"], self.labels(batch)
        codes, others = (tf.convert_to_tensor(self.memories[name]) for name in (modality, OTHER[modality]))
        # The memory bank has the batch's codes of the pass before; the signs are those after that pass.
        before = tf.gather(codes, batch.positions)
        signs = sign(before + tf.gather(others, batch.positions))
        summed = tf.reduce_sum(codes, axis=0) + tf.reduce_sum(relaxed - before, axis=0)
        pairs = relaxed.shape[0] * len(self.items)
        similar = similarity(labels, self.items.labels)
        return {
            f"pair {modality}": likelihood_pair_loss(relaxed, others, similar),
            f"quantization {modality}": self.own.gamma * tf.reduce_sum((signs - relaxed) ** 2) / pairs,
            f"balance {modality}": self.own.eta * tf.reduce_sum(summed**2) / pairs,
            f"label {modality}": label_cross_entropy(outputs[modality]["label"], labels),
        }

    def _remember(self, batch: Batch, outputs: Outputs) -> None:
        for modality, memory in self.memories.items():
            replace_rows(memory, batch.positions, outputs[modality]["relaxed"])


build = DCMH
