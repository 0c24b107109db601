"""Two workers on loopback, as on two machines."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import time

import pytest
from entry import DCMH, LONGEST, Command, wait_for_checkpoint

SMALL = DCMH | {"Epoch": 1, "k_dcmh": 12, "backbone": "trained", "VERIFICATION_SIZE": 50}
SMALL |= dict.fromkeys(("MAX_ITER", "k_lab", "k_txt", "k_img", "k_gph", "k_txt_g", "k_img_g"))  # of GCH


def start_both(command: Command, of_worker: dict | None = None, **settings) -> list[subprocess.Popen]:
    """Starts the chief, and a worker with settings of its own."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        cluster = {"worker": [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]}
    started = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CPP_MIN_LOG_LEVEL": None, "TF_CONFIG": json.dumps(config)}
        settings |= of_worker or {} if index else {}
        started.append(command.start(environment=environment, **settings))
    return started


def test_a_killed_worker_ends_the_other_and_both_go_on(repository, tmp_path, data):
    alone, together = (Command(repository, tmp_path / name, data, **SMALL) for name in ("one", "two"))
    chief, worker = start_both(together, checkpoint_minutes=0)
    wait_for_checkpoint(together.folder / "runs" / "generated_dcmh_small-trained_16_seed5", chief)
    worker.kill()
    alone.run()  # while the chief waits for a sign of life
    _, error = chief.communicate(timeout=LONGEST)
    worker.communicate()
    assert chief.returncode == 1, error
    assert "another worker of TF_CONFIG ended" in error
    assert error.count("\n") == 1, error

    chief, worker = start_both(together)
    output, error = chief.communicate(timeout=LONGEST)
    assert chief.returncode == 0, error
    assert re.search("Resuming .*: outer epoch 1, stage pairs, step [1-9]", output)
    assert worker.communicate(timeout=LONGEST) == ("", "")
    assert worker.returncode == 0

    one, two = (run.results["mAP"] for run in (alone, together))
    mean = [(found["I->T"] + found["T->I"]) / 2 for found in (one, two)]
    assert mean[0] == pytest.approx(mean[1], abs=0.01)
    assert mean[0] > 1.3 * alone.chance()


def test_a_worker_with_other_settings_ends_all(repository, tmp_path, data):
    both = start_both(Command(repository, tmp_path, data, **SMALL), {"Epoch": 2})
    errors = [process.communicate(timeout=LONGEST)[1] for process in both]
    assert [process.returncode for process in both] == [1, 1], errors
    assert any("the workers of TF_CONFIG differ in the setting Epoch; expected" in error for error in errors)


def test_ctrl_c_ends_the_wait_for_workers(repository, tmp_path, data):
    chief, worker = start_both(Command(repository, tmp_path, data, **SMALL))
    worker.kill()
    worker.communicate()
    while not chief.stdout.readline().startswith("Waiting for the 2 workers"):
        assert chief.poll() is None, chief.stderr.read()
    time.sleep(1)  # until TensorFlow waits
    chief.send_signal(signal.SIGINT)
    assert chief.wait(LONGEST) == -signal.SIGINT
    chief.communicate()
