"""encode: codes of a collection of pictures, texts, pairs or vectors, by an exported model."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from gch.commands import Call
from gch.errors import DataError, RunError, SettingError, disk_errors
from gch.search.codes_folder import NOTE, SKIPPED, CodesNote, CodesWriter, shard_folder
from gch.search.encode import FROM_TEXT, encode_entries, load_on_devices, shard_range
from gch.search.entries import (
    Entries,
    pair_entries,
    picture_entries,
    survey,
    text_entries,
    unread_pictures,
    vector_entries,
)
from gch.search.exported import PICTURES_AT_ONCE, TEXTS_AT_ONCE, VECTORS_AT_ONCE
from gch.search.model_note import OF_PAIRS, read_model_note
from gch.terminal import Progress

_KINDS: dict[str, tuple[Callable[[Path], Entries], tuple[str, ...], str, int]] = {
    # What is encoded: what reads it and codes it, what it is called, and how many go at once.
    "images": (picture_entries, ("encode_image",), "pictures", PICTURES_AT_ONCE),
    "texts": (text_entries, ("encode_text_string",), "texts", TEXTS_AT_ONCE),
    "pairs": (pair_entries, OF_PAIRS, "pairs", PICTURES_AT_ONCE),
}
_VECTORS = {"image_vectors": "image", "text_vectors": "text"}


def run(call: Call) -> None:
    """Encodes a collection with the exported model in a folder."""
    options = call.options
    if len(call.words) != 1:
        raise SettingError(f"encode: found {' '.join(call.words) or 'no model'}; expected one folder")
    given = {name: getattr(options, name) for name in (*_KINDS, *_VECTORS) if getattr(options, name)}
    if len(given) != 1:
        raise SettingError(
            "encode: expected one of --images=FOLDER or LIST, --texts=FILE, --pairs=FILE, "
            "--image_vectors=FILE and --text_vectors=FILE"
        )
    ((kind, place),) = given.items()
    if options.names and kind not in _VECTORS:
        raise SettingError("encode: names are those of vectors; expected --image_vectors or --text_vectors")
    if not options.out:
        raise SettingError("encode: out is missing; expected --out=FOLDER")
    model, out = Path(call.words[0]), Path(options.out)
    digits = re.fullmatch(r"(\d{1,6})/(\d{1,6})", options.shard, re.ASCII)
    shard = (int(digits[1]), int(digits[2])) if digits else (0, 0)
    if not 1 <= shard[0] <= shard[1]:
        raise SettingError(f"encode: shard is {options.shard!r}; expected i/n, from 1/n to n/n")
    note = read_model_note(model)
    if kind in _VECTORS:
        modality, things, most = _VECTORS[kind], "vectors", VECTORS_AT_ONCE
        names = Path(options.names) if options.names else None
        entries = vector_entries(Path(place), modality, note.vector_width(modality), names)
    else:
        read, signatures, things, most = _KINDS[kind]
        note.require(*signatures)
        entries = read(Path(place))
    if note.encoding_batch is not None and options.batch not in (0, note.encoding_batch):
        raise SettingError(f"encode: batch is {options.batch}; the model needs {note.encoding_batch}")
    batch = note.encoding_batch or options.batch or most
    total, source = survey(entries, f"batches of {batch}")
    if kind == "images" and Path(place).is_dir() and (other := unread_pictures(Path(place))):
        print(f"Left out, because of another format, such as HEIC or AVIF: {other:,} pictures")
    if not total:
        raise DataError(f"{place}: nothing to encode there")
    if shard[1] > 1 and (out / NOTE).exists():
        raise RunError(f"{out}: holds codes of a run without shards; expected another folder")
    start, stop = shard_range(total, batch, shard)
    codes = CodesNote(
        bits=note.bits,
        modality=entries.modality,
        model=note.digest,
        root=entries.root,
        source=source,
        shard=shard,
        entries=stop - start,
    )
    folder = shard_folder(out, shard)
    with disk_errors(folder), CodesWriter(folder, codes) as writer:
        if writer.note.finished:
            print(f"{folder}: already finished")
        else:
            if writer.note.done:
                print(f"{folder}: resumes after {writer.note.done:,} of {writer.note.entries:,} {things}")
            models = load_on_devices(model)
            if len(models) > 1:
                print(f"{len(models)} GPUs")
            jobs = options.jobs or os.cpu_count() or 1
            for entry, reason in encode_entries(
                entries, models, writer, start=start, batch=batch, jobs=jobs, progress=Progress(things)
            ):
                print(f"  {'' if reason.endswith(FROM_TEXT) else 'skipped '}{entry.id!r:.80}: {reason}")
        done = writer.note
    if not done.items and done.entries:
        raise DataError(f"{folder}: none of {done.entries} {things} could be encoded; see {SKIPPED} in it")
    counts = {
        f"{done.skipped:,} skipped": done.skipped,
        f"{done.text_only:,} coded from text alone": done.text_only,
    }
    unread = ", ".join(words for words, count in counts.items() if count)
    print(f"{done.items:,} codes of {done.bits} bits in {folder}{unread and f', {unread} (see {SKIPPED})'}")
