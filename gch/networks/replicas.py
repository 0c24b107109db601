"""One batch over several GPUs: what is large is split, what is small is done by every replica.

A backbone takes nearly all the time of a step, so every replica runs it on its share of the batch, and the
features are gathered. The rest of a step (heads, losses, code memory, optimizers of the heads) every replica
does for the whole batch, on the same numbers. So batch norms, losses over pairs of items, the code memory and
dropout are those of one device, whatever the number of replicas.
"""

import keras
import tensorflow as tf

from gch.networks.parts import layers_of


def split_over_replicas(backbone: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """Features of a batch in training, each replica computing its share.

    The gradient of the gathered features adds up over the replicas. All of them compute the same loss, so it
    has to be divided by their number, as `gch.training.loop` does.

    Args:
      backbone: images (B, H, W, 3) to features (B, F).
      images: the whole batch, on every replica; B is a multiple of the number of replicas.

    Returns:
      (B, F).
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return backbone(images, training=True)
    size = images.shape[0] // replicas
    own = images[context.replica_id_in_sync_group * size :][:size]
    features = context.all_gather(backbone(own, training=True), axis=0)
    return tf.ensure_shape(features, (images.shape[0], features.shape[1]))


def synchronize_batch_norms(backbone: keras.Model) -> None:
    """The batch norms of a backbone take the statistics of the whole batch, not of a replica's share."""
    for layer in layers_of(backbone):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
