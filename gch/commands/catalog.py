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
    """

    usage: str
    meaning: str
    flags: tuple[Flag, ...]
    module: str

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
        meaning="Writes a data set of any size in shards that training reads with little memory. Goes on "
        "where it was stopped, and mends what is damaged.",
        flags=(
            Flag("out", "", "folder of the prepared data set"),
            Flag(
                "encoding",
                "jpeg",
                "of the pictures: jpeg, png (no loss) or raw (no loss, three bytes a pixel)",
            ),
            Flag("quality", 95, "of JPEG, 1 to 100"),
            Flag("shard_items", 1024, "pictures in a shard"),
            Flag("jobs", 0, "threads that read and encode; 0: one for each core"),
        ),
        module="gch.commands.prepare",
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
        usage="export [RUN] [--out=FOLDER] [--SETTING=VALUE ...]",
        meaning="Writes the best checkpoint of a run as a SavedModel, which encodes pictures and texts in "
        "any TensorFlow program. Without a run it is the one that the settings describe.",
        flags=(Flag("out", "", "folder of the model; by default export in that of the run"),),
        module="gch.commands.export",
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
    ),
}
