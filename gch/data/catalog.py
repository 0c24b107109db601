"""Opens the data set and chooses the split that the settings name."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from gch.data.annotations import open_collection
from gch.data.array_pairs import open_arrays
from gch.data.downloads import open_download
from gch.data.generated import generate
from gch.data.layouts import find_layout
from gch.data.names import canonical_dataset, file_name, file_stems
from gch.data.openmoji import open_openmoji
from gch.data.pairs import Pairs, Split, SplitSizes
from gch.data.pictures import PictureFiles
from gch.data.prepare import prepare, report_broken
from gch.data.prepared import PreparedPictures, open_prepared
from gch.data.split import DEFAULT, ORDERS, hold_out, make_split, resolve_sizes
from gch.data.split_file import load_split
from gch.errors import DataError, SettingError
from gch.settings import Settings


def open_pairs(settings: Settings, progress: Callable[[int, int], None] = lambda done, total: None) -> Pairs:
    """Opens the data set that the settings name; pictures in files of their own are prepared in the cache.

    `progress` is called with the number of pictures prepared and of all.

    Raises:
      SettingError: image_size is none that the data set can have.
      DataError: the data are missing or broken, or their images are of another size.
    """
    pairs = open_source(settings)
    if isinstance(pairs.pictures, PictureFiles):
        prepared = _prepared_once(pairs, settings, progress)
        assert isinstance(prepared.pictures, PreparedPictures)
        parts = pairs.parts and pairs.parts.of_items(prepared.pictures.rows)
        # Neither is in the caches of earlier versions.
        return dataclasses.replace(prepared, single_vectors=pairs.single_vectors, parts=parts)
    if pairs.pictures is not None and tuple(pairs.pictures.size) != (settings.image_size,) * 2:
        height, width = pairs.pictures.size
        raise DataError(
            f"{settings.DATA_DIR}: images of {pairs.name} are {height} x {width}, expected "
            f"{settings.image_size} x {settings.image_size}, as image_size says"
        )
    return pairs


def open_source(settings: Settings, cache: Path | None = None) -> Pairs:
    """Opens the data set as it is, without decoding pictures in files of their own. OpenMoji's drawings and
    features have a copy in the folder `cache`, which is `cache_folder` if None.

    Raises:
      SettingError: image_size is none that the data set can have.
      DataError: the data are missing or broken.
    """
    dataset, cache = canonical_dataset(settings.dataset_dir), cache or cache_folder(settings)
    assert dataset is not None  # settings are checked
    if dataset == "OpenMoji":
        return open_openmoji(cache, settings.image_size, report=print)
    if dataset == "generated":
        return generate(image_size=settings.image_size, seed=settings.seed)
    layout = find_layout(Path(settings.DATA_DIR), dataset, settings.annotations)
    size, fit = settings.image_size, settings.fit
    if layout.kind == "prepared":
        return open_prepared(layout.path, file_name(dataset) if file_stems(dataset) else "")
    if layout.annotations is not None:
        return open_collection(layout.annotations, layout.path, size, fit)
    if layout.download is not None:
        return open_download(layout.download, dataset, size, fit, cache)
    return open_arrays(layout, dataset, settings.image_axes, size, fit, cache, settings.num_label)


def cache_folder(settings: Settings) -> Path:
    """The folder for caches of a data set."""
    if settings.CACHE_DIR:
        return Path(settings.CACHE_DIR)
    path = Path(settings.DATA_DIR)
    return (path.parent if path.is_file() else path) / "cache"


def choose_split(settings: Settings, pairs: Pairs) -> Split:
    """The split that the settings name: the files' own, a drawn one, or a file.

    Raises:
      SettingError: the sizes do not fit, or are given beside a split that has sizes of its own.
      DataError: a file of a split is damaged or does not fit.
    """
    sizes = (settings.QUERY_SIZE, settings.DATABASE_SIZE, settings.TRAINING_SIZE)
    requested = SplitSizes(*sizes, settings.VERIFICATION_SIZE)
    own = pairs.own_split if settings.split == "" else None
    if own is None and settings.split in ("", *ORDERS):
        resolved = resolve_sizes(requested, pairs.default_sizes, len(pairs.labels))
        split = make_split(len(pairs.labels), resolved, settings.seed, settings.split or "random")
    else:
        if any(size != DEFAULT for size in sizes):
            given, whose = ", ".join(map(str, sizes)), settings.split or "the files of the data set"
            raise SettingError(
                f"QUERY_SIZE, DATABASE_SIZE and TRAINING_SIZE are {given}, and the split is that of {whose}; "
                "expected -1, or split = 'random'"
            )
        default = requested.validation == DEFAULT
        validation = pairs.default_sizes.validation if default else requested.validation
        if own is None:
            split = load_split(settings.split, len(pairs.labels), settings.seed, validation)
        elif default and len(own.validation):
            split = own
        elif validation < len(own.training):
            split = Split(own.query, own.retrieval, *hold_out(own.training, validation, settings.seed))
        else:
            raise SettingError(
                f"VERIFICATION_SIZE is {validation}, the files have {len(own.training)} training items; "
                "expected fewer"
            )
    if settings.batch_size > len(split.training):
        raise SettingError(
            f"batch_size is {settings.batch_size}, the training set has {len(split.training)} items; "
            "expected a batch no larger than it"
        )
    return split


def _prepared_once(pairs: Pairs, settings: Settings, progress: Callable[[int, int], None]) -> Pairs:
    folder = cache_folder(settings) / f"{pairs.name}-{pairs.digest[:16]}"
    try:
        prepared = open_prepared(folder)
    except DataError:
        for line in (*pairs.found, f"Preparing the pictures of {pairs.name} in {folder} (once)"):
            print(line)
        # Lossless: an exported model must give the codes of the test for the same files.
        prepare(pairs, folder, encoding="png", broken=settings.broken, progress=progress)
        return open_prepared(folder)
    report_broken(folder, settings.broken)
    return prepared
