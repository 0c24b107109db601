"""Opening a data set by the name that the settings give it."""

from pathlib import Path

import numpy as np

from gch.data.flickr25k import open_flickr25k
from gch.data.generated import generate
from gch.data.names import canonical_dataset, known_datasets
from gch.data.openmoji import open_openmoji
from gch.data.pairs import Pairs
from gch.errors import DataError, SettingError


def open_pairs(dataset_dir: str, data_dir: Path, image_size: int, seed: int) -> Pairs:
    """Opens a data set.

    Args:
      dataset_dir: one of `known_datasets` or an alias of one, in any case.
      data_dir: folder of the data: FLICKR-25K.mat lies in it, the drawn OpenMoji pictures go to its `cache`.
      image_size: width and height of the pictures, in pixels.
      seed: for the generated set.

    Raises:
      SettingError: no such data set.
      DataError: the data are missing or broken, or their images are of another size.
    """
    name = canonical_dataset(dataset_dir)
    if name == "OpenMoji":
        return open_openmoji(data_dir / "cache", image_size, report=print)
    if name == "generated":
        return generate(image_size=image_size, seed=seed)
    if name == "FLICKR":
        return _of_size(open_flickr25k(data_dir), image_size, data_dir)
    raise SettingError(f"dataset_dir is {dataset_dir!r}; expected one of {', '.join(known_datasets())}")


def _of_size(pairs: Pairs, image_size: int, where: Path) -> Pairs:
    _, height, width, _ = pairs.images(np.zeros(1, np.int64)).shape
    if (height, width) != (image_size, image_size):
        raise DataError(
            f"{where}: images of {pairs.name} are {height} x {width}, expected {image_size} x {image_size}"
        )
    return pairs
