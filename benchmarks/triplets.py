"""The loss over all triplets of a batch: from sorted distances, against the tensor (B, B, B) written out.

Value and gradient of both directions, image to text and text to image, for random codes and labels. Each way
runs in a process of its own; memory is the growth of its peak over that of a first step on 8 items.

    python benchmarks/triplets.py                     # B = 128 and 512, 64 bits
    python benchmarks/triplets.py --batches 256 --xla
"""

import argparse
import multiprocessing
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import table

LABELS, SHARE, MARGIN = 24, 0.16, 0.3  # as MIRFlickr's: 3.8 labels an item
SECONDS = 3.0  # a way is repeated for so long, and at least three times
WAYS = ("plain", "sorted")


def measure(way: str, batch: int, bits: int, xla: bool) -> tuple[float, float, float]:
    """Seconds of the fastest step, MiB, and the loss."""
    import tensorflow as tf

    from gch.methods.agah.losses import all_triplets, cosine_distances

    def plain(distances, similar, margin):
        hinges = tf.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)
        triplets = similar[:, :, None] * (1 - similar)[:, None, :]
        return (tf.reduce_sum(hinges * triplets),)

    loss = {"plain": plain, "sorted": lambda *arguments: all_triplets(*arguments)}[way]

    @tf.function(jit_compile=xla)
    def step(images, texts, similar):
        with tf.GradientTape() as tape:
            tape.watch([images, texts])
            distances = cosine_distances(images, texts)
            total = loss(distances, similar, MARGIN)[0] + loss(tf.transpose(distances), similar, MARGIN)[0]
        return total, tape.gradient(total, [images, texts])

    def inputs(count: int) -> list:
        random = np.random.default_rng(0)
        labels = random.random((count, LABELS)) < SHARE
        similar = (labels.astype(int) @ labels.T.astype(int) > 0).astype(np.float32)
        codes = [np.tanh(random.normal(size=(count, bits))).astype(np.float32) for _ in range(2)]
        return [tf.constant(part) for part in (*codes, similar)]

    step(*inputs(8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch_inputs, seconds = inputs(batch), []
    step(*batch_inputs)
    while len(seconds) < 3 or sum(seconds) < SECONDS:
        started = time.perf_counter()
        total, gradients = step(*batch_inputs)
        total = float(total)
        for gradient in gradients:
            gradient.numpy()
        seconds.append(time.perf_counter() - started)
    return min(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, total


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batches", default="128,512")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--xla", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for batch in map(int, arguments.batches.split(",")):
        found = {}
        for way in WAYS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[way] = pool.apply(measure, (way, batch, arguments.bits, arguments.xla))
        for way, (seconds, memory, total) in found.items():
            rows.append(
                (
                    f"B = {batch}, {way}",
                    f"{1000 * seconds:.2f} ms",
                    f"{memory:.0f} MiB",
                    f"{found['plain'][0] / seconds:.1f}",
                    f"{total:.6g}",
                )
            )
    table(("", "step", "memory", "times faster", "loss"), rows)


if __name__ == "__main__":
    main()
