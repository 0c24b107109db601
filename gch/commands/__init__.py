"""The commands besides training and testing. This module loads none of their dependencies.

A command is a dataclass whose fields are its flags besides the settings; `run` in the module of its name does
the work, and takes a `Call`.
"""

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from gch.rules import checked, flag_name, setting
from gch.settings import Settings, checked_values, load_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Attributes:
    usage: the words and flags that follow the program's name.
    """

    usage: ClassVar[str]

    @classmethod
    def takes_settings(cls) -> bool:
        """Whether settings have an effect on the command: its usage says so."""
        return "--SETTING=VALUE" in cls.usage


class Call(NamedTuple):
    """How a command was called.

    Attributes:
      words: the arguments after the command's name that are not flags.
      options: the command, with the values of its flags.
      given: the settings that were given as flags, by name.
      settings_file: a file like setting.py, or None.
    """

    words: list[str]
    options: Any
    given: dict[str, Any]
    settings_file: Path | None

    def load(self, flags: dict[str, Any] | None = None) -> Settings:
        """Settings of the file and of `flags`; None: the given ones."""
        return load_settings(self.settings_file, self.given if flags is None else flags)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Prints what a data set holds, draws a sheet of samples, and prints the settings to train on it."""

    usage = "inspect [FOLDER | FILE] [--out=FILE] [--SETTING=VALUE ...]"
    out: str = setting("inspect.png", "the sheet of sample pictures with their words")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(Command):
    """Writes a data set of any size in a form that training reads with little memory, or as the field's own
    .mat files for other programs, with a manifest.
    """

    usage = "prepare [FOLDER | FILE] --out=FOLDER [--as=mat] [--SETTING=VALUE ...]"
    out: str = setting("", "folder of what is written")
    as_: str = setting(
        "prepared",
        "what is written; mat: FLICKR-25K.mat and the like, see docs/downloads.md",
        choices=["prepared", "mat"],
    )
    layout: str = setting(
        "all",
        "as mat: which of the field's layouts; one-file and separate each hold all pixels",
        choices=["all", "one-file", "separate", "index"],
    )
    encoding: str = setting(
        "jpeg",
        "format of the pictures; png and raw are lossless, raw takes three bytes a pixel",
        choices=["jpeg", "png", "raw"],
    )
    quality: int = setting(95, "quality of JPEG", minimum=1, maximum=100)
    jobs: int = setting(0, "threads that read and encode; 0: one for each core", minimum=0, maximum=1024)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(Command):
    """Measures saved codes: .mat, .npz or .npy files of any tool, or folders of runs."""

    usage = "eval CODES [CODES ...] [--out=FOLDER] [--SETTING=VALUE ...]"
    out: str = setting("evaluation", "folder of results.json, results.csv, table.md, table.tex and plots")
    per_query: bool = setting(False, "also save the values of every query, in per_query.npz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Writes the best checkpoint of a run as a SavedModel, which encodes pictures and texts in any TensorFlow
    program. Without RUN, the settings name the run. With a label graph the model holds vectors and labels of
    the N training items, in both modalities: N x F x 4 bytes of vectors (image features, words) and N x C x 4
    of labels. Anyone who has the model can read them.
    """

    usage = "export [RUN] [--out=FOLDER] [--lite] [--SETTING=VALUE ...]"
    out: str = setting("", "folder of the model; '': export/ in the run's folder")
    lite: bool = setting(False, "also write the encoders for TensorFlow Lite, with weights of 8 bits")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encode(Command):
    """Encodes a collection of any size with an exported model. Items that cannot be read are reported and
    skipped; a pair with an unreadable picture is coded from its text.
    """

    usage = (
        "encode MODEL --images=FOLDER | --texts=FILE | --pairs=FILE | --image_vectors=FILE | "
        "--text_vectors=FILE --out=FOLDER [--shard=i/n]"
    )
    images: str = setting("", "folder of pictures, or a file that names one on each line")
    texts: str = setting("", "file with a text on each line, or .jsonl with id and text or tags")
    pairs: str = setting(
        "", "table or .jsonl with path and text or tags, as of a collection; each item gets one code of both"
    )
    image_vectors: str = setting(
        "",
        "array of vectors of pictures, for a model of vectors: .npy, which stays on disk, .npz, .mat, .h5",
    )
    text_vectors: str = setting("", "array of vectors of texts, as of image_vectors")
    names: str = setting(
        "",
        "file with a line for each vector, which results show: the path of the picture, relative to the "
        "file's folder, or the text; '': the number of its row, from 0 on",
    )
    out: str = setting("", "folder of the codes")
    shard: str = setting("1/1", "i/n: encode the i-th of n parts, so that n machines share the work")
    batch: int = setting(
        0, "items encoded together; 0: 32 pictures or pairs, 1024 texts or vectors", minimum=0, maximum=65_536
    )
    jobs: int = setting(0, "threads that read pictures; 0: one for each core", minimum=0, maximum=1024)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index(Command):
    """Builds a search index of codes of pictures, texts, pairs or several of these. Joins several folders of
    one model. Needs the extra search.
    """

    usage = "index CODES [CODES ...] --out=FOLDER | URI [--kind=auto]"
    out: str = setting(
        "", "folder of the index, or where ClickHouse is: clickhouse://HOST/DATABASE or chdb://FOLDER"
    )
    kind: str = setting(
        "auto",
        "kind of index; flat is exact, hash and hnsw may miss near items; auto: by the number of items",
        choices=["auto", "flat", "hash", "hnsw"],
    )
    parameters: str = setting("", "parameters of the kind, such as M=32,efConstruction=80,efSearch=128")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(Command):
    """Finds pictures, texts or pairs by words, by a picture, by both at once, or by each line of a file.
    INDEX may also be a folder of codes or the URI of an engine. Needs the extra search.
    """

    usage = (
        "search MODEL INDEX [WORD ... | --text=FILE] [--picture=FILE] | --image_vectors=FILE | "
        "--text_vectors=FILE [--find=images] [--count=10] [--ranking=hamming]"
    )
    picture: str = setting("", "picture file to search by; -: standard input")
    image: str = setting("", "the same as picture")
    text: str = setting(
        "", "file with a query on each line; -: standard input; beside a picture, also the words themselves"
    )
    image_vectors: str = setting("", "array of vectors of pictures, each a query, for a model of vectors")
    text_vectors: str = setting("", "array of vectors of texts, each a query")
    find: str = setting(
        "",
        "what to find; '': pairs if the index has any, else images by words, texts by a picture",
        choices=["", "images", "texts", "pairs"],
    )
    count: int = setting(10, "results for each query", minimum=1, maximum=1000)
    ranking: str = setting(
        "asymmetric",
        "order of results; asymmetric: by the query's relaxed code against the items' bits, which tells "
        "apart items of equal Hamming distance; hamming: by the bits that differ, then by row",
        choices=["asymmetric", "hamming"],
    )
    json: bool = setting(False, "print a JSON object for each query, one a line")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serves a search page and a JSON API: type words or drop a picture, click a result to turn the search
    around. Needs the extras search and serve.
    """

    usage = "serve MODEL INDEX [--host=127.0.0.1] [--port=8000] [--batch=32] [--queue=256]"
    host: str = setting(
        "127.0.0.1", "address to listen on; others than 127.0.0.1 are open to the network, without a password"
    )
    port: int = setting(8000, "port to listen on; 0: any free one", minimum=0, maximum=65_535)
    batch: int = setting(32, "most queries answered together", minimum=1)
    queue: int = setting(256, "most queries that wait; more get status 503", minimum=1)
    max_megabytes: int = setting(16, "largest size of an uploaded picture, in MiB", minimum=1)
    timeout_s: int = setting(30, "most seconds for a request", minimum=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Writes one HTML page that compares runs: settings, measures, plots, pictures. Needs the extra plots."""

    usage = "report RUN [RUN ...] [--out=FILE]"
    out: str = setting("report.html", "the page")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Trains and tests every combination, and prints mean and deviation over the seeds. Finished runs are not
    repeated; stopped runs resume.
    """

    usage = "sweep [--bits=16,32,64] [--methods=gch] [--seeds=0,1,2] [--jobs=1] [--SETTING=VALUE ...]"
    bits: str = setting("16,32,64", "lengths of the codes")
    methods: str = setting("gch", "methods, or presets such as reference")
    seeds: str = setting("0,1,2", "seeds")
    jobs: int = setting(1, "parallel runs, each on its share of the cores", minimum=1, maximum=1024)
    out: str = setting("sweep", "folder of the tables: sweep.md, sweep.tex and sweep.csv")


_KINDS = (Inspect, Prepare, Eval, Export, Encode, Index, Search, Serve, Report, Sweep)
COMMANDS: dict[str, type[Command]] = {kind.__name__.lower(): kind for kind in _KINDS}


def run_command(name: str, words: list[str], given: dict[str, Any], settings_file: Path | None) -> None:
    """Runs a command.

    Args:
      name: one of COMMANDS.
      words: the arguments after it that are not flags.
      given: values of its flags and of settings, by name. A line names each setting that it does not read.
      settings_file: a file like setting.py, or None.

    Raises:
      SettingError: a value is wrong, or a word is missing.
      GCHError: any other error that the user can fix.
    """
    flags = {flag_name(field): field for field in dataclasses.fields(COMMANDS[name])}
    own = {flags[key].name: checked(flags[key], given[key], name) for key in given.keys() & flags.keys()}
    options = COMMANDS[name](**own)  # type: ignore[arg-type]
    settings = checked_values({key: value for key, value in given.items() if key not in flags}, "flag")
    for unread in () if COMMANDS[name].takes_settings() else sorted(settings):
        print(f"flag: {unread} is a setting, which {name} does not read", file=sys.stderr)
    importlib.import_module(f"gch.commands.{name}").run(Call(words, options, settings, settings_file))
