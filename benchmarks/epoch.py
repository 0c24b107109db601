"""One whole outer epoch, stage by stage, of setting.py's schedule; without validation and checkpoints.

Every stage runs as in training, as one compiled loop. 'begin' is what a stage computes before its first step,
such as targets; 'compile' is its first step ever, less an ordinary step. With a frozen backbone the features
of all images are computed first, into a temporary cache, and reported apart. Several values of --jit_compile
are timed in turns, epoch by epoch, and compared.

    python benchmarks/epoch.py                                     # OpenMoji, frozen EfficientNet-Lite0
    python benchmarks/epoch.py --jit_compile off,on --epochs 2
    python benchmarks/epoch.py --netStr vggf --backbone trained --trained_steps 3
    python benchmarks/epoch.py --dataset_dir FLICKR --DATA_DIR data
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import settings, table

from gch.data.catalog import choose_split, open_pairs
from gch.data.pairs import Pairs
from gch.methods.items import TrainingItems, training_items
from gch.methods.method import build_method
from gch.networks.backbone import Backbone, load_backbone
from gch.networks.inference import backbone_features
from gch.settings import Settings
from gch.training.device import configure_device
from gch.training.loop import StageLoop


class Epochs:
    """Outer epochs of one method under one setting of jit_compile."""

    def __init__(self, settings: Settings, items: TrainingItems, backbone: Backbone, trained_steps: int):
        self.loops = [
            StageLoop(stage, items, settings.batch_size, settings.jit_compile == "on")
            for stage in build_method(settings, items, backbone).stages
        ]
        self._seed = settings.seed
        self._streams = items.images is None
        self._trained_steps = trained_steps
        self.begin = {loop.stage.name: [] for loop in self.loops}
        self.step = {loop.stage.name: [] for loop in self.loops}
        self.first = {}

    def steps_run(self, loop: StageLoop) -> int:
        """How many steps of the stage are run after its first one; the rest is extrapolated."""
        left = max(loop.stage.steps - 1, 1)
        trains_backbone = loop.stage.reads_images and self._streams
        return min(left, self._trained_steps) if trains_backbone and self._trained_steps else left

    def run(self, epoch: int) -> None:
        """Runs outer epoch `epoch` and notes its times."""
        for loop in self.loops:
            name, count = loop.stage.name, self.steps_run(loop)
            started = time.perf_counter()
            run = loop.open((self._seed, epoch, name), 0)
            self.begin[name].append(time.perf_counter() - started)
            started = time.perf_counter()
            run(1)
            self.first.setdefault(name, time.perf_counter() - started)
            started = time.perf_counter()
            run(count)
            self.step[name].append((time.perf_counter() - started) / count)

    def seconds(self, loop: StageLoop) -> float:
        """A whole stage, compilation excluded: the median epoch's."""
        name = loop.stage.name
        return float(np.median(self.begin[name]) + loop.stage.steps * np.median(self.step[name]))

    def report(self) -> None:
        """Prints a table of the stages."""
        rows = []
        for loop in self.loops:
            name, steps = loop.stage.name, loop.stage.steps
            each, seconds = float(np.median(self.step[name])), self.seconds(loop)
            compiled = max(self.first[name] - each, 0.0)
            ran = self.steps_run(loop) + 1
            begin = np.median(self.begin[name])
            figures = f"{1e3 * each:.1f}", f"{begin:.2f}", f"{seconds:.1f}", f"{compiled:.1f}"
            rows.append((name, steps, *figures, "" if ran >= steps else f"from {ran - 1} steps"))
        total = sum(self.seconds(loop) for loop in self.loops)
        rows.append(("outer epoch", sum(row[1] for row in rows), "", "", f"{total:.1f}", "", ""))
        table(("stage", "steps", "ms/step", "begin s", "stage s", "compile s", "extrapolated"), rows)


def read_features(backbone: Backbone, pairs: Pairs) -> np.ndarray:
    """Computes the features of all images anew, and says how long that took."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        mapped = backbone_features(backbone, pairs, Path(cache), progress=lambda done, total: None)
        features = np.array(mapped)
        seconds = time.perf_counter() - started
    print(
        f"features of {len(features)} images, once for a data set: {seconds:.1f} s, "
        f"{len(features) / seconds:.0f} images/s"
    )
    return features


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset_dir", default="OpenMoji", help="OpenMoji, FLICKR or generated")
    parser.add_argument("--DATA_DIR", default="data", help="folder of the data files and of drawn pictures")
    parser.add_argument("--netStr", default="efficientnet-lite0", help="image backbone")
    parser.add_argument("--backbone", choices=("frozen", "trained"), default="frozen")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--preset", default="", help="a preset, such as reference")
    parser.add_argument("--epochs", type=int, default=3, help="outer epochs; the median of each stage counts")
    parser.add_argument(
        "--trained_steps",
        type=int,
        default=0,
        help="time so many steps of a stage that trains the backbone, and extrapolate; 0: all of them",
    )
    parser.add_argument("--jit_compile", default="off", help="off, on, or off,on to compare")
    given = parser.parse_args()

    # VGG-F starts from random weights: its pretrained ones come in a file, and the times are the same.
    start = "random" if given.netStr.lower() == "vggf" else "pretrained"
    names = ("dataset_dir", "DATA_DIR", "netStr", "backbone", "batch_size", "preset")
    common = {name: getattr(given, name) for name in names} | {"backbone_start": start}
    chosen = {jit: settings(**common, jit_compile=jit) for jit in given.jit_compile.split(",")}
    base = next(iter(chosen.values()))

    pairs = open_pairs(base)
    rows = choose_split(base, pairs).training
    print(
        f"{pairs.name}, {len(rows)} training items, {base.netStr} {base.backbone}, batch {base.batch_size}; "
        f"{configure_device(base).name}; medians of {given.epochs} outer epochs"
    )

    features = read_features(load_backbone(base), pairs) if base.backbone == "frozen" else None
    items = training_items(pairs, rows, features)
    # A backbone for each: they are trained apart.
    compared = {
        jit: Epochs(one, items, load_backbone(base), given.trained_steps) for jit, one in chosen.items()
    }
    for epoch in range(given.epochs):
        for epochs in compared.values():
            epochs.run(epoch)

    totals = {}
    for jit, epochs in compared.items():
        print(f"\njit_compile = {jit}")
        epochs.report()
        totals[jit] = sum(map(epochs.seconds, epochs.loops))
    if len(totals) > 1:
        first = next(iter(totals))
        print()
        table(
            ("jit_compile", "outer epoch s", f"against {first}"),
            [(jit, f"{total:.1f}", f"{total / totals[first]:.2f}") for jit, total in totals.items()],
        )


if __name__ == "__main__":
    main()
