"""Two workers on loopback, as on two machines."""

import json
import socket
import subprocess

import pytest
from entry import LONGEST, Command, save_small_backbone


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict[str, object]:
    backbone = tmp_path_factory.mktemp("backbone") / "small.keras"
    save_small_backbone(backbone)
    sizes = {"QUERY_SIZE": 100, "DATABASE_SIZE": 500, "TRAINING_SIZE": 450, "VERIFICATION_SIZE": 50}
    quick = {"dataset_dir": "generated", "netStr": backbone, "backbone": "trained", "k_gph": 2}
    return sizes | quick


def start_both(command: Command, settings: dict) -> list[subprocess.Popen]:
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [
        command.start(
            environment={
                "TF_CPP_MIN_LOG_LEVEL": None,
                "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
            },
            **settings,
        )
        for index in range(2)
    ]


def test_a_killed_worker_ends_the_other_and_both_go_on(settings, repository, tmp_path, data):
    alone, together = (Command(repository, tmp_path / name, data) for name in ("one", "two"))
    alone.run(**settings)
    chief, worker = start_both(together, settings | {"checkpoint_minutes": 0})
    for line in chief.stdout:
        if line.strip() == "Outer epoch 2/2":
            break
    worker.kill()
    _, error = chief.communicate(timeout=LONGEST)
    worker.communicate()
    assert chief.returncode == 1, error
    assert "another worker of TF_CONFIG ended" in error
    assert error.count("\n") == 1, error
    chief, worker = start_both(together, settings)
    output, error = chief.communicate(timeout=LONGEST)
    assert chief.returncode == 0, error
    assert "Resuming" in output
    assert "Outer epoch 1/2" not in output
    assert worker.communicate(timeout=LONGEST) == ("", "")
    assert worker.returncode == 0
    one, two = (json.loads((run.run_folder / "results.json").read_text())["mAP"] for run in (alone, together))
    mean = [(found["I->T"] + found["T->I"]) / 2 for found in (one, two)]
    assert mean[0] == pytest.approx(mean[1], abs=0.01)
    assert mean[0] > 0.7


def test_a_batch_that_does_not_divide_is_refused(settings, repository, tmp_path, data):
    command = Command(repository, tmp_path, data)
    for process in start_both(command, settings | {"batch_size": 25}):
        _, error = process.communicate(timeout=LONGEST)
        assert process.returncode == 1
        assert "batch_size: found 25, expected a multiple of 2" in error
