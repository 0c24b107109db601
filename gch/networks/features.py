"""Features of a frozen backbone: constants of a data set, computed once and cached on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs
from gch.networks.backbone import Backbone
from gch.networks.inference import infer, sequential_images
from gch.storage import cached_array, digest


def backbone_features(
    backbone: Backbone, pairs: Pairs, cache: Path, progress: Callable[[int, int], None]
) -> np.ndarray:
    """The backbone's features of all items of a data set.

    Args:
      backbone: images to features; its digest names weights and preprocessing.
      pairs: the data set; its digest names the images.
      cache: folder of the cache; a file that is damaged is computed again.
      progress: called with the number of items done and of all items.

    Returns:
      float32 (N, F), on disk, read where it is used.

    Raises:
      DataError: the images cannot be read, or the cache cannot be written.
    """
    key = digest(backbone.digest, pairs.digest)[:16]
    path = cache / f"features-{pairs.name}-{Path(backbone.name).stem}-{key}.npy"
    shape = (len(pairs.labels), backbone.feature_size)

    def fill(features: np.ndarray) -> None:
        done = 0
        for images in sequential_images(pairs.pictures, np.arange(shape[0])):
            features[done : done + len(images)] = infer(backbone.model, [images])[0]
            done += len(images)
            progress(done, shape[0])

    return cached_array(path, np.float32, shape, fill)
