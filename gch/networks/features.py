"""Features of a frozen backbone: constants of a data set, computed once and cached on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs
from gch.networks.backbone import Backbone
from gch.networks.inference import infer, sequential_images
from gch.storage import atomic_path, digest, new_array


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
      DataError: the images cannot be read.
    """
    key = digest(backbone.digest, pairs.digest)[:16]
    path = cache / f"features-{pairs.name}-{Path(backbone.name).stem}-{key}.npy"
    shape = (len(pairs.labels), backbone.feature_size)
    cached = _read(path, shape)
    if cached is not None:
        return cached

    with atomic_path(path) as temporary:
        features = new_array(temporary, np.float32, shape)
        done = 0
        for images in sequential_images(pairs.pictures, np.arange(shape[0])):
            features[done : done + len(images)] = infer(backbone.model, [images])[0]
            done += len(images)
            progress(done, shape[0])
        features.flush()
    return _read(path, shape)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return features if features.shape == shape and features.dtype == np.float32 else None
