"""prepare: writes a data set of any size for training, see `gch.data.prepare`."""

import os
from pathlib import Path

from gch.commands.catalog import Call
from gch.commands.source import setting_lines, source_settings
from gch.data.catalog import open_source
from gch.data.prepare import prepare
from gch.data.prepared import ENCODINGS, open_prepared
from gch.errors import SettingError
from gch.progress import Progress


def run(call: Call) -> None:
    """Prepares a data set.

    Args:
      call: the word is a folder or file, or there is none for that of the settings; options are `out`,
        `encoding`, `quality` and `jobs`.

    Raises:
      DataError: the data are missing or broken, or the folder cannot be written.
      SettingError: an option is wrong.
    """
    settings = source_settings("prepare", call)
    _check(call.options)
    pairs = open_source(settings)
    for line in pairs.found:
        print(line)
    folder = Path(call.options["out"])
    prepare(
        pairs,
        folder,
        encoding=call.options["encoding"],
        quality=call.options["quality"],
        jobs=call.options["jobs"] or os.cpu_count() or 1,
        broken=settings.broken,
        progress=Progress(),
    )
    for line in open_prepared(folder).found:
        print(line)
    print("To train on it, set in setting.py:")
    changes = {"DATA_DIR": str(folder)}
    if tuple(pairs.pictures.size) != (settings.image_size,) * 2:
        changes["image_size"] = pairs.pictures.size[0]
    print(setting_lines(settings, changes))


def _check(options: dict[str, object]) -> None:
    if not options["out"]:
        raise SettingError("prepare: out is missing; expected --out=FOLDER")
    if options["encoding"] not in ENCODINGS:
        raise SettingError(f"prepare: encoding is {options['encoding']!r}; expected {', '.join(ENCODINGS)}")
    for name, least, most in (("quality", 1, 100), ("jobs", 0, 1024)):
        if not least <= options[name] <= most:
            raise SettingError(f"prepare: {name} is {options[name]}; expected {least} to {most}")
