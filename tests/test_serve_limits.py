"""The server under many requests, slow clients and large bodies."""

import asyncio
import contextlib
import dataclasses
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import numpy as np
import pytest
from coded import nearest
from served import CODES, NOTE, ColourModel, code, colours, refused, served, square
from starlette.requests import ClientDisconnect

from gch.serve.limits import Limits, Workers


@pytest.mark.anyio
async def test_each_of_many_requests_at_once_gets_its_own_answer(folder):
    model = ColourModel(seconds=0.01)
    tints = np.random.default_rng(0).integers(0, 256, (60, 3))

    async def answer_to(client, number):
        if number % 4 < 2:  # A text without known words fails alone in its batch.
            text = "whale" if number % 4 == 0 else "#" + bytes(tints[number].tolist()).hex()
            answer = await client.post("/api/search/text", json={"text": text, "ranking": "hamming"})
        else:
            content = square(tints[number]) if number % 4 == 2 else b"broken"
            answer = await client.post("/api/search/picture?find=images&ranking=hamming", content=content)
        if answer.status_code != 200:
            return answer.status_code
        return [(item["row"], item["distance"]) for item in answer.json()["results"]]

    with served(colours(folder, model), Limits(batch=16)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            answers = await asyncio.gather(*(answer_to(client, number) for number in range(60)))
            work = (await client.get("/api/info")).json()["work"]
    rows, distances = nearest(CODES, np.stack([code(tint) for tint in tints]), 6)
    for number, answer in enumerate(answers):
        found = list(zip(rows[number], distances[number], strict=True))
        assert answer == (400 if number % 4 in (0, 3) else found), number
    assert work["answered"] == 45
    assert work["waiting"] == 0
    assert 1 < max(model.batches) <= 16


def search(address, **content):
    if not content:
        return httpx.post(f"{address}/api/search/text", json={"text": "red"})
    return httpx.post(f"{address}/api/search/picture", **content)


def at_once(number, address, model, refusals=0, **content):
    """The answers to several requests, of which the model sees some only after the others were refused."""
    model.may.clear()
    with ThreadPoolExecutor(number) as pool:
        try:
            sent = as_completed([pool.submit(search, address, **content) for _ in range(number)])
            answers = [next(sent).result() for _ in range(refusals)]
        finally:
            model.may.set()
        return answers + [one.result() for one in sent]


def test_a_model_whose_codes_depend_on_their_batch_gets_queries_one_by_one(folder):
    model = ColourModel(note=dataclasses.replace(NOTE, encoding_batch=8))
    with served(colours(folder, model)) as address:
        answers = at_once(6, address, model)
    assert [answer.status_code for answer in answers] == [200] * 6
    assert model.batches == [1] * 6


def test_a_full_queue_refuses_and_the_others_are_answered(folder):
    model = ColourModel()
    with served(colours(folder, model), Limits(queue=2, batch=1)) as address:
        full, *answers = at_once(8, address, model, refusals=5)
    assert [answer.status_code for answer in answers] == [503] * 4 + [200] * 3
    assert full.headers["retry-after"] == "1"
    refused(full, 503, "too many requests wait; try again")


def test_bodies_in_memory_are_bounded(folder):
    limits = Limits(body_bytes=100_000, total_body_bytes=250_000)
    model = ColourModel()
    with served(colours(folder, model), limits) as address:
        body = square((255, 0, 0)) + bytes(99_000)
        answers = at_once(2, address, model, refusals=1, content=body)
        assert [answer.status_code for answer in answers] == [503, 200]
        assert search(address, content=body).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(folder):
    model = ColourModel()
    with served(colours(folder, model), Limits(seconds=0.1)) as address:
        (late,) = at_once(1, address, model, refusals=1)
        refused(late, 504, "no answer within 0.1 s")
        assert httpx.get(f"{address}/api/search/row?modality=image&row=0").status_code == 200


@contextlib.contextmanager
def connections(address, number, content=b""):
    """Connections to a server, each of which sent something."""
    with contextlib.ExitStack() as stack:
        made = [socket.create_connection(place(address), timeout=30) for _ in range(number)]
        for connection in made:
            stack.enter_context(connection).sendall(content)
        yield made


def place(address):
    return address.removeprefix("http://").split(":")


def test_large_bodies_leave_room_for_small_ones(folder):
    limits = Limits(body_bytes=100_000, total_body_bytes=180_050)  # room for two
    stalled = head("POST /api/search/picture", 100_000) + bytes(90_000)
    with served(colours(folder), limits) as address, connections(address, 2, stalled):
        time.sleep(0.2)
        assert search(address, content=square((255, 0, 0))).status_code == 200


CHUNKS = """
import socket, struct, sys
connection = socket.create_connection((sys.argv[1], sys.argv[2]))
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end is a reset
head = "POST /api/search/picture HTTP/1.1", "host: 127.0.0.1", "transfer-encoding: chunked", "", ""
connection.sendall("\\r\\n".join(head).encode())
print("connected", flush=True)
while True:
    connection.sendall(b"1\\r\\nx\\r\\n" * 10_000)
"""


def test_chunks_of_a_byte_keep_nobody_waiting(folder):
    # In a process of its own the client never waits for the server's interpreter.
    with served(colours(folder)) as address:
        command = [sys.executable, "-c", CHUNKS, *place(address)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            client.stdout.readline()
            try:
                seconds = []
                for _ in range(3):
                    start = time.perf_counter()
                    assert search(address).status_code == 200
                    seconds.append(time.perf_counter() - start)
                assert min(seconds) < 1  # other programs may slow down some
            finally:
                client.kill()


@pytest.mark.parametrize("path", ["sample?find=images", "search/row?modality=image&row=0&find=images"])
def test_items_are_read_beside_the_event_loop(folder, path):
    searcher, reads, may = colours(folder), threading.Event(), threading.Event()
    part = searcher.index.parts["image"]

    def read_items(rows):
        reads.set()
        assert may.wait(10)
        return part.read_items(rows)

    searcher.index.parts["image"] = dataclasses.replace(part, read_items=read_items)
    with served(searcher) as address, ThreadPoolExecutor() as pool:
        reading = pool.submit(httpx.get, f"{address}/api/{path}", timeout=30)
        try:
            assert reads.wait(10)
            assert httpx.get(f"{address}/api/info", timeout=30).status_code == 200
        finally:
            may.set()
        assert reading.result().json()["results"][0]["id"] == "red.png"


def test_pipelined_requests_are_answered_in_order(folder):
    with served(colours(folder)) as address:
        requests = b"".join(head(f"GET /api/sample?find=texts&count={count}") for count in (1, 2, 3, 4))
        with connections(address, 1, requests + head("GET /no")) as (connection,):
            answers = until(connection, b"Not Found")
    assert [answer.count(b'"id"') for answer in answers.split(b"HTTP/1.1 200 OK")] == [0, 1, 2, 3, 4]


def test_of_too_many_connections_the_idlest_is_closed(folder):
    limits = Limits(connections=5)
    with served(colours(folder), limits) as address, httpx.Client(base_url=address) as client:
        client.get("/api/info")
        for begun in (b"", b"GET / HTTP", head("POST /api/search/picture", 9) + b"x"):
            with connections(address, 8, begun) as made:
                assert client.get("/api/info").status_code == 200
                assert [connection_end(connection) for connection in made[:3]] == [b""] * 3


def connection_end(connection):
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


class Requesting:
    """A request whose client may have left."""

    def __init__(self, left=False):
        self.left = left

    async def is_disconnected(self):
        return self.left


@pytest.mark.anyio
async def test_small_pictures_do_not_wait_for_large_ones_which_wait_for_each_other():
    may, workers = threading.Event(), Workers(queue=2)
    others, here = workers.beside(), Requesting()
    first = asyncio.create_task(workers.run(here, 2**27, may.wait, 10))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(others.run(here, 2**26, int))
    left = asyncio.create_task(workers.run(Requesting(left=True), 2**26, pytest.fail))
    await asyncio.sleep(0.05)
    with pytest.raises(asyncio.QueueFull):
        await workers.run(here, 2**26, int)
    assert await asyncio.gather(workers.run(here, 2**22, int), workers.run(here, 2**25, int)) == [0, 0]
    assert not second.done()
    may.set()
    with pytest.raises(ClientDisconnect):
        await left
    assert await asyncio.gather(first, second) == [True, 0]


@pytest.fixture(scope="module")
def impatient(folder):
    limits = Limits(seconds=0.2, head_seconds=0.2, body_bytes=100_000)
    with served(colours(folder), limits) as address:
        yield place(address)


@pytest.fixture
def connection(impatient):
    with socket.create_connection(impatient, timeout=30) as connection:
        yield connection


def until(connection, end):
    """What comes, up to the bytes that end it."""
    content = b""
    while end not in content:
        piece = connection.recv(4096)
        assert piece, content
        content += piece
    return content


def head(request, length=None):
    lines = [f"{request} HTTP/1.1", "host: 127.0.0.1", *([f"content-length: {length}"] if length else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def test_what_is_not_http_gets_its_reason_too(connection):
    connection.sendall("GET /api/sample?find=imágenes HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    answer = until(connection, b"}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'\r\n\r\n{"error":"not a valid request; expected HTTP/1.1 with one Host, and ' in answer
    assert connection.recv(1) == b""


def test_a_body_that_comes_too_slowly_is_given_up(connection):
    connection.sendall(head("POST /api/search/picture", 9) + b"abc")
    assert b"the body did not come within 0.2 s" in until(connection, b"}")


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_head_that_never_ends_is_given_up(connection, earlier):
    for _ in range(earlier):
        connection.sendall(head("GET /api/info"))
        assert b"200 OK" in until(connection, b"}}")
    connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0")
    assert connection.recv(4096) == b""


def test_a_client_that_does_not_read_is_given_up(impatient, folder):
    size = 2**25  # more than the sockets hold
    with open(folder / "red.png", "ab") as file:
        file.truncate(size)
    for patience in (0.6, 5):  # longer where other programs keep the server waiting
        with socket.create_connection(impatient, timeout=30) as connection:
            connection.sendall(head("GET /pictures/0"))
            time.sleep(patience)
            received = sum(iter(lambda: len(connection.recv(2**20)), 0))
        if 0 < received < size:
            return
    pytest.fail(f"{received} bytes of {size} were sent")


def test_a_large_body_that_is_still_sent_gets_its_answer(connection):
    connection.sendall(head("POST /api/search/picture", 900_000))
    assert b"413" in until(connection, b"}").split(b"\r\n")[0]
    connection.sendall(bytes(900_000))  # The connection is not reset meanwhile.
    assert connection.recv(4096) == b""
