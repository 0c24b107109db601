"""Settings of the training of any method, of where a run is kept, and of the device."""

import dataclasses
import os
import re

from gch.data.text_files import shown
from gch.errors import SettingError
from gch.rules import setting

_LONGEST_NAME = 200  # bytes; file systems take 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The schedule, and how the best outer epoch is chosen."""

    Epoch: int = setting(
        4, "outer epochs; each runs the stages of the method", minimum=1, aliases=["max_epoch"], free=True
    )
    batch_size: int = setting(128, "items in a training batch", minimum=2, maximum=2**20)
    decay: float = setting(0.5, "factor of the learning rates at each decay", above=0, maximum=1)
    decay_steps: int = setting(1, "outer epochs between two decays", minimum=1)
    decay_early: bool = setting(False, "first decay after one outer epoch, as AGAH's original")
    valid: bool = setting(True, "choose the best outer epoch on validation queries; False: the last one")
    valid_freq: int = setting(
        1, "outer epochs from one validation to the next; the last is always validated", minimum=1
    )
    best_on: str = setting(
        "validation",
        "queries on which the best outer epoch is chosen: those kept for validation, or the query set, as "
        "AGAH's original does, which inflates its figures",
        choices=["validation", "query"],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where a run is kept, and what TensorBoard shows of it."""

    checkpoint_dir: str = setting("runs", "folder of the runs", free=True)
    log_dir: str = setting("logs", "folder of the TensorBoard logs", free=True)
    run_name: str = setting(
        "", "name; '': made of data set, method, preset, encoders, bit and seed", free=True
    )
    checkpoint_minutes: float = setting(5.0, "minutes between two checkpoints", minimum=0, free=True)
    panel_queries: int = setting(6, "queries drawn on a panel; 0: none", minimum=0, maximum=32, free=True)
    histograms: bool = setting(True, "histograms of weights and relaxed codes after every epoch", free=True)

    def check_run(self) -> None:
        """Raises SettingError where values are impossible."""
        name = self.run_name
        if "/" in name or "\\" in name or name in (".", "..") or not name.isprintable():
            raise SettingError(f"run_name is {name!r}; expected a plain name, without a path")
        if len(os.fsencode(self.run_name)) > _LONGEST_NAME:
            raise SettingError(f"run_name is {shown(self.run_name)}; expected {_LONGEST_NAME} bytes at most")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """What the networks run on."""

    select_gpu: str = setting("0", "GPUs to use, such as 0 or 0,1; '': none", aliases=["device"], free=True)
    precision: str = setting(
        "float32",
        "precision of the networks; tf32: float32 with factors of 10 bits on a GPU",
        choices=["float32", "tf32", "mixed_bfloat16", "mixed_float16"],
    )
    jit_compile: str = setting(
        "auto",
        "compile every stage as one XLA program; auto: on a GPU only, as XLA is slower on a CPU",
        choices=["auto", "on", "off"],
    )

    def check_device(self) -> None:
        """Raises SettingError where values are impossible."""
        if self.select_gpu and not re.fullmatch("[0-9]{1,4}(,[0-9]{1,4})*", self.select_gpu):
            raise SettingError(
                f"select_gpu is {self.select_gpu!r}; expected numbers such as '0' or '0,1', or ''"
            )
