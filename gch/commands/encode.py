"""encode: the codes of a collection of pictures or texts, by an exported model."""

import os
import re
from pathlib import Path

from gch.commands import Call
from gch.errors import DataError, RunError, SettingError
from gch.search.codes_folder import NOTE, SKIPPED, CodesNote, shard_folder
from gch.search.codes_writer import CodesWriter
from gch.search.entries import picture_entries, survey, text_entries
from gch.search.exported import PICTURES_AT_ONCE, TEXTS_AT_ONCE, ModelNote, read_model_note
from gch.terminal import Progress


def run(call: Call) -> None:
    """Encodes a collection.

    Args:
      call: the word is the folder of an exported model; options are `images` or `texts`, `out`, `shard`,
        `batch`, `part_items` and `jobs`.

    Raises:
      DataError: the model or the list cannot be read, or nothing could be encoded.
      RunError: the folder holds other codes.
      SettingError: a word or an option is wrong.
    """
    options = call.options
    if len(call.words) != 1:
        raise SettingError(f"encode: found {' '.join(call.words) or 'no model'}; expected one folder")
    if bool(options.images) == bool(options.texts):
        raise SettingError("encode: expected either --images=FOLDER or LIST, or --texts=FILE")
    if not options.out:
        raise SettingError("encode: out is missing; expected --out=FOLDER")
    model, out, shard = Path(call.words[0]), Path(options.out), _shard(options.shard)
    note = read_model_note(model)
    entries = picture_entries(Path(options.images)) if options.images else text_entries(Path(options.texts))
    signature, things, most = {
        "image": ("encode_image", "pictures", PICTURES_AT_ONCE),
        "text": ("encode_text_string", "texts", TEXTS_AT_ONCE),
    }[entries.modality]
    note.require(signature)
    batch = _batch(options.batch, note, most)
    total, source = survey(entries, f"batches of {batch}")
    if not total:
        raise DataError(f"{options.images or options.texts}: nothing to encode in it")
    if shard[1] > 1 and (out / NOTE).exists():
        raise RunError(f"{out}: holds codes of a run without shards; expected another folder")

    from gch.search.encode import encode_entries, load_on_devices, shard_range  # loads NumPy

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
    with CodesWriter(folder, codes, options.part_items) as writer:
        if writer.note.finished:
            print(f"{folder}: was finished before")
        else:
            if writer.note.done:
                print(f"{folder}: goes on after {writer.note.done:,} of {writer.note.entries:,} {things}")
            models = load_on_devices(model)
            if len(models) > 1:
                print(f"{len(models)} GPUs")
            jobs = options.jobs or os.cpu_count() or 1
            for entry, reason in encode_entries(
                entries, models, writer, start=start, batch=batch, jobs=jobs, progress=Progress(things)
            ):
                print(f"  skipped {entry.id!r:.80}: {reason}")
        done = writer.note
    if not done.items and done.entries:
        raise DataError(f"{folder}: none of {done.entries} {things} could be encoded; see {SKIPPED} in it")
    skipped = f", {done.skipped:,} skipped (see {SKIPPED})" if done.skipped else ""
    print(f"{done.items:,} codes of {done.bits} bits in {folder}{skipped}")


def _shard(text: str) -> tuple[int, int]:
    """The number of the shard, and of all."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise SettingError(f"encode: shard is {text!r}; expected i/n, from 1/n to n/n")
    return number, count


def _batch(given: int, note: ModelNote, most: int) -> int:
    if note.encoding_batch is None:
        return given or most
    if given not in (0, note.encoding_batch):
        raise SettingError(f"encode: batch is {given}; the model needs {note.encoding_batch}")
    return note.encoding_batch
