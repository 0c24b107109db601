"""Index files of the CLIP family: index.mat (paths of pictures), caption.mat or .txt, label.mat."""

from pathlib import Path

import numpy as np

from gch.data.layouts import Layout
from gch.data.matrices import common_items, item_matrix, require_more_words_than_labels
from gch.data.pairs import Pairs
from gch.data.picture_files import PictureFiles, tail_in_folder
from gch.data.protocols import default_sizes
from gch.errors import DataError
from gch.storage import digest

_MAX_CAPTION_BYTES = 2**31


def open_index_files(layout: Layout, name: str, dataset: str, size: int, fit: str) -> Pairs:
    """Opens index files.

    Paths that another machine wrote are looked for in the folder by their last parts. A caption.mat that
    holds a matrix is read as a bag of words, one that holds strings as free texts, which await a vocabulary.

    Args:
      layout: 'index files'.
      name: of the data set, in file names.
      dataset: as in the setting dataset_dir, for its split.
      size: height and width that pictures are brought to.
      fit: 'crop' or 'letterbox'.

    Raises:
      DataError: lengths differ, the pictures are not there, or a file is damaged.
    """
    index, labels = layout.arrays["images"], layout.arrays["labels"]
    paths = index.strings()
    items = common_items({"labels": labels}, len(paths))
    texts, captions = np.zeros((items, 0), np.uint8), None
    stored = layout.arrays.get("texts")
    if stored is not None and stored.dtype is not None and stored.dtype.kind in "buif":
        common_items({"texts": stored}, items)
        require_more_words_than_labels(stored, labels, items)
        texts = item_matrix(stored, items, counts=True)
        shown = f"{stored}: bag of words"
    else:
        captions = _lines(layout.captions) if stored is None else stored.strings()
        source = layout.captions if stored is None else stored.path
        if len(captions) != items:
            raise DataError(
                f"{source}: {len(captions)} captions, expected {items}, as many as index.mat has paths"
            )
        shown = f"{source.name}: {len(captions)} captions, free text"
    hot = item_matrix(labels, items)
    files = PictureFiles(layout.path, tail_in_folder(layout.path, paths), size, fit)
    return Pairs(
        name=name,
        texts=texts,
        labels=hot,
        default_sizes=default_sizes(dataset, items),
        digest=digest(name, hot, texts, repr(captions), files.digest),
        pictures=files,
        captions=captions,
        ids=files.paths,
        found=(f"{index}: {len(paths)} paths, such as {files.paths[0]}", shown, str(labels)),
    )


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_CAPTION_BYTES:
            raise DataError(f"{path}: larger than {_MAX_CAPTION_BYTES} bytes, expected one caption a line")
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text, {error}") from error
