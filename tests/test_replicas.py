"""Several replicas train as one does: a share of the batch each, in the backbone."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import small_backbone, uncompiled

from gch.data.generated import generate
from gch.methods.items import training_items
from gch.methods.method import Stage, Update, build_method
from gch.methods.optimizer import RatedAdam, loss_scaled
from gch.networks.backbone import Backbone
from gch.networks.parts import synchronize_batch_norms
from gch.settings import load_settings
from gch.training.checkpoint import Checkpoints, Position
from gch.training.device import Device
from gch.training.loop import StageLoop, set_rates

TRAINED, BATCH, STEPS = np.arange(40), 20, 3  # a pass and a half
SETTINGS = {
    "backbone": "trained",
    "bit": 16,
    "batch_size": BATCH,
    "SEMANTIC_EMBED": 32,
    "MAX_ITER": STEPS,
    "k_gph": 1,
    "k_img": 3,
    "k_agah": 3,
    "txt_widths": "64,32",
    "graph_neighbours": 5,
}


@pytest.fixture(scope="module")
def strategies():
    return tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


# At its own rate AGAH is sensitive: from weights that differ by 1e-7, on one device, losses part by percents
# within 30 steps.
@pytest.mark.parametrize(
    ("changes", "stages"),
    [({}, ("image/label", "graph")), ({"method": "agah", "data_enhance": True, "lr": 1e-5}, ("pairs",))],
)
def test_two_replicas_have_the_losses_of_one(tmp_path, strategies, changes, stages):
    """Before every stage, one of both takes over the checkpoint of the other, by turns."""
    settings = load_settings(None, SETTINGS | changes)
    pairs, methods, loops = generate(items=50, image_size=16), [], []
    for strategy in strategies:
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = small_backbone(16)
            if strategy is not strategies[0]:
                synchronize_batch_norms(model)
            new = np.arange(40, 50)
            items = training_items(pairs, TRAINED, None, settings.method == "agah", new)
            method = build_method(settings, items, Backbone("small", model, ""))
        methods.append(method)
        loops.append([])
        for stage in method.stages:
            # Compiled as in a run, but for the graph, which does not read the backbone, and takes 10 s.
            compiled = strategy is not strategies[0] and stage.name != "graph"
            with contextlib.nullcontext() if compiled else uncompiled():
                loops[-1].append(StageLoop(stage, items, BATCH, strategy=strategy))
    for number, name in enumerate(stages):
        before, after = methods if number % 2 == 0 else reversed(methods)
        folder = tmp_path / str(number)
        Checkpoints(folder, before, Position()).save("latest")
        assert Checkpoints(folder, after, Position()).restore("latest")
        losses = []
        for own in loops:
            (loop,) = (loop for loop in own if loop.stage.name == name)
            set_rates(loop.stage, settings, 0)
            run = loop.open((0, name), 0)
            losses.append([run(1) for _ in range(STEPS)])
        for step, (one, two) in enumerate(zip(*losses, strict=True)):
            assert two == pytest.approx(one, rel=2e-4, abs=5e-5), (name, step)


def test_gradients_of_replicas_count_as_one(strategies):
    """Adam and Adamax would hide a wrong scale; plain gradient descent does not."""
    with strategies[1].scope():
        weight, optimizer = keras.Variable(1.0), keras.optimizers.SGD(0.1)
        optimizer.build([weight])
        items = training_items(generate(items=40, image_size=8), TRAINED, np.zeros((40, 2), np.float32))
    update = Update(lambda batch, outputs: {"loss": 3 * weight.value}, [weight], optimizer, rate=0.1)
    run = StageLoop(Stage("descent", 2, lambda batch: None, (update,)), items, BATCH, strategy=strategies[1])
    assert run.open((0,), 0)(2)["loss"] == pytest.approx((3 + 3 * 0.7) / 2)
    assert weight.numpy() == pytest.approx(1 - 2 * 0.1 * 3)


@pytest.mark.parametrize("overflows", [0, 1])
def test_no_replica_takes_a_step_if_the_gradient_of_one_overflows(strategies, overflows):
    with strategies[1].scope():
        weight = keras.Variable(1.0)
        optimizer = loss_scaled(RatedAdam("adam"), "mixed_float16")
        optimizer.build([weight])
        items = training_items(generate(items=40, image_size=8), TRAINED, np.zeros((40, 2), np.float32))

    def loss(batch, outputs):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return {"loss": weight.value * tf.where(replica == overflows, np.inf, 1.0)}

    stage = Stage("overflow", 1, lambda batch: None, (Update(loss, [weight], optimizer, rate=0.1),))
    before = optimizer.dynamic_scale.numpy()
    StageLoop(stage, items, BATCH, strategy=strategies[1]).open((0,), 0)(1)
    assert [one.numpy() for one in strategies[1].experimental_local_results(weight.value)] == [1, 1]
    assert optimizer.dynamic_scale.numpy() == before / 2


def test_a_batch_that_does_not_divide_is_refused(command, tmp_path, data, strategies, monkeypatch):
    device = Device("two", strategy=strategies[1])
    monkeypatch.setattr("gch.session.configure_device", lambda *_: device)
    flags = {"dataset_dir": "generated", "backbone": "trained", "batch_size": 25, "DATA_DIR": data}
    flags |= {"checkpoint_dir": tmp_path, "log_dir": tmp_path, "image_size": 64}
    status, _, error = command(*(f"--{name}={value}" for name, value in flags.items()))
    assert status == 1
    assert "batch_size: found 25, expected a multiple of 2" in error
