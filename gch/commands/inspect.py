"""inspect: what a data set holds, before training on it."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gch.commands import Call
from gch.commands.source import is_embedded, setting_lines, source_settings
from gch.data.catalog import cache_folder, choose_split, open_source
from gch.data.downloads import DownloadPictures, find_downloads
from gch.data.names import canonical_dataset
from gch.data.pairs import Pairs, oddities
from gch.data.pictures import PictureFiles
from gch.data.sentences import INSTALL
from gch.data.split import digest_line, split_oddities
from gch.data.text_files import printable
from gch.data.tiles import sample_sheet
from gch.data.vector_files import blocks
from gch.data.vocabulary import build_vocabulary
from gch.errors import RunError
from gch.settings import Settings
from gch.storage import atomic_path, require_place

_LABELS_SHOWN = 100
_WITHOUT_LABELS = (
    "No labels: pairs belong together whose pictures and texts are alike (affinity = 'pairs'), and what is "
    "measured is the rank of a pair's other half, recall@1, 5 and 10 and the median rank, instead of mAP."
)


def run(call: Call) -> None:
    """Prints what was found, and draws a sheet of sample pictures with their words."""
    settings = source_settings("inspect", call)
    out = Path(call.options.out)
    _require_png(out)
    require_place(out.parent)
    with _spare_cache(cache_folder(settings)) as cache:
        _inspect(settings, out, cache, {name: getattr(settings, name) for name in call.given})


def _inspect(settings: Settings, out: Path, cache: Path, given: dict[str, object]) -> None:
    pairs = open_source(settings, cache)
    for line in pairs.found:
        print(line)
    print(_content(pairs))
    settings, changes = _fitting(settings, pairs)
    pairs = _with_words(settings, pairs)
    for line in _statistics(pairs):
        print(f"  {line}")
    if pairs.labels.shape[1]:
        print("Items by label:")
        for line in _by_label(pairs):
            print(f"  {line}")
    else:
        print(_WITHOUT_LABELS)
    with atomic_path(out) as temporary:
        sample_sheet(pairs).save(temporary)
    turned = "; if they lie on their sides, set image_axes" if "pixels, axes" in "".join(pairs.found) else ""
    print(f"Sample pictures with their words: {out}{turned}")
    if not is_embedded(settings):
        if isinstance(pairs.pictures, DownloadPictures):
            for other in find_downloads(pairs.pictures.files):
                if canonical_dataset(settings.dataset_dir) not in map(canonical_dataset, other.datasets):
                    state = f"not whole: {'; '.join(other.missing)}" if other.missing else "whole"
                    print(f"Also there: {other.offer}; {state}")
        print("To train on it, set in setting.py or as flags of train:")
        print(setting_lines(settings, given | changes))


@contextlib.contextmanager
def _spare_cache(cache: Path) -> Iterator[Path]:
    """A folder of what is in the cache, in which new files do not stay."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with contextlib.suppress(OSError):  # there is no cache, or Windows makes no link
            for entry in cache.iterdir():
                (Path(folder) / entry.name).symlink_to(entry.absolute())
        yield Path(folder)


def _require_png(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise RunError(f"{out}: expected a name that ends in .png")
    if out.exists() and (not out.is_file() or not out.read_bytes().startswith(b"\x89PNG")):
        raise RunError(f"{out}: exists and is not a PNG file; give another file with --out")


def _content(pairs: Pairs) -> str:
    images = "no images"
    if pairs.features is not None:
        images = f"image features of {pairs.features.shape[1]} dimensions"
    elif pairs.pictures is not None:
        kind = "picture files, brought to" if isinstance(pairs.pictures, PictureFiles) else "pictures of"
        images = f"{kind} {pairs.pictures.size[0]} x {pairs.pictures.size[1]}"
    labels = f"{pairs.labels.shape[1] or 'no'} labels"
    return f"{pairs.name}: {len(pairs.labels)} items, {images}, {pairs.texts_in_words}, {labels}"


def _fitting(settings: Settings, pairs: Pairs) -> tuple[Settings, dict[str, object]]:
    """The settings adapted to the data, and those that changed."""
    changes: dict[str, object] = {}
    if pairs.pictures is not None and pairs.pictures.size != (settings.image_size,) * 2:
        changes["image_size"] = pairs.pictures.size[0]
    if pairs.features is not None and settings.backbone != "frozen":
        changes["backbone"] = "frozen"
    trained = pairs.default_sizes.training
    if settings.batch_size > trained:
        changes["batch_size"] = max(2, trained // 4)
    return settings.replace(**changes), changes


def _with_words(settings: Settings, pairs: Pairs) -> Pairs:
    """The pairs with bags of words, of the vocabulary that training would use."""
    split = choose_split(settings, pairs)
    print("  split: " + ", ".join(f"{size} {part}" for part, size in split.sizes._asdict().items()))
    print(f"  {digest_line(split, pairs.ids)}")
    for line in split_oddities(split):
        print(f"  {line}")
    if settings.txtStr != "words":
        print(f"  texts will be encoded by {settings.txtStr}")
    if pairs.captions is None or settings.txtStr != "words":
        return pairs
    vocabulary = build_vocabulary(pairs.captions, split.training, settings)
    bags = vocabulary.bags(pairs.captions)
    common = np.argsort(-bags.sum(axis=0, dtype=np.int64), kind="stable")[:8]
    shown = ", ".join(vocabulary.words[number] for number in common)
    print(f"  vocabulary of the training items: {len(vocabulary.words)} words, most frequent: {shown}")
    if not bags.any(axis=1).all():
        print(f"  txtStr = 'sentences' drops no word, after {INSTALL}")
    return dataclasses.replace(pairs, texts=bags, tag_names=vocabulary.words, captions=None)


def _statistics(pairs: Pairs) -> list[str]:
    lines = []
    words = {"words": pairs.texts} if pairs.texts.shape[1] and not pairs.text_vectors else {}
    for name, matrix in (words | {"labels": pairs.labels}).items():
        if not matrix.shape[1]:
            continue
        counts = np.count_nonzero(matrix, axis=1)
        lines.append(f"{name} per item:  {counts.mean():.1f} ({counts.min()} to {counts.max()})")
    of_texts = pairs.texts if pairs.text_vectors else None
    for name, vectors in (("image features", pairs.features), ("text vectors", of_texts)):
        if vectors is not None:
            lengths = np.concatenate([np.linalg.norm(part, axis=1) for _, part in blocks(vectors)])
            extremes = f"{lengths.min():.2f} to {lengths.max():.2f}"
            lines.append(f"length of {name}:  {lengths.mean():.2f} ({extremes})")
    if isinstance(pairs.pictures, PictureFiles) and (missing := pairs.pictures.missing()):
        lines.append(f"{len(missing)} of {len(pairs.labels)} picture files are missing, such as {missing[0]}")
    return lines + oddities(pairs)


def _by_label(pairs: Pairs) -> list[str]:
    counts = np.count_nonzero(pairs.labels, axis=0)
    names = [*map(printable, pairs.label_names)] or [f"label {number}" for number in range(len(counts))]
    width = max(map(len, names[:_LABELS_SHOWN]))
    lines = [
        f"{name:<{width}} {count:>8,} {count / len(pairs.labels):>6.1%}"
        for name, count in list(zip(names, counts.tolist(), strict=True))[:_LABELS_SHOWN]
    ]
    return lines + ([f"... and {len(counts) - _LABELS_SHOWN} more"] if len(counts) > _LABELS_SHOWN else [])
