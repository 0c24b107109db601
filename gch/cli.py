"""The command line: words and flags to settings, settings to a run."""

import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from gch.errors import GCHError
from gch.settings import describe, load_settings, meaning, read_assignments

WORDS = ("train", "test", "help")
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

USAGE = """\
Usage: python main_itpair.py [train | test | help] [--SETTING=VALUE ...]

Trains GCH on image-text pairs and tests it; test alone tests the best checkpoint of a run.
Settings are read from setting.py; a flag of the same name wins over the file.
"""


def main(argv: Sequence[str], settings_file: Path) -> int:
    """Runs the command line.

    Args:
      argv: the program's name and its arguments.
      settings_file: setting.py.

    Returns:
      The exit status: 0, 1 for a fault in data or training, 2 for one in the settings, 130 when stopped.
    """
    program = Path(argv[0]).name
    try:
        given, words = _parse(argv)
        if given.pop("help", False) or "help" in words:
            print(_help(settings_file))
            return 0
        for word in words:
            if word not in WORDS:
                raise flags.Error(f"unknown word {word!r}; expected one of {', '.join(WORDS)}")
        if len(words) > 1:
            raise flags.Error(f"{' and '.join(words)}: expected one of them")
        if words:
            given["phase"] = words[0]
        settings = load_settings(settings_file, given)
    except (flags.Error, GCHError) as error:
        return _complain(program, error, EXIT_USAGE)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from gch.job import run_job

    try:
        run_job(settings)
    except (GCHError, OSError) as error:
        return _complain(program, error, EXIT_ERROR)
    except KeyboardInterrupt as stop:
        print(
            f"\n{program}: {stop or 'stopped'}; the same command goes on from the last checkpoint",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    return 0


def _parse(argv: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """The flags that were given, by name, and the words."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
    }
    for _, field in describe():
        define[field.type](field.name, None, meaning(field), flag_values=values)
    flags.DEFINE_boolean("help", None, "all settings", short_name="h", flag_values=values)
    words = values(list(argv))[1:]
    given = {name: values[name].value for name in values if values[name].present}
    if given.pop("h", None):
        given["help"] = True
    return given, words


def _help(settings_file: Path) -> str:
    """All settings with their defaults, as setting.py has them, and their meaning."""
    defaults = read_assignments(settings_file)
    lines, current = [USAGE], None
    for section, field in describe():
        if section != current:
            lines.append(f"{section}:")
            current = section
        lines.append(f"  --{field.name}={defaults.get(field.name)!r}".replace("'", ""))
        lines.append(textwrap.fill(meaning(field), 96, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _complain(program: str, error: Exception, status: int) -> int:
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status
