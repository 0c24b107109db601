"""The command line: words and flags to settings, settings to a run."""

import dataclasses
import functools
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from gch.commands.catalog import COMMANDS, Call, Command
from gch.errors import GCHError, SettingError
from gch.settings import describe
from gch.settings_file import load_settings, meaning, read_assignments

WORDS = ("train", "test", "help")
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

USAGE = """\
Usage: python main_itpair.py [train | test | help] [--SETTING=VALUE ...]
{commands}

Trains GCH or AGAH (--method=agah) on image-text pairs and tests it; test alone tests the best
checkpoint of a run.
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
        command = _command(argv)
        given, words = _parse(argv, command)
        if given.pop("help", False) or "help" in words[:1]:
            print(_help(settings_file, command))
            return 0
        options = {flag.name: given.pop(flag.name, flag.default) for flag in command.flags} if command else {}
        given |= {} if command else _phase(words)
        load = functools.partial(load_settings, settings_file)
        settings = None if command else load(given)  # a command makes its own
    except (flags.Error, GCHError) as error:
        return _complain(program, error, EXIT_USAGE)
    # Of a worker that is lost TensorFlow tells in many lines of its own; gch.training.workers does in one.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if "TF_CONFIG" in os.environ else "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        if command:
            command.run(Call(words[1:], options, given, load))
        else:
            from gch.job import run_job

            run_job(settings)
    except (GCHError, OSError) as error:
        misused = command and isinstance(error, SettingError)
        return _complain(program, error, EXIT_USAGE if misused else EXIT_ERROR)
    except KeyboardInterrupt as stop:
        hint = "; the same command goes on from the last checkpoint" if command is None else ""
        hint = "; the same command goes on from there" if command and command.goes_on else hint
        print(f"\n{program}: {stop or 'stopped'}{hint}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _command(argv: Sequence[str]) -> Command | None:
    """The command that the first word names, if it names one."""
    first = next((word for word in argv[1:] if not word.startswith("-")), None)
    return COMMANDS.get(first)


def _phase(words: list[str]) -> dict[str, str]:
    for word in words:
        if word not in WORDS:
            known = ", ".join((*WORDS, *COMMANDS))
            raise flags.Error(f"unknown word {word!r}; expected one of {known}")
    if len(words) > 1:
        raise flags.Error(f"{' and '.join(words)}: expected one of them")
    return {"phase": words[0]} if words else {}


def _parse(argv: Sequence[str], command: Command | None) -> tuple[dict[str, object], list[str]]:
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
        for name in filter(None, (field.name, field.metadata["alias"])):
            define[field.type](name, None, meaning(field), flag_values=values)
    for flag in command.flags if command else ():
        define[type(flag.default)](flag.name, None, flag.meaning, flag_values=values)
    flags.DEFINE_boolean("help", None, "all settings", short_name="h", flag_values=values)
    words = values(list(argv))[1:]
    given = _by_setting({name: values[name].value for name in values if values[name].present})
    if given.pop("h", None):
        given["help"] = True
    return given, words


def _by_setting(given: dict[str, object]) -> dict[str, object]:
    """Flags by the names of settings, where AGAH's names were given."""
    settings = {field.metadata["alias"]: field.name for _, field in describe()}
    for alias in given.keys() & settings.keys():
        if settings[alias] in given:
            raise flags.Error(f"--{alias} is --{settings[alias]}; expected one of them")
    return {settings.get(name, name): value for name, value in given.items()}


def _help(settings_file: Path, command: Command | None) -> str:
    """A command's flags; without one, all settings with their defaults, as setting.py has them."""
    if command:
        lines = [f"Usage: python main_itpair.py {command.usage}", "", command.meaning, ""]
        lines += [_flag_help(flag.name, flag.default, flag.meaning) for flag in command.flags]
        return "\n".join([*lines, "Settings are flags too: python main_itpair.py --help"])
    commands = "\n".join(f"       python main_itpair.py {known.usage}" for known in COMMANDS.values())
    defaults = read_assignments(settings_file)
    lines, current = [USAGE.format(commands=commands)], None
    for section, field in describe():
        if section != current:
            lines.append(f"{section}:")
            current = section
        lines.append(_flag_help(field.name, defaults.get(field.name), _words(field)))
    return "\n".join(lines)


def _flag_help(name: str, default: object, meaning: str) -> str:
    words = textwrap.fill(meaning, 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  --{name}={default!r}".replace("'", "") + "\n" + words


def _words(field: dataclasses.Field) -> str:
    alias = field.metadata["alias"]
    return f"{meaning(field)} (AGAH: --{alias})" if alias else meaning(field)


def _complain(program: str, error: Exception, status: int) -> int:
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status
