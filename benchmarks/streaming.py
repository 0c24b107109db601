"""How fast images stream from FLICKR-25K.mat, against how fast VGG-F takes them.

Times shuffled epochs of batches through tf.data with nobody training, then the training step of VGG-F on
pixels that are in memory, in one process. The ratio says how many times the input outruns the step. Memory is
the growth of the process's peak while it streams: one window of images and a few batches, whatever the
file's size. After the first epoch the file is mostly in the system's cache, so a slow disk shows there only.

    python benchmarks/streaming.py                          # writes a temporary file of generated pictures
    python benchmarks/streaming.py data/FLICKR-25K.mat --items 4000
"""

import argparse
import dataclasses
import multiprocessing
import resource
import tempfile
from pathlib import Path

import h5py
import numpy as np
from measuring import Seconds, image_step, median, settings, table, timed

from gch.data.catalog import open_pairs
from gch.data.generated import generate
from gch.data.pairs import Pairs
from gch.data.stream import WINDOW, image_batches, reading_errors
from gch.networks.backbone import load_backbone
from gch.training.device import configure_device

IMAGE_SIZE = 224
ITEMS = 2000
FILE_NAME = "FLICKR-25K.mat"
CHUNK = 16  # items in a chunk of the temporary file


def write_file(folder: Path, items: int) -> Path:
    """Writes FLICKR-25K.mat in MATLAB's axis order, with generated pictures, words and labels."""
    path = folder / FILE_NAME
    with h5py.File(path, "w", userblock_size=512) as file:
        images = file.create_dataset(
            "images",
            (items, 3, IMAGE_SIZE, IMAGE_SIZE),
            np.uint8,
            chunks=(min(CHUNK, items), 3, IMAGE_SIZE, IMAGE_SIZE),
        )
        images.attrs["MATLAB_class"] = np.bytes_("uint8")
        drawn = generate(items=min(items, 256), labels=24, words=1386, image_size=IMAGE_SIZE)
        for start in range(0, items, len(drawn.labels)):
            count = min(len(drawn.labels), items - start)
            images[start : start + count] = drawn.pictures.array[:count].transpose(0, 3, 2, 1)
        repeated = np.arange(items) % len(drawn.labels)
        file["YAll"] = drawn.texts[repeated].T
        file["LAll"] = drawn.labels[repeated].T
    return path


def stream(pairs: Pairs, rows: np.ndarray, batch: int, epoch: int) -> int:
    """Takes every batch of an epoch; returns the number of images."""
    steps = len(rows) // batch
    with reading_errors():
        return sum(
            len(positions)
            for positions, _ in image_batches(
                pairs.pictures, rows, batch, seed=0, start_step=epoch * steps, steps=steps
            )
        )


def peak_megabytes() -> float:
    """The largest memory that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path, given: argparse.Namespace) -> None:
    """Measures and prints."""
    changed = settings(
        netStr="vggf",
        backbone="trained",
        backbone_start="random",
        batch_size=given.batch,
        jit_compile="off",
        graph="none",
    )
    configure_device(changed)
    pairs = open_pairs(dataclasses.replace(changed, dataset_dir="FLICKR", DATA_DIR=str(path)))
    rows = np.arange(min(given.items, len(pairs.labels)))
    images = len(rows) // given.batch * given.batch
    if not images:
        raise SystemExit(f"--batch is {given.batch}, there are {len(rows)} items; expected a batch no larger")

    before = peak_megabytes()
    epochs = [
        timed(lambda epoch=epoch: stream(pairs, rows, given.batch, epoch)) for epoch in range(given.epochs)
    ]
    grown = peak_megabytes() - before

    backbone = load_backbone(changed)
    step = image_step(changed, pairs, backbone)
    step()
    steps = [timed(step) for _ in range(given.steps)]

    streaming, training = median(epochs), median(steps)
    print(
        f"{path.name}: {len(rows)} of {len(pairs.labels)} items, batch {given.batch}; "
        f"medians of {given.epochs} epochs and {given.steps} steps"
    )
    table(
        ("", "images/s", "images a processor second"),
        [
            _row("first epoch streamed", images, epochs[0]),
            _row("epoch streamed", images, streaming),
            _row("VGG-F step, pixels in memory", given.batch, training),
        ],
    )
    ratio = images / streaming.wall / (given.batch / training.wall)
    share = training.processor / given.batch
    share = (streaming.processor / images) / (share + streaming.processor / images)
    print(f"streamed / trained: {ratio:.1f}; streaming takes {share:.1%} of the processor time of both")
    window = min(WINDOW, len(rows)) * 3 * IMAGE_SIZE**2 / 2**20
    print(f"peak memory grew by {grown:.0f} MB while streaming; a window of images has {window:.0f} MB")


def _row(name: str, images: int, taken: Seconds) -> tuple[str, str, str]:
    return name, f"{images / taken.wall:.0f}", f"{images / taken.processor:.0f}"


def main() -> None:
    """Measures the given file, or a temporary one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "file", nargs="?", type=Path, help="FLICKR-25K.mat; without it one is written and removed"
    )
    parser.add_argument("--items", type=int, default=ITEMS, help="how many of the file's items, or to write")
    parser.add_argument("--batch", type=int, default=128, help="images in a step")
    parser.add_argument("--epochs", type=int, default=3, help="epochs streamed")
    parser.add_argument("--steps", type=int, default=3, help="training steps timed")
    given = parser.parse_args()
    if given.file:
        measure(given.file, given)
        return
    with tempfile.TemporaryDirectory() as folder:
        # By another process: drawing must not raise this one's peak of memory.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            path = pool.apply(write_file, (Path(folder), given.items))
        measure(path, given)


if __name__ == "__main__":
    main()
