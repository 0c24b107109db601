"""Running a network over many items without training it."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs, Pictures
from gch.data.stream import reading_errors, sequential_batches
from gch.errors import WeightsError
from gch.networks.backbone import Backbone
from gch.networks.of_user import require_independent
from gch.networks.parts import batch_norms
from gch.storage import cached_array, digest

PIXEL_BATCH = 32  # as fast as 64 on a CPU, in 300 MB less
VECTOR_BATCH = 1024  # texts, labels and features


def infer(network: keras.Model, batches: Iterable[np.ndarray | tf.Tensor], *outputs: str) -> list[np.ndarray]:
    """Outputs of a network for all batches, with the moving statistics of its batch norms.

    Batches are inputs (B, ...) of any B. Returns float32 (all items, ...) for each of `outputs`, keys of the
    dictionary that the network returns; or one array where it returns a tensor, and none is named.
    """
    run = _compiled(network, training=False)
    parts: list[list[np.ndarray]] = []
    for batch in batches:
        if not parts:  # One trace for all B: TensorFlow may add in another order in one for a known B.
            spec = tf.nest.map_structure(
                lambda part: tf.TensorSpec([None, *part.shape[1:]], part.dtype), batch
            )
            run.get_concrete_function(spec)
        result = run(batch)
        parts.append([result[key].numpy() for key in outputs] if outputs else [result.numpy()])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def infer_under_dropout(
    network: keras.Model, draws: Sequence[Iterable[tf.Tensor]], output: str
) -> np.ndarray:
    """One output of a network, float32 (draws, all items, ...), under dropout that is drawn several times.

    Batch norm uses its moving statistics, so that an item's output depends on that item and its dropout
    alone. The network stays as it was, as do the states of its dropout. Each of `draws` yields the inputs
    (B, ...) of all items.
    """
    before = [variable.numpy() for variable in network.non_trainable_variables]
    run = _compiled(network, training=True)
    trained = [norm for norm in batch_norms(network) if norm.trainable]
    try:
        for norm in trained:  # frozen batch norms use their moving statistics
            norm.trainable = False
        drawn = [np.concatenate([run(batch)[output].numpy() for batch in batches]) for batches in draws]
    finally:
        for norm in trained:
            norm.trainable = True
    for variable, value in zip(network.non_trainable_variables, before, strict=True):
        variable.assign(value)
    return np.stack(drawn)


def _compiled(network: keras.Model, training: bool) -> tf.types.experimental.PolymorphicFunction:
    # Without XLA, under which EfficientNet-Lite0 was ten times slower on a CPU.
    kept, name = vars(network), f"compiled_{training}"  # not by setattr: Keras would track it as a part
    if name not in kept:
        call = functools.partial(network, training=training)
        kept[name] = tf.function(call, autograph=False, reduce_retracing=True)
    return kept[name]


def slices(array: np.ndarray | tf.Tensor, size: int, dtype=None) -> Iterator[tf.Tensor]:
    """Consecutive parts of `array` along its first axis, `size` items each but the last."""
    for start in range(0, array.shape[0], size):
        part = tf.convert_to_tensor(array[start : start + size])
        yield part if dtype is None else tf.cast(part, dtype)


def sequential_images(pictures: Pictures, rows: np.ndarray, size: int = PIXEL_BATCH) -> Iterator[tf.Tensor]:
    """The pixels of `rows` in order, uint8 (B, H, W, 3) with B = `size` but for the last, read ahead; raises
    DataError.
    """
    with reading_errors():
        for _, images in sequential_batches(pictures, rows, size):
            yield images


def backbone_features(
    backbone: Backbone, pairs: Pairs, cache: Path, progress: Callable[[int, int], object]
) -> np.ndarray:
    """The features of all items of a data set with pictures by a frozen backbone, float32 (N, F), computed
    once and cached on disk; `progress` is called with the number of items done and of all. Raises DataError
    for images or a cache, and WeightsError for features that are no numbers or depend on their batch.
    """
    assert pairs.pictures is not None
    pictures, total = pairs.pictures, len(pairs.labels)
    key = digest(backbone.digest, pairs.digest)[:16]
    path = cache / f"features-{pairs.name}-{Path(backbone.name).stem}-{key}.npy"

    def fill(features: np.ndarray) -> None:
        done = 0
        for images in sequential_images(pictures, np.arange(total)):
            (found,) = infer(backbone.model, [images])
            if not np.isfinite(found).all():
                raise WeightsError(
                    f"{backbone.name}: its features of {pairs.name}: found NaN or infinity, expected finite "
                    "numbers"
                )
            if not done:
                (alone,) = infer(backbone.model, [images[:1]])
                cause = "no layer may use the statistics of a batch or count calls"
                require_independent(alone, found[:1], f"{backbone.name}: its features of {pairs.name}", cause)
            features[done : done + len(images)] = found
            done += len(images)
            progress(done, total)

    return cached_array(path, np.float32, (total, backbone.feature_size), fill)
