"""What the benchmarks share: settings, one training step on ready pixels, time, and tables, those of
QUALITY.md too.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from gch.data.pairs import Pairs
from gch.evaluation.evaluate import CROSS, UNIFIED
from gch.methods.items import training_items
from gch.methods.method import build_method
from gch.networks.backbone import Backbone
from gch.reporting import tables
from gch.settings import Settings, load_settings
from gch.training.loop import StageLoop

SETTINGS_FILE = Path(__file__).parents[1] / "setting.py"


class Seconds(NamedTuple):
    """How long something took: on the clock, and in processor time summed over cores.

    On a machine that others use too, the clock tells how busy they are; processor time hardly does.
    """

    wall: float
    processor: float


def settings(**changes: object) -> Settings:
    """The project's settings with some changed, as flags would."""
    return load_settings(SETTINGS_FILE, changes)


def timed(call: Callable[[], object]) -> Seconds:
    """Calls once."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


def median(times: Sequence[Seconds]) -> Seconds:
    """The median of each kind of time by itself."""
    return Seconds(*np.median(np.array(times), axis=0).tolist())


def image_step(settings: Settings, pairs: Pairs, backbone: Backbone) -> Callable[[], object]:
    """The image network's step of the stage image/label that trains the backbone.

    Args:
      settings: `batch_size` is the size of the batch, `jit_compile` whether XLA compiles the step.
      pairs: at least `batch_size` items; the first ones are the batch.
      backbone: random or pretrained.

    Returns:
      A function that trains once on that batch, whose pixels are in memory, and waits for the result.
    """
    items = training_items(pairs, np.arange(settings.batch_size), None, keep_pixels=True)
    method = build_method(settings, items, backbone)
    stage = next(stage for stage in method.stages if stage.name == "image/label")
    loop = StageLoop(stage, items, settings.batch_size, settings.jit_compile == "on")
    run = loop.open((settings.seed,), 0)
    return lambda: run(1)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a plain table, the first column to the left and the others to the right."""
    print(tables.plain(header, [list(map(str, row)) for row in rows]), flush=True)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def row(name: str, bit: int, found: list[dict]) -> list[str]:
    """A row of the tables of QUALITY.md.

    Args:
      name: of what was run.
      bit: length of its codes.
      found: results.json of its runs, one for each seed.
    """
    each = [
        spread([result[over][direction] for result in found])
        for over in ("mAP", "mAP_not_trained_on")
        for direction in CROSS
    ]
    codes = [result["codes"] for result in found]
    for figure in ("bit_balance", "bit_correlation", "quantization_error"):
        each.append(
            f"{np.mean([np.mean([c['retrieval'][m][figure] for m in ('image', 'text')]) for c in codes]):.3f}"
        )
    each.append(f"{np.mean([c['query']['image_text_agreement'] for c in codes]):.2f}")
    each.append(f"{np.mean([result['training']['seconds'] for result in found]):.0f}")
    return [name, str(bit), *each, str(len(found))]


HEADER = (
    "", "bits", "all I->T", "all T->I", "new I->T", "new T->I", "balance", "correlation", "quantization",
    "agree", "seconds", "seeds",
)  # fmt: skip


def unified_row(name: str, bit: int, found: list[dict]) -> list[str]:
    """Like `row`, of the directions of pairs, over all items and over new ones, and of asymmetric ranking of
    new items.
    """
    means = [
        [result[over][direction] for result in found]
        for over in ("mAP", "mAP_not_trained_on")
        for direction in UNIFIED
    ]
    for direction in (*CROSS, *UNIFIED):
        measures = [result["evaluation_not_trained_on"][direction]["measures"] for result in found]
        means.append([one["mAP_asymmetric"]["mean"] for one in measures])
    return [name, str(bit), *map(spread, means), str(len(found))]


UNIFIED_HEADER = (
    "", "bits", *(f"{over} {direction}" for over in ("all", "new") for direction in UNIFIED),
    *(f"asymmetric, new {direction}" for direction in (*CROSS, *UNIFIED)), "seeds",
)  # fmt: skip


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of Markdown."""
    print(tables.markdown(header, rows))
