"""The commands, known without loading what they need."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import NamedTuple

from gch.settings import Settings


class Flag(NamedTuple):
    """A flag that is no setting; its type is that of its default: str, int or bool."""

    name: str
    default: object
    meaning: str


class Call(NamedTuple):
    """How a command was called.

    Attributes:
      words: what follows the command's name and is no flag.
      options: values of the command's own flags by name.
      given: the settings that were given as flags, by name.
      load: makes settings of setting.py and flags.
    """

    words: list[str]
    options: dict[str, object]
    given: dict[str, object]
    load: Callable[[dict[str, object]], Settings]


@dataclasses.dataclass(frozen=True)
class Command:
    """Attributes:
    usage: the words and flags that follow the program's name.
    meaning: what it does.
    flags: beside the settings.
    module: holds `run`, which takes a `Call`.
    goes_on: whether the same command goes on where it was stopped.
    """

    usage: str
    meaning: str
    flags: tuple[Flag, ...]
    module: str
    goes_on: bool = False

    def run(self, call: Call) -> None:
        """Runs the command."""
        importlib.import_module(self.module).run(call)


COMMANDS = {
    "inspect": Command(
        usage="inspect [FOLDER | FILE] [--out=FILE] [--SETTING=VALUE ...]",
        meaning="Tells what a data set holds, draws a sheet of samples, and says what to set to train on it.",
        flags=(Flag("out", "inspect.png", "the sheet of sample pictures with their words"),),
        module="gch.commands.inspect",
    ),
    "prepare": Command(
        usage="prepare [FOLDER | FILE] --out=FOLDER [--SETTING=VALUE ...]",
        meaning="Writes a data set of any size in files that training reads with little memory. Goes on "
        "where it was stopped, and mends what is damaged.",
        flags=(
            Flag("out", "", "folder of the prepared data set"),
            Flag(
                "encoding",
                "jpeg",
                "of the pictures: jpeg, png (no loss) or raw (no loss, three bytes a pixel)",
            ),
            Flag("quality", 95, "of JPEG, 1 to 100"),
            Flag("jobs", 0, "threads that read and encode; 0: one for each core"),
        ),
        module="gch.commands.prepare",
        goes_on=True,
    ),
    "eval": Command(
        usage="eval CODES [CODES ...] [--out=FOLDER] [--SETTING=VALUE ...]",
        meaning="Measures saved codes: .mat, .npz or .npy files of any tool, or folders of runs.",
        flags=(
            Flag("out", "evaluation", "folder of results.json, results.csv, table.md, table.tex and plots"),
            Flag("per_query", False, "also saves the values of every query, in per_query.npz"),
        ),
        module="gch.commands.evaluate",
    ),
    "export": Command(
        usage="export [RUN] [--out=FOLDER] [--lite] [--SETTING=VALUE ...]",
        meaning="Writes the best checkpoint of a run as a SavedModel, which encodes pictures and texts in "
        "any TensorFlow program. Without a run it is the one that the settings describe. With a label graph "
        "the model holds vectors and labels of the N training items, in both modalities: N x F x 4 bytes of "
        "vectors (image features, words) and N x C x 4 of labels. Whoever has the model can read them.",
        flags=(
            Flag("out", "", "folder of the model; by default export in that of the run"),
            Flag("lite", False, "also writes the encoders for TensorFlow Lite, with weights of 8 bits"),
        ),
        module="gch.commands.export",
    ),
    "encode": Command(
        usage="encode MODEL [--images=FOLDER | LIST] [--texts=FILE] --out=FOLDER [--shard=i/n]",
        meaning="Codes of a collection of any size, by an exported model. Goes on where it was stopped; what "
        "cannot be read is reported and skipped.",
        flags=(
            Flag("images", "", "folder of pictures, or a file that names one on each line"),
            Flag("texts", "", "file of a text on each line, or .jsonl of id and text or tags"),
            Flag("out", "", "folder of the codes"),
            Flag("shard", "1/1", "i/n: the i-th of n parts, which machines encode side by side"),
            Flag("batch", 0, "items that are encoded together; 0: 32 pictures or 1024 texts"),
            Flag("part_items", 1_000_000, "most codes in a file"),
            Flag("jobs", 0, "threads that read pictures; 0: one for each core"),
        ),
        module="gch.commands.encode",
        goes_on=True,
    ),
    "index": Command(
        usage="index CODES [CODES ...] --out=FOLDER | URI [--kind=auto]",
        meaning="Makes codes of pictures, texts or both searchable; several folders of one model are joined. "
        "Needs the extra search.",
        flags=(
            Flag(
                "out",
                "",
                "folder of the index, or where ClickHouse is: clickhouse://HOST/DATABASE or chdb://FOLDER",
            ),
            Flag("kind", "auto", "flat (exact), hash, multihash, hnsw, or auto, by the number of items"),
            Flag("parameters", "", "of the kind, such as M=32,efConstruction=80,efSearch=128"),
        ),
        module="gch.commands.index",
    ),
    "search": Command(
        usage="search MODEL INDEX [WORD ... | --picture=FILE | --text=FILE] [--find=images] [--count=10]",
        meaning="Finds pictures or texts by words, by a picture, or by each line of a file. INDEX may be a "
        "folder of codes or the URI of an engine, too. Needs the extra search.",
        flags=(
            Flag("picture", "", "picture file to search by; -: standard input"),
            Flag("text", "", "file of a query on each line; -: standard input"),
            Flag("find", "", "images or texts; by default images by words, texts by a picture"),
            Flag("count", 10, "results of a query, at most 1000"),
            Flag("json", False, "prints a JSON object a line for each query"),
        ),
        module="gch.commands.search",
    ),
    "serve": Command(
        usage="serve MODEL INDEX [--host=127.0.0.1] [--port=8000] [--batch=32] [--queue=256]",
        meaning="Serves a search page and a JSON API: type words or drop a picture, click a result to turn "
        "the search around. Needs the extra serve.",
        flags=(
            Flag(
                "host",
                "127.0.0.1",
                "address to listen at; any but this machine's own is open to others, without a password",
            ),
            Flag("port", 8000, "0: any that is free"),
            Flag("batch", 32, "queries answered together at most"),
            Flag("queue", 256, "queries that may wait; more are sent away with 503"),
            Flag("max_megabytes", 16, "size of a picture that is sent, at most"),
            Flag("timeout_s", 30, "seconds that a request may take"),
        ),
        module="gch.commands.serve",
    ),
    "report": Command(
        usage="report RUN [RUN ...] [--out=FILE]",
        meaning="Writes one HTML page that compares runs: settings, measures, plots, pictures.",
        flags=(Flag("out", "report.html", "the page"),),
        module="gch.commands.report",
    ),
    "sweep": Command(
        usage="sweep [--bits=16,32,64] [--methods=gch] [--seeds=0,1,2] [--jobs=1] [--SETTING=VALUE ...]",
        meaning="Trains and tests every combination, and tells mean and deviation over the seeds. Finished "
        "runs are not repeated, and those that were stopped go on.",
        flags=(
            Flag("bits", "16,32,64", "lengths of the codes"),
            Flag("methods", "gch", "methods, or presets such as reference"),
            Flag("seeds", "0,1,2", "seeds"),
            Flag("jobs", 1, "runs side by side, each on its share of the cores"),
            Flag("out", "sweep", "folder of the tables: sweep.md, sweep.tex and sweep.csv"),
        ),
        module="gch.commands.sweep",
        goes_on=True,
    ),
}
