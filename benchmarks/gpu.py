"""What a GPU makes of the project: first whether all of it works and repeats, then how fast it is.

    python benchmarks/gpu.py                      # all parts
    python benchmarks/gpu.py --parts stages,vggf  # some parts only, such as where a GPU is lent for minutes

job         the default job, twice with the same seed: whether weights and mAP repeat; its seconds
precisions  the same in tf32, mixed_bfloat16 and mixed_float16
agah        the job with the method AGAH
encode      the exported model of the first job encodes a folder of pictures
parity      the tests against outputs of the originals, and those of VGG-F
stages      milliseconds a step of every stage, features cached, random items of FLICKR-25K's sizes
vggf        milliseconds of the image stage's step that trains VGG-F, pixels on the device, in every precision
schedules   the same of whole methods on FLICKR-25K's 15,580 items, and what an outer epoch takes by that

Every measurement is a process of its own. The first two jobs have the machine to themselves. The others, and
the tests, run side by side. So do those of single steps, but a lock leaves the device to one of them while
it is timed. Equal weights at the end of two measurements show that steps repeat to the bit.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PARTS = ("job", "precisions", "agah", "encode", "parity", "stages", "vggf", "schedules")
PRECISIONS = ("float32", "tf32", "mixed_bfloat16", "mixed_float16")
WORDS, LABELS, FEATURES = 1386, 24, 1280  # of FLICKR-25K here
TRAINED = {"backbone": "trained", "backbone_start": "random"}
TF32 = {**TRAINED, "precision": "tf32"}
PAPERS = {"MAX_ITER": 100, "k_lab": 10, "k_txt": 5, "k_img": 5, "k_gph": 5}


@dataclasses.dataclass(frozen=True)
class Measured:
    """Steps to time.

    Attributes:
      name: in the table.
      flags: of the run.
      items: number of training items.
      only_images: whether only the stages of the image network run.
    """

    name: str
    flags: dict[str, object]
    items: int = 7500
    only_images: bool = False


def _vggf(name: str, **flags: object) -> Measured:
    return Measured(f"VGG-F, {name}", {"netStr": "vggf", "graph": "none", **TRAINED, **flags}, 1024, True)


STEPS = {
    "stages": (
        Measured("label graph", {}),
        Measured("label graph, tf32", {"precision": "tf32"}),
        Measured("label graph, without XLA", {"jit_compile": "off"}),
        Measured("paper (reference)", {"preset": "reference"}),
        Measured("AGAH", {"method": "agah"}),
        Measured("AGAH, tf32", {"method": "agah", "precision": "tf32"}),
        Measured("AGAH, without XLA", {"method": "agah", "jit_compile": "off"}),
    ),
    "vggf": (
        *(_vggf(precision, precision=precision) for precision in PRECISIONS),
        *(_vggf(f"{precision} again", precision=precision) for precision in PRECISIONS[1:3]),
        _vggf("tf32, without XLA", precision="tf32", jit_compile="off"),
    ),
    "schedules": (
        Measured("label graph, the papers' loop counts", PAPERS, 15_580),
        Measured("reference", {"preset": "reference"}, 15_580),
        Measured(
            "reference, VGG-F trained",
            {"preset": "reference", "netStr": "vggf", "precision": "tf32", **TRAINED},
            15_580,
        ),
        Measured("AGAH, VGG-F trained", {"preset": "agah_reference", "precision": "tf32", **TRAINED}, 15_580),
    ),
}


# ---------------------------------------------------------------- one measurement, in a process of its own


@contextlib.contextmanager
def device(lock: Path, alone: bool) -> Iterator[None]:
    """Holds the device: alone for a timed section, else together with other processes."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


class RandomPictures:
    """Pictures of noise."""

    size, block = (224, 224), 1

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Draws as many as `rows`, uint8 (n, 224, 224, 3)."""
        return np.random.default_rng(0).integers(0, 256, (len(rows), *self.size, 3), np.uint8)


def time_steps(measured: Measured, steps: int, lock: Path) -> list[dict]:
    """Times every stage of a method."""
    import tensorflow as tf
    from measuring import settings as project_settings

    from gch.methods.items import training_items
    from gch.methods.method import build_method
    from gch.networks.backbone import load_backbone
    from gch.storage import digest
    from gch.training.device import configure_device
    from gch.training.loop import StageLoop

    settings = project_settings(**{"bit": 32, "select_gpu": "0"} | measured.flags)
    chosen = configure_device(settings)
    random, count = np.random.default_rng(0), measured.items
    trained = settings.backbone == "trained"
    pairs = types.SimpleNamespace(
        texts=(random.random((count, WORDS)) < 0.004).astype(np.uint8),
        labels=(random.random((count, LABELS)) < 0.15).astype(np.uint8),
        pictures=RandomPictures() if trained else None,
        parts=None,
    )
    features = None if trained else np.abs(random.normal(size=(count, FEATURES))).astype(np.float32)
    items = training_items(pairs, np.arange(count), features, keep_pixels=True)
    method = build_method(settings, items, load_backbone(settings) if trained else None)
    found = []
    for stage in method.stages:
        if measured.only_images and not stage.reads_images:
            continue
        for update in stage.updates:
            update.optimizer.learning_rate = 1e-6
        loop = StageLoop(stage, items, settings.batch_size, chosen.jit_compile)
        traced, compilation = seconds(loop.trace)
        compiled, _ = seconds(compilation)
        with device(lock, alone=False):
            loop.open((0, stage.name), 0)(2)
        with device(lock, alone=True):
            begun, run = seconds(lambda loop=loop: loop.open((0, loop.stage.name), 2))
            run(max(2, steps // 10))
            taken, _ = seconds(lambda run=run: run(steps))
        found.append(
            {"stage": stage.name, "ms": 1e3 * taken / steps, "traced": traced, "compiled": compiled}
            | {"begun": begun, "epoch": begun + stage.steps * taken / steps}
        )
    weights = digest(
        *(variable.numpy() for network in method.networks.values() for variable in network.weights)
    )
    gpus = tf.config.list_physical_devices("GPU")
    models = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus[:1]]
    where = ", ".join([*models, chosen.name])
    return [{"device": where, "weights": weights, "epochs": settings.Epoch}, *found]


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Calls once; returns how long that took, and the result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


# ---------------------------------------------------------------- all of them, side by side


@dataclasses.dataclass(frozen=True)
class Bench:
    """Runs measurements.

    Attributes:
      folder: for runs, caches and the lock.
      steps: of a timed section.
    """

    folder: Path
    steps: int

    def measure(self, measured: Measured) -> list[str]:
        """Rows of steps that another process of this script timed."""
        given = {
            "measured": dataclasses.asdict(measured),
            "steps": self.steps,
            "lock": str(self.folder / "lock"),
        }
        found = self._run([sys.executable, __file__, "--measure", json.dumps(given)])
        if isinstance(found, str):
            return [f"| {measured.name} | failed: {found} |"]
        whole, *stages = json.loads(found.stdout.strip().splitlines()[-1])
        rows = [
            f"| {measured.name}: {one['stage']} | {one['ms']:.3f} ms a step; traced in "
            f"{one['traced']:.1f} s, compiled in {one['compiled']:.1f} s; begins in {one['begun']:.2f} s |"
            for one in stages
        ]
        epoch = sum(one["epoch"] for one in stages)
        return [
            *rows,
            f"| {measured.name} | {whole['device']}; weights {whole['weights'][:8]}; an outer epoch "
            f"{epoch:.2f} s, {whole['epochs']} of them {whole['epochs'] * epoch / 60:.1f} min |",
        ]

    def job(self, name: str, title: str, *flags: str) -> list[str]:
        """A row of the default job with flags: mAP, seconds, and what tells whether it repeats."""
        finished = self._run([*self._entry(name), *flags])
        if isinstance(finished, str):
            return [f"| {title} | failed: {finished} |"]
        found = json.loads((self.folder / "runs" / name / "results.json").read_text(encoding="utf-8"))
        whole, new, training = found["mAP"], found["mAP_not_trained_on"], found["training"]
        figures = "; ".join(f"{one} {whole[one]:.4f} / {new[one]:.4f}" for one in ("I->T", "T->I"))
        return [
            f"| {title} | training {training['seconds']:.1f} s, {training['compiling']:.1f} s of it "
            f"compilation; mAP all / new {figures}; weights {found['digests']['weights'][:8]} |"
        ]

    def encode(self) -> list[str]:
        """A row: the first job's model is exported, and encodes 256 pictures."""
        from PIL import Image

        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        random = np.random.default_rng(0)
        for number in range(256):
            Image.fromarray(random.integers(0, 256, (224, 224, 3), np.uint8)).save(pictures / f"{number}.png")
        model, codes = self.folder / "model", self.folder / "codes"
        found = self._run([*self._entry("job0"), "export", f"--out={model}"])
        if not isinstance(found, str):
            encode = ["encode", str(model), f"--images={pictures}", f"--out={codes}"]
            found = self._run([sys.executable, str(ROOT / "main_itpair.py"), *encode])
        said = f"failed: {found}" if isinstance(found, str) else found.stdout.strip().splitlines()[-1]
        return [f"| export and encode | {said} |"]

    def tests(self, *names: str) -> list[str]:
        """A row: which tests failed, and how many passed."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "--tb=no"]
        lines = self._start([*command, "--disable-warnings", *names]).stdout.strip().splitlines()
        said = [line.split(" - ")[0] for line in lines if line.startswith("FAILED")] + lines[-1:]
        return [f"| tests against outputs of the originals, and of VGG-F | {'; '.join(said)} |"]

    def _entry(self, name: str) -> list[str]:
        places = {"checkpoint_dir": "runs", "log_dir": "logs", "DATA_DIR": "data"}
        return [
            sys.executable,
            str(ROOT / "main_itpair.py"),
            *(f"--{setting}={self.folder / place}" for setting, place in places.items()),
            f"--run_name={name}",
            "--panel_queries=0",
            "--plots=False",
        ]

    def _run(self, command: list[str]) -> subprocess.CompletedProcess | str:
        """What a command printed, or its error in a line."""
        finished = self._start(command)
        if finished.returncode == 0:
            return finished
        lines = [line for line in (finished.stderr + finished.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"Error|error:", line)]
        return " ".join((errors or lines or ["no output"])[-1].split())[:300]

    def _start(self, command: list[str]) -> subprocess.CompletedProcess:
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # the tests do not ask for it, and share the device
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--steps", type=int, default=300, help="of a timed section; fewer on a CPU")
    parser.add_argument("--jobs", type=int, default=max(1, os.cpu_count() // 2), help="processes at once")
    parser.add_argument("--folder", type=Path, help="for runs and caches; a temporary one otherwise")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        asked = json.loads(given.measure)
        print(json.dumps(time_steps(Measured(**asked["measured"]), asked["steps"], Path(asked["lock"]))))
        return
    parts = given.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts: found {given.parts}, expected some of {','.join(PARTS)}")
    folder = (given.folder or Path(tempfile.mkdtemp())).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, given.steps)
    alone = [("job0", "default job"), ("job1", "default job again, programs kept")]
    beside: list[tuple] = []
    if "precisions" in parts:
        beside += [
            (bench.job, f"job_{name}", f"default job, {name}", f"--precision={name}")
            for name in PRECISIONS[1:]
        ]
    if "agah" in parts:
        beside.append((bench.job, "job_agah", "default job, AGAH", "--method=agah"))
    if "encode" in parts:
        beside.append((bench.encode,))
    if "parity" in parts:
        beside.append(
            (bench.tests, "tests/test_gch_parity.py", "tests/test_agah_parity.py", "tests/test_vggf.py")
        )
    timed = [(bench.measure, one) for part in STEPS if part in parts for one in STEPS[part]]

    print("| what | found |\n|---|---|", flush=True)
    for number, (name, title) in enumerate(alone):
        if "job" in parts or ("encode" in parts and not number):
            print(*bench.job(name, title), sep="\n", flush=True)
    for calls in (beside, timed):
        with ThreadPoolExecutor(given.jobs) as pool:
            for rows in pool.map(lambda call: call[0](*call[1:]), calls):
                print(*rows, sep="\n", flush=True)


if __name__ == "__main__":
    main()
