"""encode: codes of a collection of pictures or texts, by an exported model."""

import os
import re
from pathlib import Path

from gch.commands import Call
from gch.errors import DataError, RunError, SettingError
from gch.search.codes_folder import NOTE, SKIPPED, CodesNote, CodesWriter, shard_folder
from gch.search.entries import picture_entries, survey, text_entries
from gch.search.exported import PICTURES_AT_ONCE, TEXTS_AT_ONCE, read_model_note
from gch.terminal import Progress


def run(call: Call) -> None:
    """Encodes a collection with the exported model in a folder."""
    options = call.options
    if len(call.words) != 1:
        raise SettingError(f"encode: found {' '.join(call.words) or 'no model'}; expected one folder")
    if bool(options.images) == bool(options.texts):
        raise SettingError("encode: expected either --images=FOLDER or LIST, or --texts=FILE")
    if not options.out:
        raise SettingError("encode: out is missing; expected --out=FOLDER")
    model, out = Path(call.words[0]), Path(options.out)
    digits = re.fullmatch(r"(\d{1,6})/(\d{1,6})", options.shard, re.ASCII)
    shard = (int(digits[1]), int(digits[2])) if digits else (0, 0)
    if not 1 <= shard[0] <= shard[1]:
        raise SettingError(f"encode: shard is {options.shard!r}; expected i/n, from 1/n to n/n")
    note = read_model_note(model)
    entries = picture_entries(Path(options.images)) if options.images else text_entries(Path(options.texts))
    if entries.modality == "image":
        signature, things, most = "encode_image", "pictures", PICTURES_AT_ONCE
    else:
        signature, things, most = "encode_text_string", "texts", TEXTS_AT_ONCE
    note.require(signature)
    if note.encoding_batch is not None and options.batch not in (0, note.encoding_batch):
        raise SettingError(f"encode: batch is {options.batch}; the model needs {note.encoding_batch}")
    batch = note.encoding_batch or options.batch or most
    total, source = survey(entries, f"batches of {batch}")
    if not total:
        raise DataError(f"{options.images or options.texts}: nothing to encode there")
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
                print(f"  skipped {entry.id!r:.80}: {reason}")
        done = writer.note
    if not done.items and done.entries:
        raise DataError(f"{folder}: none of {done.entries} {things} could be encoded; see {SKIPPED} in it")
    skipped = f", {done.skipped:,} skipped (see {SKIPPED})" if done.skipped else ""
    print(f"{done.items:,} codes of {done.bits} bits in {folder}{skipped}")
