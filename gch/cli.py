"""The command line of `gch` and main_itpair.py: turns words and flags into settings, and starts the run."""

import dataclasses
import inspect
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gch import __version__
from gch.commands import COMMANDS, run_command
from gch.data.text_files import shown
from gch.errors import GCHError, SettingError
from gch.rules import KINDS, flag_name
from gch.settings import RETIRED, Settings, canonical, fields, load_settings, read_assignments

PHASES = ("train", "test")
LONGEST = 2000  # characters of a message
EXIT_ERROR, EXIT_USAGE = 1, 2
EXIT_PIPE = 141  # of a program that SIGPIPE ends

USAGE = """\
Usage: {program} [train | test [RUN] | help] [--SETTING=VALUE ...]
{commands}

Trains a method on image-text pairs and tests it; `test` tests the best checkpoint of a run again, of the one
in the folder RUN if that is given.
{program} COMMAND --help lists the flags of a command, --version shows the version.
Every setting below is a flag. --settings=FILE reads settings from a file of assignments, such as bit = 32.
"""


def main(argv: Sequence[str], settings_file: Path | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the program's name and its arguments.
      settings_file: a file like setting.py; None: the defaults.

    Returns:
      The exit status: 0; 1 after an error in data or training, 2 in the settings, 141 where the reader of
      standard output has left.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when the program started
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    program = Path(argv[0]).name
    # The first word may be the value of a flag, as in `--bit 16 eval`.
    command = next((word for word in argv[1:] if word in COMMANDS or word in PHASES), "")
    command = command if command in COMMANDS else ""
    settings, text = None, ""
    try:
        given, words = _parse(argv, command)
        if words[:1] not in ([command], ["help"]):
            command = ""
        if "settings" in given:
            settings_file = Path(given.pop("settings"))
        if given.pop("help", False) or "help" in words[:1]:
            text = _help(program, settings_file, command)
        elif given.pop("version", False):
            text = f"gch {__version__}"
        elif not command:
            settings = _settings(settings_file, given, words)
    except (flags.Error, GCHError) as error:
        return _complain(program, error, EXIT_USAGE)
    # TensorFlow reports a lost worker in many lines; gch.training.cluster reports it in one.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if "TF_CONFIG" in os.environ else "2")
    try:
        if text:
            print(text)
        elif settings:
            from gch.job import run_job

            run_job(settings)
        else:
            run_command(command, words[1:], given, settings_file)
        sys.stdout.flush()
    except BrokenPipeError:  # The reader has seen enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it ends.
        return EXIT_PIPE
    except (GCHError, OSError) as error:
        misused = command and isinstance(error, SettingError)
        return _complain(program, error, EXIT_USAGE if misused else EXIT_ERROR)
    return 0


def _settings(settings_file: Path | None, given: dict[str, Any], words: list[str]) -> Settings:
    if words[:1] == ["test"] and len(words) == 2:
        from gch.run import run_settings

        return run_settings(Path(words[1]), given, "test", "test")
    if words[:1] == ["test"] and len(words) > 2:
        raise flags.Error(f"test: found {' '.join(words[1:])}; expected the folder of one run")
    for word in words:
        if word not in PHASES:
            known = ", ".join((*PHASES, "help", *COMMANDS))
            raise flags.Error(f"unknown word {word!r}; expected one of {known}")
    if len(words) > 1:
        raise flags.Error(f"{' and '.join(words)}: expected one of them")
    return load_settings(settings_file, given | ({"phase": words[0]} if words else {}))


def _parse(argv: Sequence[str], command: str) -> tuple[dict[str, Any], list[str]]:
    """The given flags, by the names of settings and options, and the words."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    define: dict[Any, Any] = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
    }
    kinds = {name: field.type for _, field in fields() for name in (field.name, *field.metadata["aliases"])}
    kinds |= dict.fromkeys([*RETIRED, "settings"], str)
    if command:
        kinds |= {flag_name(field): field.type for field in dataclasses.fields(COMMANDS[command])}
    for name, kind in kinds.items():
        define[kind](name, None, "", flag_values=values)
    flags.DEFINE_boolean("help", None, "", short_name="h", flag_values=values)
    flags.DEFINE_boolean("version", None, "", flag_values=values)
    try:
        words = values(list(argv))[1:]
        if "" in words:  # Path("") is the current folder
            raise flags.Error(f"argument {1 + words.index('')} is empty; expected a word, a file or a folder")
    except flags.IllegalFlagValueError as error:  # 'flag --bit=x: ' and what Python says of it
        flag, _, value = str(error).partition(": ")[0].removeprefix("flag --").partition("=")
        raise flags.Error(f"--{flag} is {shown(value)}; expected {KINDS[kinds.get(flag, bool)]}") from error
    given: dict[str, Any] = {}
    for name in values:
        if values[name].present:
            if canonical(name) in given:
                raise flags.Error(f"--{name} and --{canonical(name)} are one setting; expected one of them")
            given[canonical(name)] = values[name].value
    if given.pop("h", None):
        given["help"] = True
    return given, words


def _help(program: str, settings_file: Path | None, command: str) -> str:
    """A command's flags; without one, all settings with their defaults."""
    called = f"python {program}" if program.endswith(".py") else program
    if command:
        kind = COMMANDS[command]
        lines = [f"Usage: {called} {kind.usage}", "", inspect.getdoc(kind) or "", ""]
        lines += [_flag_help(field) for field in dataclasses.fields(kind)]
        if kind.takes_settings():
            lines.append(f"Settings are flags too; {called} --help lists them.")
        return "\n".join(lines)
    usages = "\n".join(f"       {called} {known.usage}" for known in COMMANDS.values())
    lines, current = [USAGE.format(program=called, commands=usages)], ""
    assigned = read_assignments(settings_file) if settings_file else {}
    in_file = {canonical(name): value for name, value in assigned.items()}
    for section, field in fields():
        if section != current:
            lines.append(f"{section}:")
            current = section
        lines.append(_flag_help(field, in_file))
    return "\n".join(lines)


def _flag_help(field: dataclasses.Field, in_file: dict[str, object] | None = None) -> str:
    choices, aliases = field.metadata["choices"], field.metadata["aliases"]
    meaning = field.metadata["meaning"] + (f": {' | '.join(filter(None, choices))}" if choices else "")
    meaning += f" (also --{', --'.join(aliases)})" if aliases else ""
    words = textwrap.fill(meaning, 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
    default = (in_file or {}).get(field.name, field.default)
    return f"  --{flag_name(field)}={default!r}".replace("'", "") + "\n" + words


def _complain(program: str, error: Exception, status: int) -> int:
    text = " ".join(str(error).split())
    if len(text) > LONGEST:  # a value of thousands of digits
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    print(f"{program}: error: {text}", file=sys.stderr)
    return status
