"""A million pairs of vectors without labels through training, export, encoding, indexing and search: seconds
and peak memory of each command.

The vectors are generated: picture and text share 64 hidden numbers, with noise. Each command is a process of
its own, and its peak is what the system has counted for it. The last line is the share of 1,000 texts, most
of them trained on, whose own picture is among the first ten of all.

    python benchmarks/million.py --folder data/million
    python benchmarks/million.py --folder data/million --items=20000
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measuring import table

SLICE = 10_000
HIDDEN = 64
QUERIES = 1_000


def write(folder: Path, items: int, width: int) -> None:
    """float16 arrays (items + 2 * QUERIES, width) of images and texts, with copies of the first texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in (("image_vectors", 1), ("text_vectors", 2)):
        random, hidden = np.random.default_rng(seed), np.random.default_rng(0)
        mixed = random.normal(size=(HIDDEN, width)).astype(np.float32) / 8
        shape = (items + 2 * QUERIES, width)
        array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
        for start in range(0, len(array), SLICE):
            shared = hidden.standard_normal((min(SLICE, len(array) - start), HIDDEN), np.float32)
            noise = random.standard_normal((len(shared), width), np.float32)
            array[start : start + SLICE] = shared @ mixed + noise / 2
    np.save(folder.parent / "queries.npy", array[:QUERIES])


def measured(arguments: list[str], output: Path) -> tuple[str, str]:
    """Runs a command; seconds, and peak memory of its process."""
    began = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "gch", *arguments], stdout=file)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"gch {' '.join(arguments)}: ended with status {os.waitstatus_to_exitcode(status)}")
    return f"{time.perf_counter() - began:,.0f} s", f"{used.ru_maxrss / 2**20:.1f} GiB"


def main() -> None:
    """Runs all commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of all files")
    parser.add_argument("--items", type=int, default=1_000_000, help="to train on")
    parser.add_argument("--width", type=int, default=512, help="of a vector")
    given = parser.parse_args()
    folder = given.folder
    write(folder / "set", given.items, given.width)
    run, vectors = folder / "runs" / "million", folder / "set" / "image_vectors.npy"
    search = [str(run / "export"), str(folder / "index"), f"--text_vectors={folder / 'queries.npy'}"]
    sizes = {"TRAINING_SIZE": given.items, "QUERY_SIZE": QUERIES, "VERIFICATION_SIZE": QUERIES}
    commands = {
        "train": [
            "train",
            "--dataset_dir=files",
            f"--DATA_DIR={folder / 'set'}",
            f"--checkpoint_dir={folder / 'runs'}",
            "--run_name=million",
            *(f"--{name}={value}" for name, value in sizes.items()),
        ],
        "export": ["export", str(run)],
        "encode": ["encode", search[0], f"--image_vectors={vectors}", f"--out={folder / 'codes'}"],
        "index": ["index", str(folder / "codes"), f"--out={folder / 'index'}"],
        f"search, {QUERIES:,} queries": ["search", *search, "--json"],
    }
    rows = []
    for name, arguments in commands.items():
        output = folder / f"{arguments[0]}.txt"
        rows.append((name, *measured(arguments, output)))
        print(*rows[-1], sep="  ", flush=True)
    found = [json.loads(line) for line in output.read_text().splitlines()]
    own = [str(row) in [result["id"] for result in one["results"]] for row, one in enumerate(found)]
    table(("command", "took", "peak"), rows)
    print(f"own picture among the first ten of {given.items + 2 * QUERIES:,}: {np.mean(own):.3f}")


if __name__ == "__main__":
    main()
