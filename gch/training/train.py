"""The training of any method: outer epochs of stages, validated, saved, and resumed where they stopped."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gch.errors import RunError, TrainingError
from gch.methods.method import Method
from gch.run import REMEDY, RunFolder, require_same
from gch.settings import Settings, shaping
from gch.terminal import Progress
from gch.training.checkpoint import Checkpoints, Position
from gch.training.device import Device, any_worker, on_signals, require_alike
from gch.training.loop import StageLoop, set_rates
from gch.training.summaries import Summaries

SECONDS_BETWEEN_REPORTS = 1.0
STEPS_BETWEEN_REPORTS = 20  # of several workers, who must report after the same steps


class Stopped(KeyboardInterrupt):
    """The user asked to stop, by the signal `number`; everything up to here is saved."""

    def __init__(self, where: str, number: int):
        super().__init__(where)
        self.number = number


class Trainer:
    """Trains a method in a run folder; of several workers, the chief alone validates and saves.

    `validate` is called with the number of the finished outer epoch, counted from 1, as often as
    `valid_freq` says. It returns validation figures, whose 'score' decides which epoch is the best.
    """

    def __init__(
        self,
        settings: Settings,
        method: Method,
        run: RunFolder,
        summaries: Summaries,
        validate: Callable[[int], dict],
        device: Device,
    ):
        self._settings, self._device = settings, device
        self._run, self._summaries, self._validate = run, summaries, validate
        self._loops = [
            StageLoop(stage, method.items, settings.batch_size, device.jit_compile, device.strategy)
            for stage in method.stages
        ]
        self._position = Position()
        self._checkpoints = Checkpoints(run.path, method, self._position)
        self._saved_at = time.monotonic()
        self._compiled, self._stop = False, 0  # the number of a signal

    def resume(self) -> bool:
        """Restores the latest checkpoint, if there is one; returns whether there was."""
        found = self._checkpoints.restore("latest")
        if found:
            self._run.read_history(self._position.epoch)
        if self._position.best_epoch:  # a run that could not be tested is not trained further
            self.restore_best()
            self._checkpoints.restore("latest")
        require_alike(self._device, "their checkpoints", self._where(), str(found))
        if found:
            self._summaries.purge(self._is_done)
            print(f"Resuming {self._run.path}: {self._where()}")
        return found

    def start_from(self, folder: Path) -> None:
        """Starts from the weights of another run; raises RunError where they are of other networks."""
        try:
            self._checkpoints.start_from(folder)
        except RunError:
            require_same(folder, self._settings, shaping(self._settings.method))  # says which, if it can
            raise
        print(f"Starting from the weights of {folder}")

    def train(self) -> None:
        """Trains until `Epoch` outer epochs are done; raises TrainingError where a loss is not finite, and
        Stopped when the user interrupts it.
        """
        with on_signals(self._ask_to_stop, signal.SIGINT, signal.SIGTERM):
            while self._position.epoch < self._settings.Epoch:
                self._train_epoch(self._position.epoch)
        if self._stop:  # in the last validation
            raise Stopped("", self._stop)

    def restore_best(self) -> int:
        """Puts the best weights into the networks; returns their outer epoch, counted from 1. Raises RunError
        where there are none, or they are damaged.
        """
        if not self._checkpoints.restore("best"):
            raise RunError(f"{self._run.path / 'best'}: no checkpoint in it; {REMEDY}")
        return self._position.best_epoch

    def _train_epoch(self, epoch: int) -> None:
        started, position = time.monotonic(), self._position
        print(f"Outer epoch {epoch + 1}/{self._settings.Epoch}")
        compiling = self._compile()
        seconds: dict[str, float] = {}
        while position.stage < len(self._loops):
            loop = self._loops[position.stage]
            began = time.monotonic()
            self._run_stage(loop, epoch)
            seconds[loop.stage.name] = time.monotonic() - began
            position.move(epoch, position.stage + 1)
        position.move(epoch + 1)
        if not self._device.cluster.chief:
            return
        last = epoch + 1 == self._settings.Epoch
        validates = last or (epoch + 1) % self._settings.valid_freq == 0
        figures = self._validate(epoch + 1) if validates else {}
        record = {"epoch": epoch + 1, "seconds": time.monotonic() - started, "stages": seconds}
        record |= {"compiling": compiling, **figures}
        self._run.write_history([*self._run.read_history()[:epoch], record])
        self._summaries.scalars("seconds", seconds, epoch + 1)
        if figures and figures["score"] > position.best_score:
            position.best_score, position.best_epoch = figures["score"], epoch + 1
            self._checkpoints.save("best")
        self._save()

    def _compile(self) -> float:
        """Compiles all stages side by side, the first time; returns the seconds that took."""
        if self._compiled:
            return 0.0
        started, self._compiled = time.monotonic(), True
        # All are traced first: a program that compiles meanwhile would change the names in the next, by which
        # XLA finds kept programs.
        compilations = filter(None, [loop.trace() for loop in self._loops])
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda compilation: compilation(), compilations))
        seconds = time.monotonic() - started
        print(f"  stages compiled in {seconds:.1f} s")
        return seconds

    def _run_stage(self, loop: StageLoop, epoch: int) -> None:
        """Runs the rest of a stage, in parts of about a second."""
        position, stage = self._position, loop.stage
        rate = set_rates(stage, self._settings, epoch)
        run = loop.open((self._settings.seed, epoch, stage.name), position.step)
        progress = Progress("steps", f"  {stage.name}")
        progress(position.step, stage.steps)
        alone = self._device.cluster.workers == 1
        count = 1 if alone else STEPS_BETWEEN_REPORTS
        while position.step < stage.steps:
            count = min(count, stage.steps - position.step)
            before = time.monotonic()
            parts = run(count)
            position.move(epoch, position.stage, position.step + count)
            for part, value in parts.items():
                if not np.isfinite(value):
                    raise TrainingError(
                        f"the loss '{part}' of stage {stage.name} is {value} in outer epoch {epoch + 1};"
                        " expected a finite number. The last checkpoint is kept;"
                        " lower the stage's learning rate"
                    )
            self._summaries.losses(stage.name, epoch * stage.steps + position.step, parts, rate)
            progress(position.step, stage.steps, {part: parts[part] for part in stage.shown or parts})
            if any_worker(self._device, bool(self._stop)):
                self._save()
                raise Stopped(f" in {self._where()}", self._stop or signal.SIGINT)
            if time.monotonic() - self._saved_at > 60 * self._settings.checkpoint_minutes:
                self._save()
            if alone:
                pace = count / max(time.monotonic() - before, 1e-3)
                count = max(1, min(2 * count, int(pace * SECONDS_BETWEEN_REPORTS)))

    def _save(self) -> None:
        if self._device.cluster.chief:
            self._checkpoints.save("latest")
            self._saved_at = time.monotonic()

    def _is_done(self, tag: str, step: int) -> bool:
        """Whether what the log has of a tag at a step is from before the position."""
        position = self._position
        for number, stage in enumerate(loop.stage for loop in self._loops):
            if tag == f"learning rate/{stage.name}" or tag.rpartition("/")[0] == f"loss {stage.name}":
                steps = stage.steps if number < position.stage else 0
                steps = position.step if number == position.stage else steps
                return step <= position.epoch * stage.steps + steps
        return step <= position.epoch

    def _where(self) -> str:
        epoch, stage = self._position.epoch, self._position.stage
        if epoch >= self._settings.Epoch:
            return f"all {epoch} outer epochs are done"
        name = self._loops[stage].stage.name if stage < len(self._loops) else "validation"
        return f"outer epoch {epoch + 1}, stage {name}, step {self._position.step}"

    def _ask_to_stop(self, number: int, frame: object) -> None:
        if self._stop:  # for the second time
            raise KeyboardInterrupt
        self._stop = number
