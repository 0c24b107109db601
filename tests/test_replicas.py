"""Several replicas train as one does: a share of the batch each, in the backbone."""

import json
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from gch.cluster import Cluster, read_cluster
from gch.errors import SettingError
from gch.networks.inference import infer_under_dropout
from gch.networks.replicas import synchronize_batch_norms


@pytest.fixture(scope="module")
def losses(repository, tmp_path_factory):
    """By method, stage and number of replicas: the losses of 50 steps from the same checkpoint."""
    words = [sys.executable, "tests/replicas.py", str(tmp_path_factory.mktemp("checkpoints"))]
    run = subprocess.run(words, cwd=repository, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("method", ["label graph", "agah"])
def test_two_replicas_have_the_losses_of_one(losses, method):
    for stage, by_count in losses[method].items():
        for step, (one, two) in enumerate(zip(by_count["1"], by_count["2"], strict=True)):
            assert two == pytest.approx(one, rel=2e-4, abs=5e-5), (stage, step)


def test_batch_norms_within_models_are_synchronized():
    norms = [keras.layers.BatchNormalization() for _ in range(2)]
    inner = keras.Sequential([keras.Input((4,)), norms[0]])
    synchronize_batch_norms(keras.Sequential([keras.Input((4,)), inner, norms[1]]))
    assert [norm.synchronized for norm in norms] == [True, True]


def config(task: str, index: int, **jobs: int) -> dict[str, str]:
    cluster = {job: [f"host{number}:2222" for number in range(count)] for job, count in jobs.items()}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Cluster(1, 0)),
        (config("worker", 0, worker=1), Cluster(1, 0)),
        (config("worker", 2, worker=3), Cluster(3, 2)),
        (config("chief", 0, chief=1, worker=2), Cluster(3, 0)),
        (config("worker", 0, chief=1, worker=2), Cluster(3, 1)),
    ],
)
def test_tf_config_says_who_is_who(environment, expected):
    assert read_cluster(environment) == expected


@pytest.mark.parametrize(
    "environment", [config("worker", 3, worker=3), config("ps", 0, worker=2, ps=1), {"TF_CONFIG": "[1]"}]
)
def test_a_tf_config_of_something_else_is_refused(environment):
    with pytest.raises(SettingError, match="TF_CONFIG is"):
        read_cluster(environment)


def test_a_dropout_function_is_traced_once():
    inputs = keras.Input((3,))
    traces = []

    @keras.saving.register_keras_serializable(package="tests")
    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(inputs.shape)
            return inputs

    network = keras.Model(inputs, {"code": keras.layers.Dropout(0.5)(Counted()(inputs))})
    traces.clear()
    for _ in range(3):
        infer_under_dropout(network, lambda: [tf.ones((4, 3))], "code", 2)
    assert len(traces) == 1
