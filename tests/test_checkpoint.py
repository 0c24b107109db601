import keras
import numpy as np
import pytest
import tensorflow as tf

from gch.errors import RunError
from gch.run import RunFolder
from gch.settings import load_settings
from gch.training.checkpoint import Checkpoints, Position
from gch.training.summaries import Summaries
from gch.training.train import Trainer


class Small:
    """The parts of a method that a checkpoint holds."""

    def __init__(self, units: int = 3):
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(units)])
        optimizer = keras.optimizers.Adam()
        optimizer.build(network.trainable_variables)
        self.networks, self.optimizers = {"only": network}, {"adam": optimizer}
        self.stages = ()
        self.memories = {"memory": tf.Variable(np.random.default_rng().random((5, 2)))}

    def values(self) -> list[np.ndarray]:
        variables = [
            *self.networks["only"].variables,
            *self.optimizers["adam"].variables,
            self.memories["memory"],
        ]
        return [np.asarray(variable) for variable in variables]


def test_everything_comes_back(tmp_path):
    method, position = Small(), Position()
    optimizer = method.optimizers["adam"]
    optimizer.apply([tf.ones((4, 3)), tf.ones(3)])
    method.networks["only"](np.ones((2, 4)), training=True)  # moves the seed of the dropout
    position.move(2, 1, 17)
    position.crown(0.75, 2)
    Checkpoints(tmp_path, method, position).save_latest()

    other, restored = Small(), Position()
    assert Checkpoints(tmp_path, other, restored).restore_latest()
    for one, two in zip(method.values(), other.values(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (restored.epoch, restored.stage, restored.step) == (2, 1, 17)
    assert (restored.best_epoch, restored.best_score) == (2, 0.75)


def test_best_and_latest_are_apart(tmp_path):
    method, position = Small(), Position()
    checkpoints = Checkpoints(tmp_path, method, position)
    assert not checkpoints.restore_latest()
    position.move(1)
    checkpoints.save_best()
    position.move(2)
    checkpoints.save_latest()
    assert checkpoints.restore_best()
    assert position.epoch == 1
    assert checkpoints.restore_latest()
    assert position.epoch == 2


def test_the_best_leaves_out_the_optimizers_alone(tmp_path):
    checkpoints = Checkpoints(tmp_path, Small(), Position())
    checkpoints.save_latest()
    checkpoints.save_best()
    latest, best = (
        {name for name, _ in tf.train.list_variables(tf.train.latest_checkpoint(str(tmp_path / ring)))}
        for ring in ("latest", "best")
    )
    assert {name for name in latest - best if "optimizer" not in name} == set()
    assert best < latest


def test_only_the_newest_of_each_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, Small(), Position())
    for _ in range(3):
        checkpoints.save_latest()
    assert len(list((tmp_path / "latest").glob("*.index"))) == 1


def test_the_first_epoch_is_the_best_so_far_even_with_a_score_of_zero(repository, tmp_path):
    settings = load_settings(repository / "setting.py", {"Epoch": 2})
    run, scores = RunFolder(tmp_path), {1: 0.0, 2: 0.0}
    trainer = Trainer(
        settings, Small(), None, run, Summaries(tmp_path), lambda epoch: {"score": scores[epoch]}
    )
    trainer.train()
    assert trainer.restore_best() == 1


def test_a_checkpoint_of_another_size_or_a_damaged_one_is_named(tmp_path):
    Checkpoints(tmp_path, Small(), Position()).save_latest()
    with pytest.raises(RunError, match="latest"):
        Checkpoints(tmp_path, Small(units=7), Position()).restore_latest()
    (data,) = (tmp_path / "latest").glob("*.data*")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(RunError, match="latest"):
        Checkpoints(tmp_path, Small(), Position()).restore_latest()
