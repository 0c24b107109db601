"""prepare: writes a data set of any size for training, see `gch.data.prepare`."""

import os
from pathlib import Path

from gch.commands import Call
from gch.commands.source import setting_lines, source_settings
from gch.data.catalog import open_source
from gch.data.prepare import prepare
from gch.data.prepared import open_prepared
from gch.errors import SettingError
from gch.terminal import Progress


def run(call: Call) -> None:
    """Prepares a data set: of the folder or file that is given, else of the settings."""
    options, settings = call.options, source_settings("prepare", call)
    if not options.out:
        raise SettingError("prepare: out is missing; expected --out=FOLDER")
    pairs = open_source(settings)
    for line in pairs.found:
        print(line)
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
    print("To train on it, set in setting.py:")
    changes: dict[str, object] = {"DATA_DIR": options.out}
    if prepared.pictures and tuple(prepared.pictures.size) != (settings.image_size,) * 2:
        changes["image_size"] = prepared.pictures.size[0]
    print(setting_lines(settings, changes))
