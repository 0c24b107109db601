"""What a GPU makes of the project: first whether all of it works and repeats, then how fast it is.

    python benchmarks/gpu.py                      # all parts
    python benchmarks/gpu.py --parts stages,vggf  # some parts only, such as where a GPU is lent for minutes

parity      the tests against outputs of the originals
job         the default job, twice with the same seed: whether weights and mAP repeat; its seconds
precisions  the same in tf32, mixed_bfloat16 and mixed_float16
agah        the job with the method AGAH
encode      the exported model of the first job encodes a folder of pictures
stages      milliseconds a step of every stage, features cached, random items of FLICKR-25K's sizes
vggf        milliseconds of the image stage's step that trains VGG-F, pixels on the device, in every precision

Every measurement is a process of its own. Those of stages and VGG-F compile side by side on the processor; a
lock leaves the device to one of them while it is timed. Jobs follow, one after the other.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("parity", "job", "precisions", "agah", "encode", "stages", "vggf")
PRECISIONS = ("float32", "tf32", "mixed_bfloat16", "mixed_float16")
ITEMS, WORDS, LABELS, FEATURES = 7500, 1386, 24, 1280  # FLICKR-25K's training items here
STAGES = {  # flags by name
    "label graph": {},
    "label graph, tf32": {"precision": "tf32"},
    "label graph, without XLA": {"jit_compile": "off"},
    "paper (reference)": {"preset": "reference"},
    "AGAH": {"method": "agah"},
    "AGAH, tf32": {"method": "agah", "precision": "tf32"},
    "AGAH, without XLA": {"method": "agah", "jit_compile": "off"},
}
VGGF = {f"VGG-F, {precision}": {"precision": precision} for precision in PRECISIONS}
VGGF["VGG-F, tf32, without XLA"] = {"precision": "tf32", "jit_compile": "off"}
# Under determinism XLA does not tune its own products; those of the vendor's library need no tuning.
VGGF["VGG-F, tf32, cuBLAS"] = {"precision": "tf32", "XLA_FLAGS": "--xla_gpu_enable_triton_gemm=false"}
STAGES["label graph, cuBLAS"] = {"XLA_FLAGS": "--xla_gpu_enable_triton_gemm=false"}


# ---------------------------------------------------------------- one measurement, in a process of its own


@contextlib.contextmanager
def device(lock: Path, alone: bool) -> Iterator[None]:
    """Holds the device: alone for a timed section, else together with other processes."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def time_stages(flags: dict[str, object], trained: bool, steps: int, lock: Path) -> list[dict]:
    """Times every stage of a method, or the image stage alone with VGG-F trained."""
    import numpy as np
    import tensorflow as tf
    from measuring import settings as project_settings

    from gch.data.generated import generate
    from gch.methods.items import training_items
    from gch.methods.method import build_method
    from gch.networks.backbone import load_backbone
    from gch.training.device import configure_device
    from gch.training.loop import StageLoop

    trains: dict[str, object] = {}
    if trained:
        trains = {"netStr": "vggf", "backbone": "trained", "backbone_start": "random", "graph": "none"}
    settings = project_settings(**{"MAX_ITER": 100_000, "bit": 32, "select_gpu": "0"} | trains | flags)
    chosen = configure_device(settings)
    random = np.random.default_rng(0)
    if trained:
        backbone = load_backbone(settings)
        items = training_items(generate(512, image_size=224), np.arange(512), None, keep_pixels=True)
    else:
        backbone = None
        pairs = types.SimpleNamespace(
            texts=(random.random((ITEMS, WORDS)) < 0.004).astype(np.uint8),
            labels=(random.random((ITEMS, LABELS)) < 0.15).astype(np.uint8),
            pictures=None,
        )
        features = np.abs(random.normal(size=(ITEMS, FEATURES))).astype(np.float32)
        items = training_items(pairs, np.arange(ITEMS), features)
    found = []
    for stage in build_method(settings, items, backbone).stages:
        if trained and not stage.reads_images:
            continue
        for update in stage.updates:
            update.optimizer.learning_rate = 1e-6
        loop = StageLoop(stage, items, settings.batch_size, chosen.jit_compile)
        started = time.perf_counter()
        compilation = loop.trace()
        traced = time.perf_counter() - started
        compilation()
        compiled = time.perf_counter() - started - traced
        with device(lock, alone=False):
            run = loop.open((0, stage.name), 0)
            run(2)
        with device(lock, alone=True):
            run(max(2, steps // 10))
            started = time.perf_counter()
            run(steps)
            each = (time.perf_counter() - started) / steps
        found.append({"stage": stage.name, "ms": 1e3 * each, "traced": traced, "compiled": compiled})
    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return [{"device": name, "how": chosen.name}, *found]


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

    def measure(self, kind: str, flags: dict[str, object]) -> list[dict] | str:
        """A measurement of this script in another process: what it found, or its error in a line."""
        settings = {name: value for name, value in flags.items() if name != "XLA_FLAGS"}
        given = json.dumps({"kind": kind, "flags": settings, "steps": self.steps, "lock": str(self._lock)})
        found = self._run([sys.executable, __file__, "--measure", given], flags.get("XLA_FLAGS", ""))
        return found if isinstance(found, str) else json.loads(found.stdout.strip().splitlines()[-1])

    def job(self, name: str, *flags: str) -> dict | str:
        """The default job with flags: its results.json, or its error in a line."""
        finished = self._run([*self._entry(name), *flags])
        if isinstance(finished, str):
            return finished
        return json.loads((self.folder / "runs" / name / "results.json").read_text(encoding="utf-8"))

    def encode(self, name: str) -> str:
        """Exports a run, and encodes 256 pictures by it."""
        import numpy as np
        from PIL import Image

        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        random = np.random.default_rng(0)
        for number in range(256):
            Image.fromarray(random.integers(0, 256, (224, 224, 3), np.uint8)).save(pictures / f"{number}.png")
        model, codes = self.folder / "model", self.folder / "codes"
        exported = self._run([*self._entry(name), "export", f"--out={model}"])
        if isinstance(exported, str):
            return exported
        encode = ["encode", str(model), f"--images={pictures}", f"--out={codes}"]
        encoded = self._run([sys.executable, str(ROOT / "main_itpair.py"), *encode])
        return encoded if isinstance(encoded, str) else encoded.stdout.strip().splitlines()[-1]

    def tests(self, *names: str) -> str:
        """The last line of pytest."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *names]
        finished = self._run(command)
        return finished if isinstance(finished, str) else "passed"

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

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

    def _run(self, command: list[str], xla_flags: str = "") -> subprocess.CompletedProcess | str:
        kept = f"--tf_xla_persistent_cache_directory={self.folder / 'xla'}"
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "TF_XLA_FLAGS": kept,
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {xla_flags}".strip(),
        }
        finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        if finished.returncode == 0:
            return finished
        lines = [line for line in (finished.stderr + finished.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"Error|error:|FAILED", line)]
        return " ".join((errors or lines or ["no output"])[-1].split())[:300]


def say_stages(name: str, found: list[dict] | str) -> list[str]:
    """Rows of the table: what, figure."""
    if isinstance(found, str):
        return [f"| {name} | failed: {found} |"]
    return [
        f"| {name}: {one['stage']} | {one['ms']:.3f} ms a step; traced in {one['traced']:.1f} s, compiled in "
        f"{one['compiled']:.1f} s |"
        for one in found[1:]
    ]


def say_job(name: str, found: dict | str) -> str:
    """A row: mAP, seconds, and what tells whether it repeats."""
    if isinstance(found, str):
        return f"| {name} | failed: {found} |"
    whole, new = found["mAP"], found["mAP_not_trained_on"]
    figures = "; ".join(f"{one} {whole[one]:.4f} / {new[one]:.4f}" for one in ("I->T", "T->I"))
    training = found["training"]
    return (
        f"| {name} | training {training['seconds']:.1f} s, {training['compiling']:.1f} s of it compilation; "
        f"mAP all / new {figures}; weights {found['digests']['weights'][:8]} |"
    )


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
        found = time_stages(asked["flags"], asked["kind"] == "vggf", asked["steps"], Path(asked["lock"]))
        print(json.dumps(found))
        return
    parts = given.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts: found {given.parts}, expected some of {','.join(PARTS)}")
    folder = (given.folder or Path(tempfile.mkdtemp())).resolve()
    (folder / "xla").mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, given.steps)
    print("| what | found |\n|---|---|", flush=True)

    with ThreadPoolExecutor(given.jobs) as pool:
        measured = [
            (name, pool.submit(bench.measure, kind, flags))
            for kind, variants in (("stages", STAGES), ("vggf", VGGF))
            for name, flags in (variants.items() if kind in parts else ())
        ]
        for name, found in measured:
            print("\n".join(say_stages(name, found.result())), flush=True)
    jobs = {"default job": ()}
    if "job" in parts:
        jobs["default job again, programs kept"] = ()
    if "precisions" in parts:
        jobs |= {f"default job, {name}": (f"--precision={name}",) for name in PRECISIONS[1:]}
    if "agah" in parts:
        jobs["default job, AGAH"] = ("--method=agah",)
    for number, (name, flags) in enumerate(jobs.items()):
        if {"job", "precisions", "agah", "encode"} & set(parts):
            print(say_job(name, bench.job(f"job{number}", *flags)), flush=True)
    if "encode" in parts:
        print(f"| export and encode | {bench.encode('job0')} |", flush=True)
    if "parity" in parts:
        tests = ("tests/test_gch_parity.py", "tests/test_agah_parity.py")
        print(f"| tests against outputs of the originals | {bench.tests(*tests)} |", flush=True)


if __name__ == "__main__":
    main()
