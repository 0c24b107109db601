"""serve: its words, its address, its end."""

import importlib.util
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx
import pytest
from served import colours

from gch.commands import run_command
from gch.errors import RunError
from gch.search import exported, index, model_note
from gch.serve import server
from gch.serve.limits import Limits

MODEL, INDEX = "models/mine", "indexes/mine"


def run(*words, **options):
    run_command("serve", list(words), {"port": 0, **options}, None)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = 'fastapi and uvicorn not installed; expected pip install "gch[serve]"'
    with pytest.raises(RunError, match=re.escape(reason)):
        run(MODEL, INDEX)


def test_a_port_in_use_is_found_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr(exported, "ExportedModel", lambda model: pytest.fail("loaded"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=f"--host=127.0.0.1 --port={port}: Address already in use; exp"):
            run(MODEL, INDEX, port=port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(RunError, match=f"--host={host} --port=0: .*expected an address of this machine"):
        server.listen(host, 0)


def test_addresses_that_only_this_machine_reaches():
    assert all(map(server.is_local, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(server.is_local, ("0.0.0.0", "::", "192.0.2.1", "search.example")))


def test_loads_what_unknown_words_need_and_warns_when_others_can_reach_it(monkeypatch, capsys, tmp_path):
    calls, asked, searcher = [], [], colours(tmp_path / "pictures")
    searcher.model.nearest_words = asked.append
    monkeypatch.setattr(exported, "ExportedModel", lambda model: searcher.model)
    monkeypatch.setattr(model_note, "read_model_note", lambda model: searcher.model.note)
    monkeypatch.setattr(index, "open_index", lambda path: searcher.index)
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    for host in ("127.0.0.1", "0.0.0.0"):
        run(MODEL, INDEX, host=host, max_megabytes=100, timeout_s=7, queue=5, batch=3)
    output, error = capsys.readouterr()
    assert f"{INDEX}: 6 images and 6 texts, codes of 24 bits by GCH trained on colours\n" in output
    assert (error.count("it has no password"), asked) == (1, ["word", "word"])
    found, limits, _, host, hidden = calls[1]
    assert (found.index, host, hidden) == (searcher.index, "0.0.0.0", (Path(MODEL), Path(INDEX)))
    sizes = {"body_bytes": 100 * 2**20, "total_body_bytes": 400 * 2**20}
    assert limits == Limits(**sizes, seconds=7.0, queue=5, batch=3)


def test_ctrl_c_answers_what_is_in_work_refuses_what_waits_and_ends(tmp_path, capsys):
    searcher, statuses = colours(tmp_path / "pictures"), []
    searcher.model.may.clear()

    def press_ctrl_c(address):
        with ThreadPoolExecutor() as pool:
            query = {"json": {"text": "red"}, "timeout": 30}
            sent = [pool.submit(httpx.post, f"{address}/api/search/text", **query) for _ in range(4)]
            try:
                while httpx.get(f"{address}/api/info").json()["work"]["waiting"] < 3:
                    pass
            finally:
                signal.raise_signal(signal.SIGINT)
            for answer in as_completed(sent):
                statuses.append(answer.result().status_code)
                if len(statuses) == 3:
                    searcher.model.may.set()

    with server.listen("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        user = threading.Thread(target=press_ctrl_c, args=(address,))
        user.start()
        server.serve(searcher, Limits(batch=1), listener, "127.0.0.1", ())
        user.join()
    assert statuses == [503, 503, 503, 200]
    assert capsys.readouterr() == (f"{address} (Ctrl-C to stop)\n", "")
