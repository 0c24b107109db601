"""A data set that does not fit in memory: prepared, trained on and encoded, with the peak of memory of each.

The set is generated, with the shape of NUS-WIDE TC21: pictures of 224 x 224, 1,000 words, 21 labels. Pictures
are made when they are asked for, so only the prepared set lies on disk (3.8 GB for 50,000 as JPEG: they are
noisy). Each phase is a process of its own, and its peak is what the system has counted for it:

prepare  writes the prepared set
stream   shuffled batches through tf.data with nobody training, then the step of VGG-F on pixels in memory
frozen   main_itpair.py with a frozen backbone: features of all items, one outer epoch, encoding of all items
trained  main_itpair.py with VGG-F trained from random weights, a few steps, then encoding of all items

    python benchmarks/large.py --folder data/large                      # prepare and stream
    python benchmarks/large.py --folder data/large --phases frozen,trained
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measuring import image_step, median, settings, timed

from gch.data.catalog import open_pairs
from gch.data.generated import generate
from gch.data.pairs import Pairs
from gch.data.pixels import ArrayPictures
from gch.data.prepare import prepare
from gch.data.split import default_sizes
from gch.data.stream import image_batches, reading_errors
from gch.networks.backbone import load_backbone
from gch.terminal import Progress
from gch.training.device import configure_device

IMAGE_SIZE, WORDS, LABELS = 224, 1000, 21
DRAWN = 512  # pictures drawn; items show them shifted
PHASES = ("prepare", "stream", "frozen", "trained")
DATASET = "NUS-WIDE-TC21"
JOB = Path(__file__).parents[1] / "main_itpair.py"


class ShiftedPictures:
    """N pictures made of a few: item i shows one of them, shifted by an amount of its own.

    Implements `gch.data.pairs.Pictures`.
    """

    block = 16
    size = (IMAGE_SIZE, IMAGE_SIZE)

    def __init__(self, drawn: ArrayPictures):
        self._drawn = drawn.array

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Shifts; see `gch.data.pairs.Pictures`."""
        shown = [np.roll(self._drawn[row % DRAWN], (row // DRAWN) * 7 % IMAGE_SIZE, axis=1) for row in rows]
        return np.stack(shown)


def generated(items: int) -> Pairs:
    """The set, in little memory."""
    drawn = generate(items=DRAWN, labels=LABELS, words=WORDS, image_size=IMAGE_SIZE)
    again = np.arange(items) % DRAWN
    return dataclasses.replace(
        drawn,
        name="nus-wide-tc21",
        texts=drawn.texts[again],
        labels=drawn.labels[again],
        default_sizes=default_sizes(DATASET, items),
        digest=f"shifted {items}",
        pictures=ShiftedPictures(drawn.pictures),
    )


def write(folder: Path, items: int) -> None:
    """Prepares the set."""
    began = time.monotonic()
    prepare(generated(items), folder, jobs=os.cpu_count() or 1, progress=Progress())
    seconds = time.monotonic() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(
        f"prepared {items:,} pictures in {seconds:.0f} s, {items / seconds:.0f} a second, {size / 1e9:.2f} GB"
    )


def stream(folder: Path, batch: int, batches: int, steps: int) -> None:
    """Prints the rate of shuffled batches against that of VGG-F's step."""
    changed = settings(
        netStr="vggf",
        backbone_start="random",
        backbone="trained",
        batch_size=batch,
        graph="none",
        dataset_dir=DATASET,
        DATA_DIR=str(folder),
    )
    configure_device(changed)
    pairs = open_pairs(changed)
    rows = np.arange(len(pairs.labels))

    def epoch() -> None:
        with reading_errors():
            for _ in image_batches(pairs.pictures, rows, batch, seed=0, steps=batches):
                pass

    streaming = timed(epoch)
    backbone = load_backbone(changed)
    step = image_step(changed, pairs, backbone)
    step()
    training = median([timed(step) for _ in range(steps)])
    images, taken = batch * batches / streaming.wall, batch / training.wall
    share = streaming.processor / (batch * batches) * batch / training.processor
    print(
        f"streamed {images:.0f} images/s, VGG-F trains on {taken:.0f}: {images / taken:.1f} times; "
        f"reading costs {share:.1%} of the step's processor time"
    )


def job(folder: Path, phase: str, runs: Path) -> None:
    """Trains and tests by the command line."""
    flags = {
        "dataset_dir": DATASET,
        "DATA_DIR": folder,
        "checkpoint_dir": runs,
        "log_dir": runs / "logs",
        "run_name": phase,
        "Epoch": 1,
    }
    if phase == "trained":
        few = {"k_txt": 1, "k_img": 1, "k_img_g": 0, "k_txt_g": 0, "MAX_ITER": 20, "TRAINING_SIZE": 2560}
        flags |= {
            "batch_size": 32,
            "netStr": "vggf",
            "backbone": "trained",
            "backbone_start": "random",
            "graph": "none",
        }
        flags |= {"VERIFICATION_SIZE": 0, **few}
    command = [sys.executable, str(JOB), *(f"--{name}={value}" for name, value in flags.items())]
    os.execv(sys.executable, command)


def main() -> None:
    """Runs the phases, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the prepared set")
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--phases", default="prepare,stream", help=f"of {', '.join(PHASES)}")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=40, help="streamed")
    parser.add_argument("--steps", type=int, default=3, help="of VGG-F")
    parser.add_argument("--runs", type=Path, default=Path("runs/large"))
    parser.add_argument("--inside", choices=PHASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside == "prepare":
        write(given.folder, given.items)
    elif given.inside == "stream":
        stream(given.folder, given.batch, given.batches, given.steps)
    elif given.inside:
        job(given.folder, given.inside, given.runs)
    else:
        for phase in given.phases.split(","):
            process = subprocess.Popen([sys.executable, *sys.argv, "--inside", phase])
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{phase}: ended with status {os.waitstatus_to_exitcode(status)}")
            print(f"{phase}: peak memory {usage.ru_maxrss / 1024:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
