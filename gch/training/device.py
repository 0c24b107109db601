"""Where the networks run: GPUs, precision, and results that repeat."""

import subprocess

import keras
import tensorflow as tf

from gch.errors import SettingError
from gch.quiet import native_stderr_held
from gch.settings import Settings


def configure_device(settings: Settings) -> str:
    """Applies the device settings, the precision and the seed to this process, before any tensor is made.

    Operations are deterministic, so that the same seed gives the same codes, but where XLA compiles the steps
    of a trained backbone.

    Returns:
      One line that says what is used.

    Raises:
      SettingError: select_gpu names a GPU that is not there.
    """
    tf.get_logger().setLevel("ERROR")  # it warns of retracing where shapes differ once
    keras.utils.set_random_seed(settings.seed)
    # TensorFlow has no deterministic gradient of max pooling under XLA and refuses the step.
    repeats = not (settings.jit_compile and settings.backbone == "trained")
    if repeats:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(settings.precision)
    how = settings.precision + (", XLA" if settings.jit_compile else "")
    how += "" if repeats else ", results do not repeat to the last digit"
    with native_stderr_held():
        gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        unused = (
            "; no GPU: select_gpu and per_process_gpu_memory_fraction are unused"
            if settings.select_gpu
            else ""
        )
        return f"CPU, {how}{unused}"
    numbers = [int(number) for number in settings.select_gpu.split(",") if number]
    for number in numbers:
        if number >= len(gpus):
            raise SettingError(
                f"select_gpu is {settings.select_gpu!r}; there are {len(gpus)} GPUs, counted from 0"
            )
    tf.config.set_visible_devices([gpus[number] for number in numbers], "GPU")
    for number in numbers:
        _limit_memory(gpus[number], number, settings.per_process_gpu_memory_fraction)
    return f"GPU {settings.select_gpu}, {how}" if numbers else f"CPU, {how}"


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
