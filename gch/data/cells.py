"""Lists and missing values in the cells of a table, in the spellings that tools write.

| written by         | a list                                                           |
|--------------------|------------------------------------------------------------------|
| hand               | beach;dog or beach, dog or "sun, sea";dog                        |
| JSON               | ["beach", "dog"]                                                 |
| Python, pandas     | ['beach', 'dog'], ('beach', 'dog'), {'beach'}, [np.str_('dog')]  |
| NumPy              | ['beach' 'dog'], array(['beach'], dtype=object), [1. 0. 1.]      |
| PostgreSQL         | {beach,"blue sky"}                                               |
| files of numbers   | 1 1 0 0                                                          |
"""

import ast
import contextlib
import json
import re
from collections.abc import Sequence

_MISSING = {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
_MISSING |= {"N/A", "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null"}  # as pandas reads them
_BITS = {"0": False, "0.": False, "0.0": False, "False": False, "false": False}
_BITS |= {"1": True, "1.": True, "1.0": True, "True": True, "true": True}
_QUOTED = re.compile(r"""(?<!\w)([bBuU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))(?!\w)""", re.DOTALL)
_WRAPPED = re.compile(
    r"(?:np\.|numpy\.)?(?:array|set|frozenset|tuple|list|Index)\((.*?)(?:,\s*dtype=[^\]]*)?\)", re.DOTALL
)
_BROKEN = re.compile(r"""[\[{]\s*[bBuU]?['"]""")
_NUMPY_SCALAR = re.compile(r"\bnp\.\w+\(([^()]*)\)")
_NUMBERS = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:\s+-?[0-9]+(?:\.[0-9]*)?)*")
_PART = {
    separators: re.compile(
        rf'\s*"(?P<quoted>(?:[^"]|"")*)"\s*(?:[{separators}]|\Z)|(?P<bare>[^{separators}]*)(?:[{separators}]|\Z)'
    )
    for separators in (";|", ";", ",")
}


def is_missing(value: object) -> bool:
    """Whether a value stands for none: null, NaN, or a spelling of them that pandas knows."""
    if isinstance(value, str):
        return value.strip() in _MISSING
    return value is None or value != value


def read_list(text: str) -> tuple[list, bool] | None:
    """The members of a list in brackets, and whether any is quoted; None where a text is no list.

    Members are str; those of a list of lists are lists, and NaN, None and null are None.
    """
    text = text.strip()
    if wrapped := _WRAPPED.fullmatch(text):
        text = wrapped[1].strip() or "[]"
    if len(text) < 2 or text[0] + text[-1] not in ("[]", "()", "{}"):
        return None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda name: None)
        if isinstance(value, list):
            return value, any(isinstance(member, str) for member in value) and '"' in text
    pieces = _QUOTED.split(_NUMPY_SCALAR.sub(r"\1", text[1:-1]))  # bare, quoted, bare ... bare
    bare = "".join(pieces[::2])
    if any(bracket in bare for bracket in "[](){}:"):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(text)
            if isinstance(value, list | tuple):
                return list(value), True
        return None
    numbers = _NUMBERS.fullmatch(bare.strip()) is not None
    if text[0] == "(" and len(pieces) == 1 and not numbers and bare.strip():
        return None  # a remark in parentheses
    members: list[str | None] = []
    for number, piece in enumerate(pieces):
        if number % 2:
            members.append(_unquoted(piece))
        else:
            parts = piece.split() if numbers else re.split("[,;|]", piece)
            members += [None if is_missing(part) else part.strip() for part in parts if part.strip()]
    return members, len(pieces) > 1


def is_broken_list(text: str, written: tuple[list, bool] | None) -> bool:
    """Whether a text is a mapping, or a list of strings without its end or, as NumPy prints it, its middle.

    `written` is what `read_list` found.
    """
    if written is None:
        return _BROKEN.match(text.strip()) is not None
    return "..." in written[0] and re.search(r"[\s,]\.\.\.[\s,]", text) is not None


def split_list(text: str, separators: str) -> list[str]:
    """The parts of a text between separators (';|' or ';'), else between commas, else numbers between blanks.

    A part in double quotes is not split. Missing values and empty parts are left out.
    """
    parts = list(_PART[separators].finditer(text))
    if not any(part[0][-1:] in tuple(separators) for part in parts):
        parts = list(_PART[","].finditer(text))
        if not any(part[0].endswith(",") for part in parts) and _NUMBERS.fullmatch(text.strip()):
            return text.split()
    found = [part["bare"] if part["quoted"] is None else part["quoted"].replace('""', '"') for part in parts]
    return [part for part in found if part.strip() and not is_missing(part)]


def positions(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows that are all as many zeros and ones become the numbers of their ones, from 0; others stay."""
    lengths = {len(row) for row in rows if row}
    if len(lengths) != 1 or lengths == {1} or any(member not in _BITS for row in rows for member in row):
        return list(rows)
    return [tuple(str(number) for number, member in enumerate(row) if _BITS[member]) for row in rows]


def _unquoted(literal: str) -> str:
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(literal)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return literal.lstrip("bBuU")[1:-1]
