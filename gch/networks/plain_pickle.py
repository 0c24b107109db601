"""Reading the harmless part of a pickle: plain data, and calls that the caller answers itself.

`pickle.Unpickler` with a list of allowed names still lets a file set attributes of what it was given,
reserve memory without bound, or nest values until the interpreter's stack overflows. Here the opcodes are
walked one by one, nothing is imported and nothing is called except the two functions of the caller.
"""

import pickletools
from collections.abc import Callable
from typing import BinaryIO, NamedTuple


class Global(NamedTuple):
    """A name that the pickle refers to; it is never looked up."""

    module: str
    name: str


def read_plain_pickle(
    stream: BinaryIO,
    call: Callable[[Global, tuple], object],
    persistent: Callable[[object], object],
) -> object:
    """Reads one pickle of protocol 2 and leaves `stream` right behind it.

    Args:
      stream: a seekable binary stream whose reads are bounded by its length, such as `io.BytesIO`.
      call: answers what `name(*arguments)` stands for; raises ValueError for a name it does not know.
      persistent: answers what a persistent id stands for; raises ValueError likewise.

    Returns:
      None, bool, int, float, str, bytes, Global, what the two functions answered, and tuples, lists and
      dicts (with str keys) of these. State that a pickle sets on an object (`BUILD`) is dropped.

    Raises:
      ValueError: the pickle is broken or uses anything else.
    """
    values: list = []
    marks: list[int] = []
    memo: dict[int, object] = {}

    def pop(count: int = 1) -> list:
        floor = marks[-1] if marks else 0
        if len(values) - floor < count:
            raise ValueError("a pickle takes a value that it never gave")
        taken = values[len(values) - count :]
        del values[len(values) - count :]
        return taken

    def pop_to_mark() -> list:
        if not marks:
            raise ValueError("a pickle goes back to a mark that it never set")
        start = marks.pop()
        taken = values[start:]
        del values[start:]
        return taken

    def top(kind: type) -> object:
        (value,) = pop()
        values.append(value)
        if not isinstance(value, kind):
            raise ValueError(f"a pickle fills a {type(value).__name__} as if it were a {kind.__name__}")
        return value

    def fill(items: list) -> None:
        keys = items[::2]
        if len(items) % 2 or not all(isinstance(key, str) for key in keys):
            raise ValueError("a pickle has a dict whose keys are not text")
        top(dict).update(zip(keys, items[1::2], strict=True))

    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO":
                pass
            case "NONE":
                values.append(None)
            case "NEWTRUE" | "NEWFALSE":
                values.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                values.append(argument)
            case "BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                values.append(argument)
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                values.append(Global(module, name))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = top(object)
            case "BINGET" | "LONG_BINGET":
                if argument not in memo:
                    raise ValueError(f"a pickle recalls value {argument}, which it never stored")
                values.append(memo[argument])
            case "MARK":
                marks.append(len(values))
            case "EMPTY_TUPLE":
                values.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                values.append(tuple(pop(int(opcode.name[-1]))))
            case "TUPLE":
                values.append(tuple(pop_to_mark()))
            case "EMPTY_LIST":
                values.append([])
            case "APPEND":
                (item,) = pop()
                top(list).append(item)
            case "APPENDS":
                items = pop_to_mark()
                top(list).extend(items)
            case "EMPTY_DICT":
                values.append({})
            case "SETITEM":
                fill(pop(2))
            case "SETITEMS":
                fill(pop_to_mark())
            case "REDUCE":
                name, arguments = pop(2)
                if not isinstance(name, Global) or not isinstance(arguments, tuple):
                    raise ValueError("a pickle calls something that is not a name")
                values.append(call(name, arguments))
            case "BUILD":
                pop()
                top(object)
            case "BINPERSID":
                values.append(persistent(pop()[0]))
            case "STOP":
                break
            case other:
                raise ValueError(f"a pickle holds the opcode {other}, which plain data does not need")
    (result,) = pop()
    return result
