"""serve, as a command and as a process: its words, its address, its end."""

import importlib.util
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from gch.commands.catalog import Call

from gch.commands import serve as command
from gch.errors import RunError, SettingError
from gch.serve.limits import Limits
from gch.serve.server import is_local, listen

OPTIONS = {"host": "127.0.0.1", "port": 0, "batch": 32, "queue": 256, "max_megabytes": 16, "timeout_s": 30}
MODEL, INDEX = "models/mine", "indexes/mine"


def call(*words, **options):
    return Call(list(words), OPTIONS | options, {}, None)


@pytest.mark.parametrize("words", [(), (MODEL,), (MODEL, INDEX, "more")])
def test_takes_a_model_and_an_index(words):
    with pytest.raises(SettingError, match=f"{len(words)} folders given; expected two, MODEL and INDEX"):
        command.run(call(*words))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"port": 65536}, "--port=65536: expected 0 to 65535"),
        ({"port": -1}, "--port=-1: expected 0 to 65535"),
        ({"batch": 0}, "--batch=0: expected 1 or more"),
        ({"queue": 0}, "--queue=0: expected 1 or more"),
        ({"max_megabytes": 0}, "--max_megabytes=0: expected 1 or more"),
        ({"timeout_s": -3}, "--timeout_s=-3: expected 1 or more"),
    ],
)
def test_an_option_out_of_range_is_refused(options, reason):
    with pytest.raises(SettingError, match=re.escape(reason)):
        command.run(call(MODEL, INDEX, **options))


def test_tells_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RunError, match=r"fastapi and uvicorn not installed; expected pip install -e '\.\[serve\]'"
    ):
        command.run(call(MODEL, INDEX))


def test_a_port_in_use_is_told_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr(command, "_searcher", lambda *_: pytest.fail("loaded"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=f"--host=127.0.0.1 --port={port}: Address already in use"):
            command.run(call(MODEL, INDEX, port=port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(RunError, match=f"--host={host} --port=0: .*expected an address of this machine"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("search.example", False),
    ],
)
def test_knows_addresses_that_only_this_machine_reaches(host, local):
    assert is_local(host) is local


def test_warns_where_others_can_reach_it(monkeypatch, capsys):
    served = []
    monkeypatch.setattr(command, "_searcher", lambda *_: "searcher")
    monkeypatch.setattr("gch.serve.server.serve", lambda *given: served.append(given))
    for host in ("127.0.0.1", "0.0.0.0"):
        command.run(call(MODEL, INDEX, host=host, max_megabytes=100, timeout_s=7, queue=5, batch=3))
    error = capsys.readouterr().err
    assert error.count("there is no password") == 1
    searcher, limits, _, host, hidden = served[1]
    assert (searcher, host, hidden) == ("searcher", "0.0.0.0", (Path(MODEL), Path(INDEX)))
    mebibytes = 2**20
    assert limits == Limits(
        body_bytes=100 * mebibytes, held_bytes=400 * mebibytes, seconds=7.0, queue=5, batch=3
    )


@pytest.fixture
def process(repository, tmp_path):
    """Starts the colours' server as a process: with how slow a model, and how many in a batch."""
    started = []

    def start(seconds=0.0, batch=32):
        arguments = [str(tmp_path / "pictures"), "0", str(seconds), str(batch)]
        process = subprocess.Popen(
            [sys.executable, repository / "tests" / "served.py", *arguments],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, re.match(r"(http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)", process.stdout.readline())[
            1
        ]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_answers_what_is_at_work_refuses_what_waits_and_ends(process):
    server, address = process(seconds=0.5, batch=1)
    statuses = []

    def ask():
        statuses.append(httpx.post(f"{address}/api/search/text", json={"text": "red"}).status_code)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    while httpx.get(f"{address}/api/info").json()["work"]["waiting"] < 3:
        pass
    server.send_signal(signal.SIGINT)
    for asker in askers:
        asker.join()
    assert sorted(statuses) == [200, 503, 503, 503]
    output, error = server.communicate(timeout=10)
    assert (server.returncode, output, error) == (0, "", "")
