"""The field's data sets in one file, or in separate files of images, tags and labels."""

from pathlib import Path

import numpy as np

from gch.data.image_features import open_features
from gch.data.layouts import Layout
from gch.data.matrices import common_items, item_matrix, require_more_words_than_labels
from gch.data.pairs import Pairs, Pictures
from gch.data.pixels import open_pixels, pixel_layout
from gch.data.protocols import default_sizes
from gch.errors import DataError
from gch.storage import digest

_DIGESTED_IMAGES = 64


def open_benchmark_files(layout: Layout, name: str, dataset: str, axes: str, cache: Path) -> Pairs:
    """Opens images or features with their tags and labels; reads no pixel yet but for the digest.

    Args:
      layout: 'one file' or 'separate files'.
      name: of the data set, in file names.
      dataset: as in the setting dataset_dir, for its split.
      axes: 'auto', 'WH' or 'HW', see `gch.data.pixels`.
      cache: folder for what must be copied to be read piece by piece.

    Returns:
      N pairs. `digest` covers labels, texts, and 64 of the images, spread evenly.

    Raises:
      DataError: an array is damaged or not what its layout promises.
    """
    images, texts, labels = (layout.arrays[role] for role in ("images", "texts", "labels"))
    if images.dtype is None:
        raise DataError(f"{images.path}: {images.name} holds no numbers, expected pixels or features")
    pictures = features = None
    matrices = {"texts": texts, "labels": labels}
    if len(images.shape) == 2:
        items = common_items({"images": images, **matrices})
        shown = f"{images}: features"
    else:
        pixels = pixel_layout(images, axes)
        items = common_items(matrices, pixels.items)
        shown = f"{images}: pixels, axes {pixels.axes}"
    require_more_words_than_labels(texts, labels, items)
    words, hot = item_matrix(texts, items, counts=True), item_matrix(labels, items)
    if len(images.shape) == 2:
        features = open_features([(images, items)], cache)
    else:
        pictures = open_pixels(images, pixels)
    return Pairs(
        name=name,
        texts=words,
        labels=hot,
        default_sizes=default_sizes(dataset, items),
        digest=content_digest(name, hot, words, pictures, features),
        pictures=pictures,
        features=features,
        found=(shown, f"{texts}: words", f"{labels}: labels"),
    )


def content_digest(
    name: str, labels: np.ndarray, texts: np.ndarray, pictures: Pictures | None, features: np.ndarray | None
) -> str:
    """Names labels, texts, and 64 of the images (or of their features), spread evenly."""
    total = len(labels)
    rows = np.unique(np.linspace(0, total - 1, _DIGESTED_IMAGES).round().astype(np.int64))
    if features is not None:
        return digest(name, labels, texts, repr(features.shape), np.asarray(features[rows]))
    return digest(name, labels, texts, repr((total, *pictures.size)), pictures.read(rows))
