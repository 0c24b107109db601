"""The commands beside training and testing, known without loading what they need.

A command is a dataclass whose fields are its flags beside the settings; `run` in the module of its name does
the work, and takes a `Call`.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from gch.rules import checked, setting
from gch.settings import Settings, load_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Attributes:
    usage: the words and flags that follow the program's name.
    goes_on: whether the same command goes on where it was stopped.
    """

    usage: ClassVar[str]
    goes_on: ClassVar[bool] = False


class Call(NamedTuple):
    """How a command was called.

    Attributes:
      words: what follows the command's name and is no flag.
      options: the command, with the values of its flags.
      given: the settings that were given as flags, by name.
      settings_file: a file like setting.py, or None.
    """

    words: list[str]
    options: Any
    given: dict[str, Any]
    settings_file: Path | None

    def load(self, flags: dict[str, Any] | None = None) -> Settings:
        """Settings of the file and of flags: those that were given, or others."""
        return load_settings(self.settings_file, self.given if flags is None else flags)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Prints what a data set holds, draws a sheet of samples, and says what to set to train on it."""

    usage = "inspect [FOLDER | FILE] [--out=FILE] [--SETTING=VALUE ...]"
    out: str = setting("inspect.png", "the sheet of sample pictures with their words")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(Command):
    """Writes a data set of any size in a form that training reads with little memory."""

    usage = "prepare [FOLDER | FILE] --out=FOLDER [--SETTING=VALUE ...]"
    goes_on = True
    out: str = setting("", "folder of the prepared data set")
    encoding: str = setting(
        "jpeg",
        "of the pictures; png loses nothing, nor does raw, which takes three bytes a pixel",
        choices=["jpeg", "png", "raw"],
    )
    quality: int = setting(95, "of JPEG", minimum=1, maximum=100)
    jobs: int = setting(0, "threads that read and encode; 0: one for each core", minimum=0, maximum=1024)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(Command):
    """Measures saved codes: .mat, .npz or .npy files of any tool, or folders of runs."""

    usage = "eval CODES [CODES ...] [--out=FOLDER] [--SETTING=VALUE ...]"
    out: str = setting("evaluation", "folder of results.json, results.csv, table.md, table.tex and plots")
    per_query: bool = setting(False, "also saves the values of every query, in per_query.npz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Writes the best checkpoint of a run as a SavedModel, which encodes pictures and texts in any TensorFlow
    program. Without a run it is the one that the settings describe. With a label graph the model holds
    vectors and labels of the N training items, in both modalities: N x F x 4 bytes of vectors (image
    features, words) and N x C x 4 of labels. Whoever has the model can read them.
    """

    usage = "export [RUN] [--out=FOLDER] [--lite] [--SETTING=VALUE ...]"
    out: str = setting("", "folder of the model; by default export in that of the run")
    lite: bool = setting(False, "also writes the encoders for TensorFlow Lite, with weights of 8 bits")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encode(Command):
    """Writes the codes of a collection of any size, by an exported model. What it cannot read is reported and
    skipped.
    """

    usage = "encode MODEL [--images=FOLDER | LIST] [--texts=FILE] --out=FOLDER [--shard=i/n]"
    goes_on = True
    images: str = setting("", "folder of pictures, or a file that names one on each line")
    texts: str = setting("", "file of a text on each line, or .jsonl of id and text or tags")
    out: str = setting("", "folder of the codes")
    shard: str = setting("1/1", "i/n: the i-th of n parts, which machines encode side by side")
    batch: int = setting(
        0, "items that are encoded together; 0: 32 pictures or 1024 texts", minimum=0, maximum=65_536
    )
    part_items: int = setting(1_000_000, "most codes in a file", minimum=1, maximum=2**40)
    jobs: int = setting(0, "threads that read pictures; 0: one for each core", minimum=0, maximum=1024)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index(Command):
    """Makes codes of pictures, texts or both searchable; several folders of one model are joined. Needs the
    extra search.
    """

    usage = "index CODES [CODES ...] --out=FOLDER | URI [--kind=auto]"
    out: str = setting(
        "", "folder of the index, or where ClickHouse is: clickhouse://HOST/DATABASE or chdb://FOLDER"
    )
    kind: str = setting(
        "auto",
        "of the index; flat is exact, hash and hnsw may miss near items; auto: by the number of items",
        choices=["auto", "flat", "hash", "hnsw"],
    )
    parameters: str = setting("", "of the kind, such as M=32,efConstruction=80,efSearch=128")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(Command):
    """Finds pictures or texts by words, by a picture, or by each line of a file. INDEX may also be a folder
    of codes or the URI of an engine. Needs the extra search.
    """

    usage = "search MODEL INDEX [WORD ... | --picture=FILE | --text=FILE] [--find=images] [--count=10]"
    picture: str = setting("", "picture file to search by; -: standard input")
    text: str = setting("", "file of a query on each line; -: standard input")
    find: str = setting(
        "",
        "what is found; '': images by words, texts by a picture",
        choices=["", "images", "texts"],
    )
    count: int = setting(10, "results of a query", minimum=1, maximum=1000)
    json: bool = setting(False, "prints a JSON object a line for each query")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serves a search page and a JSON API: type words or drop a picture, click a result to turn the search
    around. Needs the extra serve.
    """

    usage = "serve MODEL INDEX [--host=127.0.0.1] [--port=8000] [--batch=32] [--queue=256]"
    host: str = setting(
        "127.0.0.1", "address to listen at; any but this machine's own is open to others, without a password"
    )
    port: int = setting(8000, "0: any that is free", minimum=0, maximum=65_535)
    batch: int = setting(32, "queries answered together at most", minimum=1)
    queue: int = setting(256, "queries that may wait; more get status 503", minimum=1)
    max_megabytes: int = setting(16, "size of a picture that is sent, at most", minimum=1)
    timeout_s: int = setting(30, "seconds that a request may take", minimum=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Writes one HTML page that compares runs: settings, measures, plots, pictures."""

    usage = "report RUN [RUN ...] [--out=FILE]"
    out: str = setting("report.html", "the page")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Trains and tests every combination, and prints mean and deviation over the seeds. Finished runs are not
    repeated, and those that were stopped go on.
    """

    usage = "sweep [--bits=16,32,64] [--methods=gch] [--seeds=0,1,2] [--jobs=1] [--SETTING=VALUE ...]"
    goes_on = True
    bits: str = setting("16,32,64", "lengths of the codes")
    methods: str = setting("gch", "methods, or presets such as reference")
    seeds: str = setting("0,1,2", "seeds")
    jobs: int = setting(1, "runs side by side, each on its share of the cores", minimum=1)
    out: str = setting("sweep", "folder of the tables: sweep.md, sweep.tex and sweep.csv")


_KINDS = (Inspect, Prepare, Eval, Export, Encode, Index, Search, Serve, Report, Sweep)
COMMANDS: dict[str, type[Command]] = {kind.__name__.lower(): kind for kind in _KINDS}


def run_command(name: str, words: list[str], given: dict[str, Any], settings_file: Path | None) -> None:
    """Runs a command.

    Args:
      name: one of COMMANDS.
      words: what follows it and is no flag.
      given: values of its flags and of settings, by name.
      settings_file: a file like setting.py, or None.

    Raises:
      SettingError: a value is wrong, or a word is missing.
      GCHError: something else that the user can mend.
    """
    flags = {field.name: field for field in dataclasses.fields(COMMANDS[name])}
    own: dict[str, Any] = {key: checked(flags[key], given[key], name) for key in given.keys() & flags.keys()}
    options = COMMANDS[name](**own)
    settings = {key: value for key, value in given.items() if key not in flags}
    importlib.import_module(f"gch.commands.{name}").run(Call(words, options, settings, settings_file))
