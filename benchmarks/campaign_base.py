"""What the campaign stops and damages: everything that the commands write from a small data set, and the
commands as processes.
"""

import contextlib
import hashlib
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.io
from PIL import Image

ITEMS, COLOURS = 48, ("red", "green", "blue")
TRAIN = "--Epoch=1 --k_txt=1 --k_img=1 --k_gph=1 --MAX_ITER=3 --k_lab=1 --image_size=64 --batch_size=10"
TRAIN += " --cutoffs=5 --panel_queries=0 --plots=False --histograms=False --netStr=small.keras"


DATA = "--dataset_dir=collection --DATA_DIR=prepared --log_dir=logs"
TOKENS = (b"", b"-1", b"1e400", b"NaN", b"9" * 5000, b"\xc2\xb2", b"null", b"\n", b"\0", b"\xff", b"[" * 3000)
TOKENS += (b"x" * 9000, b"../..")
WHOLE = (b"", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"null", b"{}", b"\0" * 4096, b"\x89PNG\r\n\x1a\n")


class Command(NamedTuple):
    """A command that the campaign stops."""

    words: str
    written: str  # where it writes
    share: int  # of the kills
    seconds: float  # that it takes about


COMMANDS = {  # in this order, each needs what the one before has written
    "prepare": Command("prepare data --out=prepared --image_size=64", "prepared", 7, 2.0),
    "train": Command(f"train --bit=16 {TRAIN} {DATA} --checkpoint_dir=run --run_name=small", "run", 4, 12.0),
    "export": Command("export run/small --out=model", "model", 2, 6.0),
    "encode": Command("encode model --texts=texts.jsonl --out=codes --batch=64", "codes", 5, 4.0),
    "index": Command("index codes --out=index --kind=flat", "index", 5, 1.5),
    "sweep": Command(
        f"sweep --bits=8 --seeds=0 {TRAIN} {DATA} --checkpoint_dir=sweeps --out=sweep", "sweep", 1, 15.0
    ),
}


class Ended(NamedTuple):
    """How a command ended."""

    status: int  # negative: by that signal
    error: str  # its standard error
    seconds: float
    memory: int  # largest, in bytes; 0 of a process of its own

    @property
    def traceback(self) -> bool:
        """Whether it shows one."""
        return "Traceback (most recent call last)" in self.error


class Process:
    """A command: a fork of this process that calls `main`, or a process of its own."""

    def __init__(self, folder: Path, words: list[str], own: bool = False):
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 closed with this
        self._started = time.monotonic()
        if own:
            command = [sys.executable, "-m", "gch", *words]
            self.pid = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
            ).pid
            return
        self.pid = os.fork()
        if not self.pid:
            status = 70
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.chdir(folder)
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                os.dup2(0, 1)
                os.dup2(self._said.fileno(), 2)
                sys.argv = ["gch", *words]
                from gch.__main__ import console

                status = console()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)

    def wait(self, limit_s: float = math.inf) -> Ended | None:
        """Waits for its end; None where it does not end in time."""
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            seconds = time.monotonic() - self._started
            if pid:
                self._said.seek(0)
                error = self._said.read().decode("utf-8", "replace")
                return Ended(os.waitstatus_to_exitcode(status), error, seconds, usage.ru_maxrss * 1024)
            if seconds > limit_s:
                return None
            time.sleep(0.01)

    def send(self, number: int) -> None:
        """Sends it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def run(folder: Path, words: str) -> None:
    """Runs a command to its end, which must be good."""
    ended = Process(folder, words.split()).wait(600)
    if ended is None or ended.status:
        raise SystemExit(f"{words}: {ended}")


def warm() -> None:
    """Loads what commands load, so that forks need not; TensorFlow starts no thread before its first use."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    importlib.import_module("tensorflow")
    names = ["session", "export.save", "export.lite", "search.encode", "reporting.page"]
    names += [f"commands.{name}" for name in ("source", "inspect", "prepare", "eval", "index", "encode")]
    names += [f"commands.{name}" for name in ("search", "report", "export", "sweep")]
    for name in names:
        importlib.import_module(f"gch.{name}")
    importlib.import_module("matplotlib.backends.backend_agg")


def sources(folder: Path) -> None:
    """Pictures of three colours with captions, in a folder `data`; texts; a small backbone; settings."""
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines, records = ["image,caption,labels"], []
    for number in range(ITEMS):
        colour = COLOURS[number % 3]
        name = f"{number}.{('png', 'jpg', 'gif', 'bmp')[number % 4]}"
        picture = draw.integers(0, 60, (64, 64, 3), np.uint8)
        picture[..., number % 3] += 150
        Image.fromarray(picture).save(folder / "data" / name)
        lines.append(f'{name},"a {colour} square, number {number}",{colour}')
        records.append({"image": name, "caption": f"a {colour} square", "labels": [colour]})
    (folder / "data" / "items.csv").write_text("\n".join(lines))
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, records)))
    (folder / "texts.jsonl").write_text(
        "\n".join(json.dumps({"id": str(row), "text": f"a {COLOURS[row % 3]} square"}) for row in range(5000))
    )
    code = (
        "import keras; layers = keras.layers; keras.utils.set_random_seed(0); model = keras.Sequential(["
        "keras.Input((64, 64, 3)), layers.Rescaling(1 / 127.5, -1), layers.Conv2D(16, 8, strides=4), "
        "layers.ReLU(), layers.GlobalAveragePooling2D()]); model.save('small.keras')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    (folder / "settings.py").write_text(
        "image_size = 64\nbatch_size = 10\nlr_img = 0.01\nplots = False\nnetStr = 'small.keras'\n"
    )


def arrays(folder: Path) -> None:
    """The same kind of data as arrays, and a split of them."""
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (ITEMS, 16, 16, 3), np.uint8)
    hot = {
        "YAll": draw.integers(0, 2, (ITEMS, 12), np.uint8),
        "LAll": np.eye(3, dtype=np.uint8)[np.arange(ITEMS) % 3],
    }
    hot["YAll"][:, 0] = 1
    content = {"images": images, **hot}
    np.savez_compressed(folder / "data.npz", **content)
    (folder / "npy").mkdir()
    for name, array in content.items():
        np.save(folder / "npy" / f"{name}.npy", array)
    scipy.io.savemat(folder / "data.mat", content)
    with h5py.File(folder / "data.h5", "w") as file:
        for name, array in content.items():
            file.create_dataset(name, data=array, compression="gzip")
    rows = np.arange(ITEMS)
    np.savez(folder / "split.npz", query=rows[:8], retrieval=rows[8:], training=rows[12:])


def whole(folder: Path) -> None:
    """Everything that the commands write, undisturbed."""
    sources(folder)
    arrays(folder)
    for command in COMMANDS.values():
        run(folder, command.words)
    run(folder, "eval run/small --out=eval --plots=False")
    run(folder, "index codes --out=hashed --kind=hash --parameters=b=8")


def fresh(base: Path, folder: Path) -> Path:
    """The folder, of the same content as `base`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    return folder


def result_of(folder: Path, command: str) -> object:
    """What a command has written, without what two runs of it need not have in common."""
    place = folder / COMMANDS[command].written
    if command in ("prepare", "encode", "index"):
        files = [file for file in sorted(place.rglob("*")) if file.is_file() and "cache" not in file.parts]
        content = {str(file): file.read_bytes() for file in files if file.name != ".lock"}
        return {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}
    if command == "export":
        return json.loads((place / "assets.extra" / "model.json").read_text())
    if command == "sweep":
        return (place / "sweep.csv").read_text()
    results = json.loads((place / "small" / "results.json").read_text())
    names = ("mAP", "mAP_not_trained_on", "evaluation", "digests", "codes")
    codes = scipy.io.loadmat(place / "small" / "collection_16.mat")
    return {name: results[name] for name in names}, {
        name: codes[name].tobytes() for name in ("Qi", "Qt", "Di", "Dt")
    }


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Another content of a file."""
    kind = draw.choice(("cut", "flip", "flip", "flip", "token", "token", "insert", "double", "other"))
    if kind == "cut":
        return content[: draw.randrange(len(content) + 1)]
    if kind == "other":
        return draw.choice(WHOLE)
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 3, 20))):
        place = draw.randrange(min(len(changed), draw.choice((300, len(changed) or 1))) or 1)
        if kind == "flip" and changed:
            changed[place] = draw.randrange(256)
        elif kind == "insert":
            changed[place:place] = draw.randbytes(draw.choice((1, 2, 16)))
        elif kind == "double":
            changed[place:place] = changed[place : place + draw.choice((10, 1000))]
        else:  # text: a word or a number becomes another one
            words = bytes(changed).split(b'"') if b'"' in changed else bytes(changed).split(b",")
            words[draw.randrange(len(words))] = draw.choice(TOKENS)
            changed = bytearray((b'"' if b'"' in changed else b",").join(words))
    return bytes(changed)
