"""The training of any method: outer epochs of stages, watched, saved, and resumed where they stopped."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from gch.errors import TrainingError
from gch.methods.items import TrainingItems
from gch.methods.method import Method, Stage
from gch.run import RunFolder
from gch.settings import Settings
from gch.training.checkpoint import Checkpoints, Position
from gch.training.device import CPU, Device
from gch.training.loop import StageLoop, set_rates
from gch.training.summaries import Summaries
from gch.training.workers import any_worker, require_alike

SECONDS_BETWEEN_REPORTS = 1.0
STEPS_BETWEEN_REPORTS = 20  # of several workers, who must report after the same steps


class Stopped(KeyboardInterrupt):
    """The user asked to stop; everything up to here is saved."""


class Trainer:
    """Trains a method in a run folder."""

    def __init__(
        self,
        settings: Settings,
        method: Method,
        items: TrainingItems,
        run: RunFolder,
        summaries: Summaries,
        validate: Callable[[int], dict[str, float]],
        device: Device = CPU,
    ):
        """Arguments beside the obvious: `device` says how stages are compiled, and by how many workers, of
        whom the chief alone validates and saves. `validate` is called with the number of the outer epoch that
        is over, counted from 1, as often as `valid_freq` says; it returns validation figures, of which
        'score' decides what the best epoch is.
        """
        self._settings, self._device = settings, device
        self._stages = method.stages
        self._loops = [
            StageLoop(stage, items, settings.batch_size, device.jit_compile, device.strategy)
            for stage in method.stages
        ]
        self._run = run
        self._summaries = summaries
        self._validate = validate
        self._position = Position()
        self._checkpoints = Checkpoints(run.path, method, self._position)
        self._saved_at = time.monotonic()
        self._compiled = self._stop = False

    def resume(self) -> bool:
        """Goes to the latest checkpoint, if there is one; says whether there was."""
        found = self._checkpoints.restore_latest()
        require_alike(self._device, "their checkpoints", self._where(), str(found))
        if found:
            print(f"Resuming {self._run.path}: {self._where()}")
        return found

    def start_from(self, folder: Path) -> None:
        """Takes the weights of another run to start from."""
        self._checkpoints.start_from(folder)
        print(f"Weights of {folder}")

    def train(self) -> None:
        """Trains from the position until `Epoch` outer epochs are done.

        Raises:
          TrainingError: a loss is not a finite number.
          Stopped: the user asked for it.
        """
        previous = [signal.signal(number, self._ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            while self._position.epoch < self._settings.Epoch:
                self._train_epoch(self._position.epoch)
        finally:
            for number, handler in zip((signal.SIGINT, signal.SIGTERM), previous, strict=True):
                signal.signal(number, handler)

    def restore_best(self) -> int:
        """Puts the best weights into the networks; returns their outer epoch, counted from 1."""
        self._checkpoints.restore_best()
        return self._position.best_epoch

    def _train_epoch(self, epoch: int) -> None:
        started, position = time.monotonic(), self._position
        print(f"Outer epoch {epoch + 1}/{self._settings.Epoch}")
        compiling, seconds = self._compile(), {}
        while position.stage < len(self._stages):
            stage = self._stages[position.stage]
            seconds[stage.name] = self._run_stage(stage, self._loops[position.stage], epoch)
            position.move(epoch, position.stage + 1)
        if self._device.cluster.chief:
            self._finish(epoch, started, seconds, compiling)
        else:
            position.move(epoch + 1)

    def _finish(self, epoch: int, started: float, seconds: dict[str, float], compiling: float) -> None:
        """Validates, notes and saves what an outer epoch has come to."""
        position = self._position
        figures = self._validate(epoch + 1) if self._validates_after(epoch + 1) else {}
        record = {"epoch": epoch + 1, "seconds": time.monotonic() - started, "stages": seconds}
        record |= {"compiling": compiling, **figures}
        self._run.write_history([*self._run.read_history()[:epoch], record])
        self._summaries.scalars("seconds", seconds, epoch + 1)
        position.move(epoch + 1)
        if figures and figures["score"] > position.best_score:
            position.crown(figures["score"], epoch + 1)
            self._checkpoints.save_best()
        self._save()

    def _compile(self) -> float:
        """Compiles all stages side by side, the first time; returns the seconds that took."""
        if self._compiled:
            return 0.0
        started = time.monotonic()
        compilations = filter(None, [loop.trace() for loop in self._loops])
        with ThreadPoolExecutor() as pool:
            for compiled in [pool.submit(compilation) for compilation in compilations]:
                compiled.result()
        self._compiled = True
        seconds = time.monotonic() - started
        print(f"  stages compiled in {seconds:.1f} s")
        return seconds

    def _validates_after(self, epoch: int) -> bool:
        return epoch % self._settings.valid_freq == 0 or epoch == self._settings.Epoch

    def _run_stage(self, stage: Stage, loop: StageLoop, epoch: int) -> float:
        """Runs the rest of a stage; returns the seconds that took."""
        settings, position, started = self._settings, self._position, time.monotonic()
        rate = set_rates(stage, settings, epoch)
        run = loop.open((settings.seed, epoch, stage.name), position.step)
        bar = None
        print(f"  {stage.name}")
        several = self._device.cluster.workers > 1
        count = STEPS_BETWEEN_REPORTS if several else 1
        while position.step < stage.steps:
            count = min(count, stage.steps - position.step)
            before = time.monotonic()
            parts = run(count)
            position.move(epoch, position.stage, position.step + count)
            self._check(stage, epoch, parts)
            self._summaries.losses(stage.name, epoch * stage.steps + position.step, parts, rate)
            shown = stage.shown or parts
            bar = bar or keras.utils.Progbar(stage.steps, stateful_metrics=list(shown), unit_name="step")
            bar.update(position.step, [(part, parts[part]) for part in shown])
            self._between_reports()
            if several:
                continue
            pace = count / max(time.monotonic() - before, 1e-3)
            count = max(1, min(2 * count, int(pace * SECONDS_BETWEEN_REPORTS)))
        return time.monotonic() - started

    def _check(self, stage: Stage, epoch: int, parts: dict[str, float]) -> None:
        for part, value in parts.items():
            if not np.isfinite(value):
                raise TrainingError(
                    f"the loss '{part}' of stage {stage.name} is {value} in outer epoch {epoch + 1}; "
                    f"expected a finite number. The last checkpoint is kept; lower the stage's learning rate"
                )

    def _between_reports(self) -> None:
        if any_worker(self._device, self._stop):
            self._save()
            raise Stopped(f"stopped in {self._where()}")
        if time.monotonic() - self._saved_at > 60 * self._settings.checkpoint_minutes:
            self._save()

    def _save(self) -> None:
        if not self._device.cluster.chief:
            return
        self._checkpoints.save_latest()
        self._saved_at = time.monotonic()

    def _where(self) -> str:
        epoch, stage = self._position.epoch, self._position.stage
        if epoch >= self._settings.Epoch:
            return f"all {epoch} outer epochs are done"
        name = self._stages[stage].name if stage < len(self._stages) else "validation"
        return f"outer epoch {epoch + 1}, stage {name}, step {self._position.step}"

    def _ask_to_stop(self, number: int, frame: object) -> None:
        if self._stop:  # asked twice: at once
            raise KeyboardInterrupt
        self._stop = True
        print("\nStopping after these steps; once more stops at once.")
