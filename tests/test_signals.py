"""Ctrl-C and SIGTERM: one line, the right exit status, within two seconds, whatever the process does.

The seconds are those of a machine with a core for each process; where more wait for a core, all take longer.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gch.cli import PHASES
from gch.commands import COMMANDS
from gch.signals import GO_ON

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals of processes")
SECONDS = 2.0
START = """
import contextlib, hashlib, os, signal, sys, threading, time
from pathlib import Path
from gch.signals import run_stoppable
def ready():
    os.write(1, b"ready\\n")
def run():
"""
END = """
sys.exit(run_stoppable("gch", ["--bit=8", "encode"], run))
"""
DOES = {
    "one call of C that lasts": "ready(); hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "swallows every exception": """
    ready()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)
""",
    "hides standard error": "os.dup2(os.open(os.devnull, os.O_WRONLY), 2); ready(); time.sleep(60)",
    "waits for threads at its end": "threading.Thread(target=time.sleep, args=(60,)).start(); ready()",
    "waits for a reader": "ready(); print('x' * 10**7)",
    "writes a file": """
    from gch.storage import atomic_path
    with atomic_path("file.txt") as path:
        path.write_text("half")
        ready()
        time.sleep(60)
""",
    "waits for its child": """
    from gch.data.mat_file import load_mat5
    os.mkfifo("pipe")
    threading.Timer(0.3, ready).start()
    load_mat5(Path("pipe"), ["x"])
""",
    "ends in an orderly way": """
    def stop(number, frame):
        stopped = KeyboardInterrupt(" in outer epoch 3")
        stopped.number = number
        raise stopped
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    ready()
    time.sleep(60)
""",
    "raises the signal again when it has ended": """
    numbers, before = [], signal.getsignal(signal.SIGINT)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: numbers.append(number))
    ready()
    while not numbers:
        time.sleep(0.01)
    signal.signal(numbers[0], before)
    signal.raise_signal(numbers[0])
""",
    "never ends in an orderly way": """
    signal.signal(signal.SIGINT, lambda *_: ready())
    signal.signal(signal.SIGTERM, lambda *_: ready())
    ready()
    while True:
        time.sleep(0.01)
""",
}


def start(words: list[str], folder: Path, repository: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"},
    )


def signalled(process: subprocess.Popen, number: int) -> str:
    """Signals a process and its children, as a terminal does; the one line of its standard error."""
    began = time.monotonic()
    os.killpg(process.pid, number)
    status = process.wait(60)
    assert time.monotonic() - began < SECONDS * max(1, os.getloadavg()[0] / os.cpu_count())
    error = process.communicate()[1]
    assert (status, error.count("\n")) == (128 + number, 1), error
    for _ in range(250):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 0)
            time.sleep(0.02)
            continue
        return error
    pytest.fail("a child outlived it")


@pytest.mark.parametrize(("number", "by"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_whatever_it_does(tmp_path, repository, number, by):
    processes = {}
    for row, (what, body) in enumerate(DOES.items()):
        folder = tmp_path / str(row)
        folder.mkdir()
        body = body if body.startswith("\n") else f"    {body}"
        processes[what] = start(["-c", START + body + END], folder, repository)
    for what, process in processes.items():
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        if what.startswith("never"):
            process.send_signal(signal.SIGTERM)  # this is the first, the second ends it at once
            assert process.stdout.readline() == "ready\n"  # of two that wait, the lower number comes first
        where, go_on = "", "goes on after the codes that are written"
        if what.startswith("ends"):
            where, go_on = " in outer epoch 3", "goes on from there"
        line = f"gch: encode was stopped by {by}{where}; the same command {go_on}\n"
        assert signalled(process, number) == line, what


# Runs an entry point; says when it imports a module, and lets that last where `lasts`.
AT_IMPORT = """
import os, runpy, sys, time
entry, module, lasts = sys.argv[1:4]
class Moment:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.write(1, b"ready\\n")
            time.sleep(60 if lasts else 0)
sys.meta_path.insert(0, Moment())
sys.argv[:] = [entry, *sys.argv[4:]]
if entry == "gch":
    runpy.run_module(entry, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(entry, run_name="__main__")
"""


def test_the_real_commands_at_set_moments(tmp_path, repository):
    """While Python imports, while TensorFlow loads, and with a child."""
    small, entry = ["--dataset_dir=generated", "--image_size=32"], str(repository / "main_itpair.py")
    at_import, last = ["-c", AT_IMPORT], "goes on from the last checkpoint"
    rows = [
        ([*at_import, entry, "numpy", "lasts", "inspect", *small], "ready", "inspect", "starts again"),
        ([*at_import, "gch", "scipy", "lasts", "eval", "codes.mat"], "ready", "eval", "starts again"),
        ([*at_import, "gch", "keras", "", "train", *small], "ready", "train", last),
        ([*at_import, entry, "tensorflow", "", *small], "ready", "the run", last),
        (["-m", "gch", "sweep", *small], "runs/", "sweep", "goes on with the runs that are not"),
    ]
    started = []
    for number, (words, *said) in enumerate(rows):
        (tmp_path / str(number)).mkdir()
        started.append((start(words, tmp_path / str(number), repository), *said))
    for number, (process, line, what, go_on) in enumerate(started):
        while not process.stdout.readline().startswith(line):
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.2)
        said = signalled(process, [signal.SIGINT, signal.SIGTERM][number % 2])
        assert re.search(f": {what} was stopped by .*; the same command {go_on}", said)


def test_each_command_says_how_to_go_on():
    assert GO_ON.keys() == {*PHASES, *COMMANDS, "help"}
