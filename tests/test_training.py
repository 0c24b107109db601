"""What surrounds the steps of a training: device, workers, checkpoints, summaries, the terminal."""

import json
import os
import re
import shutil
import signal
import threading
import types
from contextlib import ExitStack, nullcontext
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorflow.python.framework.config import disable_op_determinism

from gch.errors import RunError, SettingError, TrainingError
from gch.run import RunFolder
from gch.settings import load_settings
from gch.terminal import Progress, quiet_stderr
from gch.training.checkpoint import Checkpoints, Position
from gch.training.cluster import ALONE, Cluster, read_cluster
from gch.training.device import Device, configure_device, lost_workers, on_signals
from gch.training.summaries import HISTOGRAM_VALUES, Summaries
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
        self.variables = [*network.variables, *optimizer.variables, self.memories["memory"]]


def test_checkpoints_bring_everything_back_and_best_and_latest_are_apart(tmp_path):
    method, position = Small(), Position(epoch=2, stage=1, step=17, best_epoch=2, best_score=0.75)
    checkpoints = Checkpoints(tmp_path, method, position)
    assert not checkpoints.restore("latest")
    checkpoints.save("best")
    for epoch in (3, 4):
        method.optimizers["adam"].apply([tf.ones((4, 3)), tf.ones(3)])
        method.networks["only"](np.ones((2, 4)), training=True)  # moves the seed of the dropout
        position.move(epoch, stage=1, step=17)
        checkpoints.save("latest")
    assert len(list((tmp_path / "latest").glob("*.index"))) == 1

    other, restored = Small(), Position()
    again = Checkpoints(tmp_path, other, restored)
    assert again.restore("latest")
    for one, two in zip(method.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    assert restored == position
    assert again.restore("best")
    assert restored == Position(epoch=2, stage=1, step=17, best_epoch=2, best_score=0.75)

    latest, best = (
        {name for name, _ in tf.train.list_variables(tf.train.latest_checkpoint(str(tmp_path / kind)))}
        for kind in ("latest", "best")
    )
    assert best < latest
    assert all("optimizer" in name for name in latest - best)

    with pytest.raises(RunError, match="latest"):
        Checkpoints(tmp_path, Small(units=7), Position()).restore("latest")
    (data,) = (tmp_path / "latest").glob("*.data*")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(RunError, match="latest"):
        again.restore("latest")


def trained(folder, epochs=2, gain=0.1):
    """A trainer of a run in which `epochs` outer epochs are done, each of which adds `gain` to the score."""
    settings, run = load_settings(None, {"Epoch": epochs}), RunFolder(folder)
    folder.mkdir(exist_ok=True)

    def validate(epoch):
        return {"score": epoch * gain}

    return Trainer(settings, Small(), run, Summaries(None), validate, Device(""))


def cut(path):
    path.write_bytes(path.read_bytes()[:20])


def without_an_epoch(path):
    path.write_text(json.dumps(json.loads(path.read_text())[:1]))


@pytest.mark.parametrize("damage", [cut, os.remove, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["checkpoint", "ckpt-2.index", "ckpt-2.data-00000-of-00001"])
@pytest.mark.parametrize("kind", ["best", "latest"])
def test_a_damaged_checkpoint_is_named_and_nothing_goes_on_with_it(tmp_path, kind, name, damage):
    trained(tmp_path).train()
    damage(tmp_path / kind / name)
    words = rf"{kind}/(checkpoint|ckpt-2).*put it back from a copy, or train again under another run_name"
    with pytest.raises(RunError, match=words):
        trained(tmp_path).resume()
    if kind == "best":
        with pytest.raises(RunError, match=words):
            trained(tmp_path).restore_best()
    else:
        assert trained(tmp_path).restore_best() == 2


@pytest.mark.parametrize(
    ("kind", "word"), [("best", "resume"), ("best", "restore_best"), ("latest", "start")]
)
def test_a_run_without_one_of_its_checkpoints_is_refused(tmp_path, kind, word):
    run, settings = RunFolder(tmp_path), load_settings(None, {})
    run.start(settings, "data")
    trained(tmp_path).train()
    run.close()
    shutil.rmtree(tmp_path / kind)
    with pytest.raises(RunError, match=f"{kind}: no checkpoint in it"):
        run.start(settings, "data") if word == "start" else getattr(trained(tmp_path), word)()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "JSON"),
        (os.remove, "0 outer epochs, expected the 2"),
        (without_an_epoch, "1 outer epochs, expected the 2"),
        (lambda path: path.write_text("{}"), "no list"),
        (lambda path: path.write_text("[1, 2]"), "outer epoch 1: found 1, expected a JSON object"),
        (lambda path: path.write_text('[{"epoch": 1, "seconds": "2"}, {}]'), "seconds is '2'"),
        (lambda path: path.write_text('[{"epoch": 2, "seconds": 2}, {}]'), "epoch is 2, expected 1"),
        (lambda path: path.write_text("[" * 100_000), "JSON"),
    ],
)
def test_a_run_with_a_damaged_history_is_not_trained_further(tmp_path, damage, words):
    trained(tmp_path).train()
    damage(tmp_path / "history.json")
    with pytest.raises(RunError, match=rf"history\.json.*{words}.*put it back"):
        trained(tmp_path).resume()


def test_a_run_in_a_folder_whose_name_is_a_pattern_reads_its_own_files_and_keeps_those_of_others(tmp_path):
    for name in ("lr1", "lr[1,2]", "lr*", "l?1", "a\\b"):
        trained(tmp_path / name).train()
        assert trained(tmp_path / name).resume()
        assert trained(tmp_path / name).restore_best() == 2
        for kind in ("best", "latest"):
            assert len(list((tmp_path / name / kind).iterdir())) == 3
    assert trained(tmp_path / "lr1").restore_best() == 2


def test_the_first_epoch_is_the_best_so_far_even_with_a_score_of_zero(tmp_path):
    trainer = trained(tmp_path, gain=0.0)
    trainer.train()
    assert trainer.restore_best() == 1


def test_a_histogram_sees_a_bounded_number_of_values_of_all_parts(tmp_path):
    summaries, method = Summaries(tmp_path), types.SimpleNamespace(networks={})
    values = np.arange(3 * HISTOGRAM_VALUES + 1, dtype=np.float32)[None]
    summaries.histograms(method, {"small": np.ones((4, 2), np.float32), "large": values}, epoch=1)
    summaries.close()
    [file] = tmp_path.iterdir()
    found = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    small, large = (tf.make_ndarray(value.tensor) for value in found)  # left edge, right edge, count
    assert small[:, 2].sum() == 8
    assert HISTOGRAM_VALUES // 2 <= large[:, 2].sum() <= HISTOGRAM_VALUES
    assert (large[0, 0], large[-1, 1]) == (0, 3 * HISTOGRAM_VALUES)
    np.testing.assert_allclose(large[:, 2], large[:, 2].mean(), atol=1)


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_full_disk_is_one_line_and_with_room_it_goes_on(tmp_path):
    import resource  # not on Windows

    checkpoints, summaries = Checkpoints(tmp_path / "run", Small(), Position()), Summaries(tmp_path / "log")
    writes = {
        tmp_path / "run" / "latest": lambda: checkpoints.save("latest"),
        tmp_path / "log": lambda: [summaries.scalars("seconds", {"a": 1.0}, at) for at in range(9)],
    }
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for path, write in writes.items():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
        try:
            with pytest.raises(RunError, match=re.escape(f"{path}: cannot be written, File too large; make")):
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    checkpoints.save("latest")
    assert checkpoints.restore("latest")


def logged(folder) -> list[tuple[str, int]]:
    found = [event for path in sorted(folder.iterdir()) for event in EventFileLoader(str(path)).Load()]
    return [(value.tag, event.step) for event in found for value in event.summary.value]


@pytest.mark.parametrize(
    ("epoch", "stage", "step", "losses"),
    [(1, 0, 0, ((3, 6), (2, 4))), (1, 1, 1, ((3, 6, 9), (2, 4, 5))), (2, 0, 0, ((3, 6, 9), (2, 4, 5, 6, 8)))],
)
def test_a_run_that_resumes_has_every_step_in_its_log_once(tmp_path, epoch, stage, step, losses):
    trainer, summaries = trained(tmp_path / "run", epochs=3), Summaries(tmp_path / "log[1]")
    trainer.train()
    for at in (1, 2, 3):
        summaries.scalars("seconds", {"a": 1.0}, at)
    for name, steps in (("a", (3, 6, 9)), ("a/b", (2, 4, 5, 6, 8))):
        for at in steps:
            summaries.losses(name, at, {"all": 1.0}, 0.5)
    summaries.close()
    files = list((tmp_path / "log[1]").iterdir())
    files[0].write_bytes(files[0].read_bytes() + b"half a record")
    stages = [
        types.SimpleNamespace(stage=types.SimpleNamespace(name=n, steps=s)) for n, s in (("a", 6), ("a/b", 4))
    ]
    trainer._loops, trainer._summaries = stages, Summaries(tmp_path / "log[1]")
    trainer._position.move(epoch, stage, step)
    trainer._checkpoints.save("latest")
    assert trainer.resume()
    expected = [("seconds/a", at) for at in range(1, epoch + 1)]
    for name, steps in zip(("a", "a/b"), losses, strict=True):
        expected += [(tag, at) for at in steps for tag in (f"loss {name}/all", f"learning rate/{name}")]
    assert sorted(logged(tmp_path / "log[1]")) == sorted(expected)
    trainer._summaries.purge(lambda tag, step: False)
    assert logged(tmp_path / "log[1]") == []


def test_ctrl_c_in_the_last_validation_stops_a_run(tmp_path):
    trainer = trained(tmp_path / "run", epochs=1)
    trainer._validate = lambda epoch: signal.raise_signal(signal.SIGINT) or {"score": 1.0}
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.resume()


@pytest.fixture
def restored():
    """What a device's configuration changes is as before after the test."""
    policy, tf32 = keras.config.dtype_policy(), tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    keras.mixed_precision.set_global_policy(policy)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    disable_op_determinism()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("name", "compute", "tf32"),
    [
        ("float32", "float32", False),
        ("tf32", "float32", True),
        ("mixed_bfloat16", "bfloat16", True),
        ("mixed_float16", "float16", True),
    ],
)
def test_what_networks_compute_in(name, compute, tf32):
    for precision in ("mixed_float16", name):
        configure_device(load_settings(None, {"precision": precision, "select_gpu": ""}))
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    assert (layer.compute_dtype, layer.kernel.dtype) == (compute, "float32")
    assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32


@pytest.mark.usefixtures("restored")
def test_a_process_configures_its_device_again_but_not_for_other_gpus(monkeypatch):
    def configured(gpus):
        return configure_device(load_settings(None, {"select_gpu": gpus}))

    tf.ones(1)  # TensorFlow has started
    for _ in range(2):
        device = configured("1")
        assert (device.replicas, device.jit_compile, device.keeps_pixels) == (1, False, False)
        assert device.name == "CPU, float32; no GPU: select_gpu is unused"

    gpus = ["first", "second"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus[:1])

    def started(devices, kind):
        if devices != gpus[:1]:
            raise RuntimeError("Visible devices cannot be modified after being initialized")

    def grow(device, enable):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", started)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    with pytest.raises(SettingError, match="select_gpu: found '1', expected '0', which TensorFlow already"):
        configured("1")
    with pytest.raises(SettingError, match="select_gpu is '0,7'; there are 2 GPUs"):
        configured("0,7")
    monkeypatch.setenv("XLA_FLAGS", "--of_user")
    for _ in range(2):
        device = configured("0")
        assert (device.name, device.jit_compile) == ("GPU 0, float32, XLA", True)
    assert os.environ["XLA_FLAGS"] == "--of_user --xla_gpu_enable_triton_gemm=false"


def test_signals_are_handled_in_the_main_thread_alone_and_given_back():
    before, seen = signal.getsignal(signal.SIGTERM), []
    with on_signals(lambda *_: seen.append(1), signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert seen == [1]
    assert signal.getsignal(signal.SIGTERM) is before

    def elsewhere():
        with on_signals(lambda *_: None, signal.SIGTERM):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [1, before]


def config(task: str, index: int, **jobs: int) -> dict[str, str]:
    cluster = {job: [f"host{number}:2222" for number in range(count)] for job, count in jobs.items()}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALONE),
        (config("worker", 0, worker=1), ALONE),
        (config("worker", 2, worker=3), Cluster(3, 2)),
        (config("chief", 0, chief=1, worker=2), Cluster(3, 0)),
        (config("worker", 0, chief=1, worker=2), Cluster(3, 1)),
        (config("worker", 3, worker=3), None),
        (config("ps", 0, worker=2, ps=1), None),
        ({"TF_CONFIG": "[1]"}, None),
        (config("worker", True, worker=2), None),
        *(
            ({"TF_CONFIG": config("worker", 0, worker=2)["TF_CONFIG"].replace(":2222", port)}, None)
            for port in (":2x", ":0", ":99999")
        ),
    ],
)
def test_tf_config_says_who_is_who_or_is_refused(environment, expected):
    with pytest.raises(SettingError, match=r"TF_CONFIG: .*expected") if expected is None else nullcontext():
        assert read_cluster(environment) == expected


@pytest.mark.usefixtures("restored")
def test_a_worker_whose_port_is_taken_is_named(monkeypatch):
    taken = mock.Mock(side_effect=tf.errors.UnknownError(None, None, "Could not start gRPC server"))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", taken)
    with pytest.raises(SettingError, match=r"worker 1 cannot listen at its address, Could not .*; expected"):
        configure_device(load_settings(None, {}), Cluster(2, 1))


def test_a_lost_worker_is_named_and_other_faults_are_not_taken_for_one():
    lost = tf.errors.InternalError(None, None, "Collective ops is aborted by: Socket closed\nmore")
    expected = r"ended or cannot be reached \(Socket closed\); start all 2 again"
    with pytest.raises(TrainingError, match=expected), lost_workers(Cluster(2)):
        raise lost
    for cluster, error in ((ALONE, lost), (Cluster(2), tf.errors.InternalError(None, None, "other"))):
        with pytest.raises(tf.errors.InternalError), lost_workers(cluster):
            raise error


@pytest.mark.parametrize(
    ("level", "fails", "expected"),
    [("2", False, "after"), ("0", False, "chatterafter"), ("2", True, "chatterafter")],
)
def test_chatter_is_hidden_unless_something_fails_or_the_user_wants_it(
    capfd, monkeypatch, level, fails, expected
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    try:
        with quiet_stderr():
            os.write(2, b"chatter")
            if fails:
                raise InterruptedError
    except InterruptedError:
        assert fails
    os.write(2, b"after")
    assert capfd.readouterr().err == expected


def test_threads_that_hide_chatter_leave_standard_error_as_it_was(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    first, second = ExitStack(), ExitStack()
    first.enter_context(quiet_stderr())
    second.enter_context(quiet_stderr())
    first.close()
    second.close()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_one_line_on_a_terminal_and_a_line_now_and_then_elsewhere(capsys, monkeypatch, terminal):
    times = iter([10.0, 11.0, 40.5, 41.0, 50.0])
    monkeypatch.setattr("gch.terminal.time.monotonic", lambda: next(times))
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    progress = Progress("steps", title="text")
    for done in (0, 1, 61, 62, 2000):
        progress(done, 2000, {"code": 0.25})
    lines = [line.strip() for line in capsys.readouterr().out.replace("\r", "\n").splitlines()]
    often = ["", "1 of 2,000 steps, 1 a second, code 0.2500"] if terminal else []
    third = ["62 of 2,000 steps, 2 a second, code 0.2500"] if terminal else []
    now_and_then = "61 of 2,000 steps, 2 a second, code 0.2500"
    assert lines == ["text", *often, now_and_then, *third, "2,000 of 2,000 steps, 50 a second, code 0.2500"]
