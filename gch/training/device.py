"""Where the networks run: GPUs, precision, deterministic results, and the workers that train together."""

import contextlib
import dataclasses
import functools
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from gch.errors import RunError, SettingError, TrainingError, reason
from gch.settings import Settings, free_settings
from gch.signals import SIGNALS
from gch.storage import digest
from gch.terminal import quiet_stderr
from gch.training.cluster import ALONE, Cluster


@dataclasses.dataclass(frozen=True)
class Device:
    """Where a run runs."""

    name: str
    jit_compile: bool = False  # whether XLA compiles the stages
    keeps_pixels: bool = False  # whether the training items' pixels are kept on it
    # Of several GPUs or machines; TensorFlow's default for one device.
    strategy: tf.distribute.Strategy = dataclasses.field(default_factory=tf.distribute.get_strategy)
    cluster: Cluster = ALONE

    @property
    def replicas(self) -> int:
        """Number of devices that run every step together."""
        return self.strategy.num_replicas_in_sync


def configure_device(settings: Settings, cluster: Cluster = ALONE) -> Device:
    """Applies the device settings, the precision and the seed to this process, before any tensor is made;
    makes operations deterministic. Of several workers, each waits here for the others. A process may call it
    again, with the same GPUs. Raises SettingError where a GPU or this worker's address cannot be used.
    """
    tf.get_logger().setLevel("ERROR")  # it warns of retracing when a shape differs once
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    precision = settings.precision
    keras.mixed_precision.set_global_policy("float32" if precision == "tf32" else precision)
    # Whether a GPU may round the factors of float32 products to TF32. It keeps 10 bits of the fraction, as
    # float16 does and three more than bfloat16, so mixed precision loses nothing by it.
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    with quiet_stderr():
        gpus = tf.config.list_physical_devices("GPU")
    used = _use_gpus(gpus, settings.select_gpu)
    flags = os.environ.get("XLA_FLAGS", "")
    if used and "xla_gpu_enable_triton_gemm" not in flags:
        # Under determinism XLA does not tune its own matrix products, and untuned they are slow.
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_triton_gemm=false"
    strategy = tf.distribute.get_strategy()
    name = f"GPU {settings.select_gpu}" if used else "CPU"
    name += f", {precision}"
    # On a CPU XLA is slower (benchmarks/README.md), and it compiles for one device.
    jit_compile = {"on": True, "off": False, "auto": used > 0}[settings.jit_compile]
    if settings.phase == "train" and (cluster.workers > 1 or used > 1):
        strategy, jit_compile = _joint_strategy(cluster), False
        name += f", {strategy.num_replicas_in_sync} replicas"
        name += f" on {cluster.workers} workers" if cluster.workers > 1 else ""
    name += ", XLA" if jit_compile else ""
    name += "; no GPU: select_gpu is unused" if settings.select_gpu and not gpus else ""
    return Device(name, jit_compile, used > 0, strategy, cluster)


def _use_gpus(gpus: list[tf.config.PhysicalDevice], select_gpu: str) -> int:
    """Makes TensorFlow use only the selected GPUs; returns their number."""
    numbers = list(dict.fromkeys(int(number) for number in select_gpu.split(",") if number)) if gpus else []
    if any(number >= len(gpus) for number in numbers):
        raise SettingError(f"select_gpu is {select_gpu!r}; there are {len(gpus)} GPUs, counted from 0")
    chosen = [gpus[number] for number in numbers]
    try:
        tf.config.set_visible_devices(chosen, "GPU")
    except RuntimeError:
        visible = tf.config.get_visible_devices("GPU")
        found = ",".join(str(number) for number, gpu in enumerate(gpus) if gpu in visible)
        raise SettingError(
            f"select_gpu: found {select_gpu!r}, expected {found!r}, which TensorFlow already uses in this "
            f"process; start another process"
        ) from None
    with contextlib.suppress(RuntimeError):  # TensorFlow has started, and has its memory
        for gpu in chosen:
            tf.config.experimental.set_memory_growth(gpu, True)
    return len(chosen)


@functools.cache  # one a process: TensorFlow confuses the collectives of a second with those of the first
def _joint_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    if cluster.workers == 1:
        return tf.distribute.MirroredStrategy()
    print(f"Waiting for the {cluster.workers} workers of TF_CONFIG", flush=True)
    # TensorFlow waits with Python's lock held: no thread of Python sees a signal before all are there.
    with on_signals(signal.SIG_DFL, *SIGNALS), quiet_stderr():
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.OpError as error:
            refused = error
    raise SettingError(
        f"TF_CONFIG: worker {cluster.index} cannot listen at its address, {reason(refused)}; expected a free "
        "port of this machine"
    ) from refused


@contextlib.contextmanager
def on_signals(handler: Callable | signal.Handlers, *signals: signal.Signals) -> Iterator[None]:
    """Handles signals within the `with` block; in the main thread, as Python allows no other."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = [(number, signal.signal(number, handler)) for number in signals]
    try:
        yield
    finally:
        for number, before in previous:
            signal.signal(number, before)


def any_worker(device: Device, said: bool) -> bool:
    """Whether `said` is true on any worker. All workers call this, and wait for each other."""
    return any(_of_all(device, int(said)))


def require_alike(device: Device, what: str, *values: str) -> None:
    """Raises RunError on every worker unless `values` are the same on all of them."""
    own = int(digest(*values)[:15], 16)
    if any(one != own for one in _of_all(device, own)):
        raise RunError(f"the workers of TF_CONFIG differ in {what}; expected the same on all machines")


def require_same_settings(device: Device, settings: Settings) -> None:
    """Raises RunError on every worker unless all settings that change the training are the same on all."""
    free = free_settings() - {"Epoch"}
    for name, value in settings.values().items():
        if name not in free:
            require_alike(device, f"the setting {name}", repr(value))


def _of_all(device: Device, number: int) -> list[int]:
    """The numbers of all workers."""
    if device.cluster.workers == 1:
        return [number]
    given = device.strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant([number], tf.int64)
    )
    return device.strategy.gather(given, axis=0).numpy().tolist()


@contextlib.contextmanager
def lost_workers(cluster: Cluster) -> Iterator[None]:
    """Raises TrainingError if another worker is lost, which TensorFlow reports as a failed operation."""
    try:
        yield
    except tf.errors.OpError as error:
        aborted = re.search("Collective ops is aborted by: (.+)", error.message)
        lost = aborted or isinstance(error, tf.errors.UnavailableError | tf.errors.DeadlineExceededError)
        if cluster.workers == 1 or not lost:
            raise
        why = aborted[1] if aborted else reason(error)
        raise TrainingError(
            f"another worker of TF_CONFIG ended or cannot be reached ({why}); "
            f"start all {cluster.workers} again to resume from the last checkpoint"
        ) from error
