"""The user's own collection: a folder of pictures, and a CSV or JSON-lines file that describes them."""

import numpy as np

from gch.data.annotations import read_annotations
from gch.data.layouts import Layout
from gch.data.pairs import Pairs
from gch.data.picture_files import PictureFiles
from gch.data.protocols import default_sizes
from gch.storage import digest


def open_collection(layout: Layout, size: int, fit: str) -> Pairs:
    """Opens a collection; its texts await a vocabulary. Entries without a label are left out.

    Args:
      layout: 'collection'.
      size: height and width that pictures are brought to.
      fit: 'crop' or 'letterbox'.

    Raises:
      DataError: the file is damaged, or a field of it is not what it should be; names the line.
    """
    read = read_annotations(layout.annotations, layout.path)
    items = len(read.paths)
    files = PictureFiles(layout.path, read.paths, size, fit)
    kind = "tags" if any(isinstance(caption, tuple) for caption in read.captions) else "free text"
    found = [f"{read.file.name}: {items} pictures with {kind} and {len(read.label_names)} labels"]
    if read.unlabelled:
        shown = ", ".join(read.unlabelled[:3])
        found.append(f"left out, as they have no label: {len(read.unlabelled)} entries ({shown} ...)")
    return Pairs(
        name="collection",
        texts=np.zeros((items, 0), np.uint8),
        labels=read.labels,
        label_names=read.label_names,
        default_sizes=default_sizes("collection", items),
        digest=digest(read.labels, repr((read.captions, read.label_names)), files.digest),
        pictures=files,
        captions=read.captions,
        ids=read.paths,
        found=tuple(found),
    )
