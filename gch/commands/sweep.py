"""sweep: runs of every combination of method, length and seed, and their table."""

import itertools
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from gch.child import run_child
from gch.commands import Call
from gch.commands.source import is_embedded
from gch.data.names import file_name
from gch.data.text_files import shown
from gch.errors import RunError, SettingError
from gch.methods import METHODS
from gch.reporting import tables
from gch.reporting.record import read_run
from gch.run import run_name
from gch.settings import canonical, checked_values, free_settings, known_presets, of_earlier_runs
from gch.storage import require_place, write_text

OF_TEST = ("ties", "cutoffs", "without_relevant", "own_neighbour")  # which its figures depend on
VARIED = ("bit", "seed", "method", "preset", "run_name", "phase")


def run(call: Call) -> None:
    """Runs what is not finished, one process each, and writes the table of means and deviations."""
    if call.words:
        raise SettingError(f"sweep: found {call.words[0]!r}; expected flags only")
    varied = [name for name in VARIED if name in call.given]
    if varied:
        raise SettingError(f"sweep: --{varied[0]} varies in a sweep; expected --bits, --methods or --seeds")
    out = Path(call.options.out)
    require_place(out)
    bits = _numbers("bits", call.options.bits, "bit")
    seeds = _numbers("seeds", call.options.seeds, "seed")
    kinds = [_kind(name) for name in dict.fromkeys(call.options.methods.split(","))]
    whole = {"phase": "train", "run_name": ""}  # whatever setting.py says
    runs = [
        _Run(call, call.given | whole | kind | {"bit": bit, "seed": seed})
        for kind, bit, seed in itertools.product(kinds, bits, seeds)
    ]
    unfinished = [one for one in runs if not one.finished()]
    print(f"Runs of this sweep: {len(runs)}; finished before: {len(runs) - len(unfinished)}", flush=True)
    _train(unfinished, call.options.jobs)
    records = [read_run(one.folder) for one in runs]
    means, why = tables.all_means(records), tables.why(records)
    print(tables.joined(means, tables.plain, "{}:"))
    print("\n".join(why))
    texts = {**tables.documents(means, why), ".csv": tables.comma_separated(records)}
    for suffix, text in texts.items():
        write_text(out / f"sweep{suffix}", text)
    print(f"Tables in {out}; `report {runs[0].folder.parent}/*` compares the runs")


def _train(runs: Sequence["_Run"], jobs: int) -> None:
    """Runs side by side; once one fails, or the user stops them, no other begins."""
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0
    pool, failed = ThreadPoolExecutor(jobs), threading.Event()

    def train(one: _Run) -> None:
        if not failed.is_set():  # the thread of a run that fails is sooner here than its error is below
            try:
                one.train(threads)
            except RunError:
                failed.set()
                raise

    try:
        for finished in as_completed([pool.submit(train, one) for one in runs]):
            finished.result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Run:
    """One run of the sweep."""

    def __init__(self, call: Call, flags: dict[str, object]):
        self._flags = flags | ({"settings": call.settings_file} if call.settings_file else {})
        self._settings = settings = call.load(flags)
        self.folder = Path(settings.checkpoint_dir) / run_name(settings, file_name(settings.dataset_dir))
        self._flags["run_name"] = self.folder.name  # a prepared set may have another name than dataset_dir

    def finished(self) -> bool:
        """Whether it was trained to the last outer epoch, and tested.

        Raises:
          RunError: it was, with other settings or further.
        """
        try:
            tested = read_run(self.folder).settings
        except RunError:
            return False  # or of a version that did not evaluate: testing it again is quick
        before = of_earlier_runs(self._settings.method) | {canonical(name): tested[name] for name in tested}
        fewer = before["Epoch"] < self._settings.Epoch
        compared = self._settings.values().keys() - free_settings() | (set() if fewer else {"Epoch"})
        for name, value in self._settings.values().items():
            if name in compared and before[name] != value:
                raise RunError(
                    f"{self.folder}: this run has {name} = {before[name]!r}, the sweep needs {value!r}; "
                    "set another --checkpoint_dir"
                )
        # Tests of all kinds leave their figures in the same place, and the data may be others. Testing again
        # is quick, and compares the data.
        same_test = all(before[name] == getattr(self._settings, name) for name in OF_TEST)
        return same_test and not fewer and not self._other_data(before["DATA_DIR"])

    def _other_data(self, place_then: str) -> bool:
        """Whether files of data lie elsewhere than at the test, or were written after it."""
        if is_embedded(self._settings):
            return False
        place, tested = Path(self._settings.DATA_DIR), (self.folder / "results.json").stat().st_mtime
        files = [file for file in (place, *place.glob("*")) if file.is_file()]
        return str(place) != place_then or any(file.stat().st_mtime > tested for file in files)

    def train(self, threads: int) -> None:
        """Trains and tests in a process of its own; `threads` 0 leaves their number alone."""
        arguments = ["train"]
        arguments += [f"--{name}={value}" for name, value in self._flags.items() if name != "phase"]
        # Read by TensorFlow when it starts.
        limits = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}
        print(f"{self.folder}: started", flush=True)
        status, said = run_child(arguments, os.environ | limits)
        if status:
            last = (said.strip().splitlines() or ["no message"])[-1]
            raise RunError(f"{self.folder}: ended with status {status}: {last}")
        print(f"{self.folder}: finished", flush=True)


def _numbers(name: str, text: str, setting: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingError(f"sweep: {name} is {shown(text)}; expected whole numbers such as '1,2'") from error
    for number in numbers:
        checked_values({setting: number}, f"sweep, {name}")
    return list(dict.fromkeys(numbers))


def _kind(name: str) -> dict[str, object]:
    if name in METHODS:
        return {"method": name}
    if name in known_presets():
        return {"preset": name}
    known = ", ".join((*METHODS, *known_presets()))
    raise SettingError(f"sweep: methods holds {name!r}; expected some of {known}")
