"""A setting: its default, its meaning, and the values that it may take."""

import dataclasses
import math
import os
import re
from collections.abc import Sequence
from typing import Any

from gch.data.text_files import shown
from gch.errors import SettingError

MOST = 2**31 - 1  # of a whole number, unless a setting says otherwise
KINDS: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "True or False"}
_LISTED = 100


def setting(
    default: str | int | float | bool,
    meaning: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    aliases: Sequence[str] = (),
    free: bool = False,
    shapes: bool = False,
    before: str | int | float | bool | None = None,
) -> Any:
    """A field of a dataclass of settings.

    Args:
      default: its value if no file, preset or flag sets it.
      meaning: its description in --help.
      choices: the only values that it may take; none: any.
      minimum: its smallest value.
      above: a number that it must exceed.
      maximum: its largest value.
      aliases: other accepted names: those of AGAH's original and of earlier versions.
      free: whether a run may resume with another value, because it does not change what is learned.
      shapes: whether another value can change which weights a run has, or their shapes.
      before: what holds for runs of versions that did not have the setting; None: the default.
    """
    rules = {"choices": tuple(choices), "minimum": minimum, "above": above, "maximum": maximum}
    before = default if before is None else before
    about = {"meaning": meaning, "aliases": tuple(aliases), "free": free, "shapes": shapes, "before": before}
    return dataclasses.field(default=default, metadata=about | rules)


def flag_name(field: dataclasses.Field) -> str:
    """The name of a field as a flag: a word of Python's own, such as `as`, has a '_' behind it as a field."""
    return field.name.rstrip("_")


def checked(field: dataclasses.Field, value: object, where: str) -> object:
    """Returns `value`, converted to the type of a setting: a path, a number of NumPy, a whole number; `where`
    it is from, for messages. Raises SettingError where it has the wrong type or is out of range.
    """
    name, rules = f"{where}: {flag_name(field)}", field.metadata
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif getattr(value, "shape", None) == ():
        value = value.item()  # type: ignore[attr-defined]
    if type(value) is int and abs(value) > max(MOST, rules["maximum"] or 0):
        expected = f"at most {rules['maximum'] or MOST}" if value > 0 else f"at least {-MOST}"
        raise SettingError(f"{name} is {shown(value)}; expected {expected}")
    if field.type is float and type(value) is int:
        value = float(value)
    if type(value) is not field.type:
        raise SettingError(f"{name} is {shown(value)}; expected {KINDS[field.type]}")
    if isinstance(value, str) and "\0" in value:
        raise SettingError(f"{name} is {shown(value)}; expected text without NUL characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{name} is {value!r}; expected a finite number")
    if rules["choices"] and value not in rules["choices"]:
        raise SettingError(f"{name} is {value!r}; expected one of {', '.join(map(repr, rules['choices']))}")
    if isinstance(value, int | float):
        for bound, within, words in (
            (rules["minimum"], lambda bound: value >= bound, "at least"),
            (rules["above"], lambda bound: value > bound, "more than"),
            (rules["maximum"], lambda bound: value <= bound, "at most"),
        ):
            if bound is not None and not within(bound):
                raise SettingError(f"{name} is {shown(value)}; expected {words} {bound}")
    return value


def require_numbers(name: str, text: str, example: str) -> None:
    """Raises SettingError unless `text` lists positive whole numbers, `_LISTED` at most."""
    numbers = text.split(",")
    if len(numbers) > _LISTED:
        raise SettingError(f"{name} lists {len(numbers)} numbers; expected {_LISTED} at most")
    if not all(re.fullmatch("0*[1-9][0-9]{0,8}", number) for number in numbers):
        raise SettingError(
            f"{name} is {shown(text)}; expected positive whole numbers up to 9 digits, such as '{example}'"
        )
