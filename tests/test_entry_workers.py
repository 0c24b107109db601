"""Two workers on loopback, as on two machines."""

import contextlib
import json
import socket
import subprocess

import pytest
from entry import LONGEST, Command, read_until, save_small_backbone

SMALL = {
    "dataset_dir": "generated",
    "backbone": "trained",
    "QUERY_SIZE": 50,
    "DATABASE_SIZE": 300,
    "TRAINING_SIZE": 250,
    "VERIFICATION_SIZE": 50,
    "MAX_ITER": 10,
    "graph": "none",
    "panel_queries": 0,
}


def start_both(command: Command, **settings) -> list[subprocess.Popen]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        cluster = {"worker": [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]}
    started = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CPP_MIN_LOG_LEVEL": None, "TF_CONFIG": json.dumps(config)}
        started.append(command.start(environment=environment, **settings))
    return started


def test_a_killed_worker_ends_the_other_and_both_go_on(command, repository, tmp_path, data):
    backbone = tmp_path / "small.keras"
    save_small_backbone(backbone)
    alone, together = (Command(repository, tmp_path / name, data) for name in ("one", "two"))
    chief, worker = start_both(together, **SMALL, netStr=backbone, checkpoint_minutes=0)
    read_until(chief, "Outer epoch 2/2")
    worker.kill()
    _, error = chief.communicate(timeout=LONGEST)
    worker.communicate()
    assert chief.returncode == 1, error
    assert "another worker of TF_CONFIG ended" in error
    assert error.count("\n") == 1, error

    chief, worker = start_both(together, **SMALL, netStr=backbone)
    output, error = chief.communicate(timeout=LONGEST)
    assert chief.returncode == 0, error
    assert "Resuming" in output
    assert "Outer epoch 1/2" not in output
    assert worker.communicate(timeout=LONGEST) == ("", "")
    assert worker.returncode == 0

    status, _, error = command(*alone.flags(**SMALL, netStr=backbone))
    assert status == 0, error
    one, two = (json.loads((run.run_folder / "results.json").read_text())["mAP"] for run in (alone, together))
    mean = [(found["I->T"] + found["T->I"]) / 2 for found in (one, two)]
    assert mean[0] == pytest.approx(mean[1], abs=0.01)
    assert mean[0] > 0.45
