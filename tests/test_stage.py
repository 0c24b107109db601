"""The compiled loop of a stage: what it draws, and that it may stop and go on anywhere."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import uncompiled
from methods import OF_AGAH, OF_DCMH, OF_GCH, build, opened, with_parts

from gch.data.generated import generate
from gch.methods.items import TrainingItems, training_items
from gch.methods.method import Stage, Update
from gch.training.checkpoint import Checkpoints, Position
from gch.training.loop import StageLoop

PAIRS = generate(items=50, image_size=8)
ROWS = np.arange(3, 49, 2)
BATCH = 5


def items(streamed: bool) -> TrainingItems:
    features = None if streamed else np.repeat(np.arange(50, dtype=np.float32)[:, None], 2, axis=1)
    return training_items(PAIRS, ROWS, features)


def recorder(steps: int, reads_images: bool = True):
    """A stage that writes down the positions of its batches and checks that the images are theirs."""
    seen = tf.Variable(tf.zeros([0, BATCH], tf.int64), shape=[None, BATCH], trainable=False)
    pixels = tf.constant(PAIRS.pictures.read(ROWS))

    weight = keras.Variable(1.0)
    optimizer = keras.optimizers.SGD(learning_rate=0.0)
    optimizer.build([weight])

    def loss(batch, _):
        if not reads_images:
            assert batch.images is None
            wrong = tf.constant(0.0)
        else:
            source = pixels if batch.images.shape.rank == 4 else ROWS[:, None]
            expected = tf.cast(tf.gather(source, batch.positions), tf.float32)
            wrong = tf.reduce_sum(tf.abs(tf.cast(batch.images, tf.float32) - expected))
        return {"first": weight * tf.cast(batch.positions[0], tf.float32), "wrong": wrong}

    def write_down(batch, _):
        seen.assign(tf.concat([seen, tf.cast(batch.positions, tf.int64)[None]], axis=0))

    updates = (Update(loss, [weight], optimizer, rate=0.0),)
    return Stage("record", steps, lambda batch: None, updates, write_down, reads_images=reads_images), seen


@pytest.mark.parametrize("streamed", [False, True])
def test_each_pass_visits_every_item_at_most_once_in_its_own_order(streamed):
    stage, seen = recorder(steps=12)
    means = StageLoop(stage, items(streamed), BATCH).open((0, 0, "a"), 0)(12)
    passes = seen.numpy().reshape(3, -1)  # 23 items: 4 batches of 5 a pass
    assert all(len(set(one)) == 20 and set(one) <= set(range(23)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert means["wrong"] == 0
    assert means["first"] == pytest.approx(seen.numpy()[:, 0].mean())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_a_stage_that_resumes_draws_the_same_batches(streamed, cut):
    whole, parts = recorder(steps=12), recorder(steps=12)
    StageLoop(whole[0], items(streamed), BATCH).open((3, 1, "a"), 0)(12)
    StageLoop(parts[0], items(streamed), BATCH).open((3, 1, "a"), 0)(cut)
    StageLoop(parts[0], items(streamed), BATCH).open((3, 1, "a"), cut)(12 - cut)
    np.testing.assert_array_equal(whole[1].numpy(), parts[1].numpy())


@pytest.mark.parametrize("streamed", [False, True])
def test_the_order_depends_on_seed_epoch_and_stage(streamed):
    orders = []
    for seed in ((0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")):
        stage, seen = recorder(steps=4)
        StageLoop(stage, items(streamed), BATCH).open(seed, 0)(4)
        orders.append(tuple(seen.numpy().ravel()))
    assert len(set(orders)) == 4


def test_a_stage_without_images_reads_none():
    stage, seen = recorder(steps=3, reads_images=False)
    StageLoop(stage, items(streamed=True), BATCH).open((0,), 0)(3)
    assert len(seen.numpy()) == 3


def test_begin_is_called_each_time_the_stage_is_opened():
    calls = []
    stage = dataclasses.replace(recorder(steps=2)[0], begin=lambda: calls.append(1))
    loop = StageLoop(stage, items(streamed=False), BATCH)
    loop.open((0,), 0)(1)
    loop.open((0,), 1)(1)
    assert len(calls) == 2


@uncompiled()
@pytest.mark.parametrize(
    "of",
    [
        OF_GCH,
        OF_GCH | {"affinity": "pairs", "pairs": with_parts()[0]},
        {"preset": "reference", "MAX_ITER": 5},
        OF_AGAH,
        OF_AGAH | {"data_enhance": True},
        OF_DCMH,
    ],
)
def test_a_stage_that_resumes_from_a_checkpoint_ends_the_same(tmp_path, of):
    """Within the last stage, which begins anew, and within a pass of three steps."""
    whole, resumed = build({}, **of), build({}, **of)
    *before, last = (stage.name for stage in whole.stages)
    for name in before:
        opened(whole, name)(2)
    run = opened(whole, last)
    run(2)
    Checkpoints(tmp_path, whole, Position()).save("latest")
    assert Checkpoints(tmp_path, resumed, Position()).restore("latest")
    assert run(3) == opened(resumed, last, first=2)(3)
    for name, network in whole.networks.items():
        for one, two in zip(network.weights, resumed.networks[name].weights, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=f"{name} {one.path}")
    for name, memory in whole.memories.items():
        np.testing.assert_array_equal(memory, resumed.memories[name], err_msg=name)
