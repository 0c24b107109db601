"""Where the networks run: GPUs, precision, and results that repeat."""

import contextlib
import dataclasses
import signal
import subprocess

import keras
import tensorflow as tf

from gch.cluster import ALONE, Cluster
from gch.errors import SettingError
from gch.networks.precision import set_precision
from gch.quiet import native_stderr_held
from gch.settings import Settings


@dataclasses.dataclass(frozen=True)
class Device:
    """Where a run runs.

    Attributes:
      name: one line that says it.
      jit_compile: whether XLA compiles the stages.
      keeps_pixels: whether the training items' pixels are kept on it.
      strategy: of several GPUs or machines; None for one device.
      cluster: the processes that train together.
    """

    name: str
    jit_compile: bool = False
    keeps_pixels: bool = False
    strategy: tf.distribute.Strategy | None = None
    cluster: Cluster = ALONE

    def scope(self) -> contextlib.AbstractContextManager:
        """Within it, variables are created with a copy on every replica."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    @property
    def replicas(self) -> int:
        """Number of devices that run every step together."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1


CPU = Device("CPU")


def configure_device(settings: Settings, cluster: Cluster = ALONE) -> Device:
    """Applies the device settings, the precision and the seed to this process, before any tensor is made.

    Operations are deterministic, so that the same seed gives the same codes. Of several workers, each waits
    here for the others.

    Raises:
      SettingError: select_gpu names a GPU that is not there.
    """
    tf.get_logger().setLevel("ERROR")  # it warns of retracing where shapes differ once
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    set_precision(settings.precision)
    with native_stderr_held():
        gpus = tf.config.list_physical_devices("GPU")
    numbers = _chosen(settings.select_gpu, len(gpus)) if gpus else []
    tf.config.set_visible_devices([gpus[number] for number in numbers], "GPU")
    for number in numbers:
        _limit_memory(gpus[number], number, settings.per_process_gpu_memory_fraction)
    strategy = None
    if settings.phase == "train" and cluster.workers > 1:
        print(f"Waiting for the {cluster.workers} workers of TF_CONFIG")
        # Python would see Ctrl-C only when all are there.
        handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
        with native_stderr_held():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        signal.signal(signal.SIGINT, handler)
    elif settings.phase == "train" and len(numbers) > 1:
        strategy = tf.distribute.MirroredStrategy()
    # On a CPU XLA is slower (benchmarks/README.md), and it compiles for one device.
    wanted = {"on": True, "off": False, "auto": bool(numbers)}[settings.jit_compile]
    jit_compile = wanted and strategy is None
    name = f"GPU {settings.select_gpu}" if numbers else "CPU"
    name += f", {settings.precision}{', XLA' * jit_compile}"
    if strategy:
        name += f", {strategy.num_replicas_in_sync} replicas"
    if cluster.workers > 1 and strategy:
        name += f" on {cluster.workers} workers"
    if settings.select_gpu and not gpus:
        name += "; no GPU: select_gpu and per_process_gpu_memory_fraction are unused"
    return Device(name, jit_compile, bool(numbers), strategy, cluster)


def _chosen(select_gpu: str, count: int) -> list[int]:
    """The GPUs to use by number, of `count`."""
    numbers = list(dict.fromkeys(int(number) for number in select_gpu.split(",") if number))
    if any(number >= count for number in numbers):
        raise SettingError(f"select_gpu is {select_gpu!r}; there are {count} GPUs, counted from 0")
    return numbers


def _limit_memory(gpu: tf.config.PhysicalDevice, number: int, fraction: float) -> None:
    """TensorFlow 2 takes a limit in megabytes; the driver's tool tells how many there are."""
    command = ["nvidia-smi", f"--id={number}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        total = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        tf.config.experimental.set_memory_growth(gpu, True)
        return
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=int(total * fraction))
    tf.config.set_logical_device_configuration(gpu, [limit])
