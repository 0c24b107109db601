"""Official downloads as they unpack, or in their zip files: how each is recognised, and what becomes of it.

A module of this package is a download, or two. Its `recognise` returns a `Download` where the files are of
it, else None.
"""

import functools
from collections.abc import Callable
from pathlib import Path

from gch.data.downloads import coco, flickr, mirflickr, nus_wide
from gch.data.downloads.download import Download
from gch.data.downloads.files import DownloadPictures, Files
from gch.data.names import canonical_dataset, file_name
from gch.data.pairs import Origin, Pairs
from gch.data.split import default_sizes
from gch.data.text_files import printable
from gch.errors import DataError
from gch.storage import digest

_RECOGNISE: tuple[Callable[[Files], Download | None], ...] = (
    *(mirflickr.recognise, nus_wide.recognise, coco.recognise),
    *(functools.partial(flickr.recognise, kind=kind) for kind in flickr.KINDS),
)


def find_downloads(files: Files) -> list[Download]:
    """The downloads that lie in a folder, in its folders, or in zip files there, whole or in part."""
    return [found for recognise in _RECOGNISE if (found := recognise(files)) is not None]


def find_download(path: Path, dataset: str) -> Download | None:
    """The download in a folder that a data set can be made of; None where there is none.

    Raises:
      DataError: the folder cannot be listed.
    """
    known, found = canonical_dataset(dataset), find_downloads(Files(path))
    return next((one for one in found if known in map(canonical_dataset, one.datasets)), None)


def open_download(download: Download, dataset: str, size: int, fit: str, cache: Path) -> Pairs:
    """Opens one of the data sets of a download; its pictures are not read here, see `PictureFiles` for `size`
    and `fit`. Tables that take long to read are kept in `cache`.

    Raises:
      DataError: a file is missing or damaged, or fewer than 8 items are left.
    """
    folder = printable(download.files.folder)
    if download.missing:
        raise DataError(f"{folder}: {download.title} is not whole: {'; '.join(download.missing)}")
    contents = download.read(dataset, cache)
    if len(contents.labels) < 8:
        found = f"{len(contents.labels)} items of {download.title}"
        raise DataError(f"{folder}: {found}, expected 8 or more; {'; '.join(contents.lines())}")
    pictures = DownloadPictures(download.files, contents.paths, size, fit)
    words = repr((contents.captions, contents.tag_names, contents.label_names))
    split = contents.own_split
    rows = split.parts().values() if split else ()
    return Pairs(
        name=file_name(dataset),
        texts=contents.texts,
        labels=contents.labels,
        default_sizes=default_sizes(dataset, len(contents.labels)),
        digest=digest(contents.labels, contents.texts, words, pictures.digest, *rows),
        tag_names=contents.tag_names,
        label_names=contents.label_names,
        pictures=pictures,
        captions=contents.captions,
        ids=contents.ids,
        own_split=split,
        origin=Origin(
            folder=download.files.folder,
            sources=contents.sources,
            rules=contents.rules,
            counts=contents.counts,
            left_out=contents.left_out,
        ),
        found=(f"{folder}: {download.offer}", *contents.lines(), *pictures.oddities()),
    )
