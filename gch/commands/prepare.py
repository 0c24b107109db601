"""prepare: writes a data set of any size for training, see `gch.data.prepare`."""

import os
from pathlib import Path
from typing import Any

from gch.commands import Call
from gch.commands.source import is_embedded, setting_lines, source_settings
from gch.data.catalog import open_source
from gch.data.downloads.download import some_of
from gch.data.field_files import LAYOUTS, MANIFEST, write_field_files
from gch.data.pairs import Pairs, SplitSizes
from gch.data.prepare import prepare
from gch.data.prepared import open_prepared
from gch.errors import SettingError
from gch.settings import Settings
from gch.terminal import Progress


def run(call: Call) -> None:
    """Prepares a data set: of the folder or file that is given, else of the settings."""
    options, settings = call.options, source_settings("prepare", call)
    if not options.out:
        raise SettingError("prepare: out is missing; expected --out=FOLDER")
    if options.layout != "all" and options.as_ != "mat":
        raise SettingError(f"prepare: layout is {options.layout!r}; expected --as=mat beside it")
    if options.as_ != "mat" and is_embedded(settings):
        raise SettingError(f"prepare: dataset_dir is {settings.dataset_dir!r}; expected a data set of files")
    pairs = open_source(settings)
    for line in pairs.found:
        print(line)
    if options.as_ == "mat":
        _write_mat(pairs, options, settings)
        return
    prepare(
        pairs,
        Path(options.out),
        encoding=options.encoding,
        quality=options.quality,
        jobs=options.jobs or os.cpu_count() or 1,
        broken=settings.broken,
        progress=Progress(),
    )
    prepared = open_prepared(Path(options.out))
    for line in prepared.found:
        print(line)
    print("To train on it, set in setting.py or as flags of train:")
    changes: dict[str, object] = {"DATA_DIR": options.out}
    if prepared.pictures and tuple(prepared.pictures.size) != (settings.image_size,) * 2:
        changes["image_size"] = prepared.pictures.size[0]
    print(setting_lines(settings, changes))


def _write_mat(pairs: Pairs, options: Any, settings: Settings) -> None:
    out, layouts = Path(options.out), LAYOUTS if options.layout == "all" else (options.layout,)
    manifest = write_field_files(pairs, out, settings, layouts, Progress())
    for name, file in manifest["files"].items():
        print(f"{out / name}: {file['bytes']:,} bytes, SHA-256 {file['sha256'][:16]}")
    parts = ", ".join(f"{manifest['split'][part]} {part}" for part in SplitSizes._fields)
    print(f"{manifest['items']} items; split.mat: {parts}, digest {manifest['split']['digest']}")
    if left_out := manifest["left_out"]["unreadable"]:
        print(f"left out, unreadable: {some_of(left_out)}")
    print(f"What they were made of, and the rows of all pictures: {out / MANIFEST}")
