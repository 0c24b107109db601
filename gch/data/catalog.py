"""Opening a data set by the name that the settings give it."""

from collections.abc import Callable
from pathlib import Path

from gch.data.benchmark_files import open_benchmark_files
from gch.data.collection import open_collection
from gch.data.generated import generate
from gch.data.index_files import open_index_files
from gch.data.layouts import Layout, find_layout
from gch.data.names import canonical_dataset, file_name, file_stems, known_datasets
from gch.data.openmoji import open_openmoji
from gch.data.pairs import Pairs
from gch.data.picture_files import PictureFiles
from gch.data.prepare import prepare, report_broken
from gch.data.prepared import open_prepared
from gch.data.split_files import open_split_files
from gch.errors import DataError, SettingError
from gch.settings import Settings


def open_pairs(settings: Settings, progress: Callable[[int, int], None] = lambda done, total: None) -> Pairs:
    """Opens the data set that the settings name; pictures in files of their own are prepared in the cache.

    Args:
      settings: `dataset_dir`, `DATA_DIR`, `image_size` and what says how files are read.
      progress: called with the number of pictures prepared and of all.

    Raises:
      SettingError: no such data set.
      DataError: the data are missing or broken, or their images are of another size.
    """
    name = canonical_dataset(settings.dataset_dir)
    if name == "OpenMoji":
        return open_openmoji(cache_folder(settings), settings.image_size, report=print)
    if name == "generated":
        return generate(image_size=settings.image_size, seed=settings.seed)
    pairs = open_source(settings)
    if is_of_files(pairs):
        return _prepared_once(pairs, settings, progress)
    if pairs.pictures is not None and tuple(pairs.pictures.size) != (settings.image_size,) * 2:
        height, width = pairs.pictures.size
        raise DataError(
            f"{settings.DATA_DIR}: images of {pairs.name} are {height} x {width}, expected image_size = "
            f"{settings.image_size} in both"
        )
    return pairs


def open_source(settings: Settings) -> Pairs:
    """Opens the files in DATA_DIR as they are.

    Raises:
      SettingError: no such data set.
      DataError: the data are missing or broken.
    """
    name = canonical_dataset(settings.dataset_dir)
    if name is None or name in ("OpenMoji", "generated"):
        expected = ", ".join(known_datasets())
        raise SettingError(f"dataset_dir is {settings.dataset_dir!r}; expected one of {expected}, with files")
    layout = find_layout(Path(settings.DATA_DIR), name, settings.annotations)
    return _open(layout, name, settings)


def is_of_files(pairs: Pairs) -> bool:
    """Whether pictures are files of their own, which must be decoded to know that they are whole."""
    return isinstance(pairs.pictures, PictureFiles)


def cache_folder(settings: Settings) -> Path:
    """Where caches of a data set lie: beside its files."""
    path = Path(settings.DATA_DIR)
    return (path.parent if path.is_file() else path) / "cache"


def _prepared_once(pairs: Pairs, settings: Settings, progress: Callable[[int, int], None]) -> Pairs:
    folder = cache_folder(settings) / f"{pairs.name}-{pairs.digest[:16]}"
    try:
        prepared = open_prepared(folder)
    except DataError:
        print(f"Preparing the pictures of {pairs.name} in {folder} (once)")
        # Without loss: the model that is exported gives the very codes of the test for the same files.
        prepare(pairs, folder, encoding="png", broken=settings.broken, progress=progress)
        return open_prepared(folder)
    report_broken(folder, settings.broken)
    return prepared


def _open(layout: Layout, dataset: str, settings: Settings) -> Pairs:
    name, cache = file_name(dataset), cache_folder(settings)
    size, fit, axes = settings.image_size, settings.fit, settings.image_axes
    if layout.kind == "prepared":
        return open_prepared(layout.path, name if file_stems(dataset) else "")
    if layout.kind == "collection":
        return open_collection(layout, size, fit)
    if layout.kind == "index files":
        return open_index_files(layout, name, dataset, size, fit)
    if layout.kind == "split files":
        return open_split_files(layout, name, axes, size, fit, cache)
    return open_benchmark_files(layout, name, dataset, axes, cache)
