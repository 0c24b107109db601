"""The server under many requests, slow clients and large bodies."""

import asyncio
import dataclasses
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from served import ColourModel, Searcher, code, collection, distances, refused, served, square

from gch.serve.limits import Limits


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return collection(tmp_path_factory.mktemp("served") / "pictures")


def test_each_of_many_requests_at_once_gets_its_own_answer(parts):
    model = ColourModel(seconds=0.01)
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (200, 3))
    codes = parts["image"].codes

    def nearest(colour):
        away = distances(codes, code(colour))
        return [(row, away[row]) for row in np.argsort(away, kind="stable")]

    async def answer_to(client, number):
        if number % 4 == 3:
            answer = await client.post("/api/search/picture", content=b"broken")
            return answer.status_code
        if number % 4 == 2:
            content = square(colours[number])
            answer = await client.post("/api/search/picture?find=images", content=content)
        else:
            text = "#" + bytes(colours[number].tolist()).hex()
            answer = await client.post("/api/search/text", json={"text": text})
        return [(item["row"], item["distance"]) for item in answer.json()["results"]]

    async def scene(address):
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:
            answers = await asyncio.gather(*(answer_to(client, number) for number in range(200)))
            return answers, (await client.get("/api/info")).json()["work"]

    with served(Searcher(model, parts), Limits(batch=16)) as address:
        answers, work = asyncio.run(scene(address))
    for number, answer in enumerate(answers):
        assert answer == (400 if number % 4 == 3 else nearest(colours[number])), number
    assert work["answered"] == 150
    assert work["waiting"] == 0
    assert 1 < max(model.batches) <= 16
    assert sum(model.batches) == 150


def test_a_model_whose_codes_depend_on_their_company_is_asked_one_by_one(parts):
    model = ColourModel(seconds=0.02)
    model.note = dataclasses.replace(model.note, encoding_batch=8)
    with served(Searcher(model, parts)) as address, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(address), range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert model.batches == [1] * 6


def ask(address, **content):
    if not content:
        return httpx.post(f"{address}/api/search/text", json={"text": "red"})
    return httpx.post(f"{address}/api/search/picture", **content)


def test_a_full_queue_sends_away_and_the_others_are_answered(parts):
    searcher = Searcher(ColourModel(seconds=0.2), parts)
    with served(searcher, Limits(queue=2, batch=1)) as address, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(address), range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) >= 3
    assert statuses == [200] * statuses.count(200) + [503] * statuses.count(503)
    assert 503 in statuses
    full = next(answer for answer in answers if answer.status_code == 503)
    assert full.headers["retry-after"] == "1"
    assert full.json() == {"error": "too many requests wait; try again"}


def test_bodies_that_are_held_at_once_are_bounded(parts):
    limits = Limits(body_bytes=100_000, held_bytes=150_000)
    with served(Searcher(ColourModel(seconds=0.3), parts), limits) as address:
        body = square((255, 0, 0)) + bytes(99_000)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: ask(address, content=body), range(2)))
        assert sorted(answer.status_code for answer in answers) == [200, 503]
        assert ask(address, content=body).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(parts):
    with served(Searcher(ColourModel(seconds=0.4), parts), Limits(seconds=0.1)) as address:
        refused(ask(address), 504, "no answer within 0.1 s")
        time.sleep(0.4)
        assert httpx.get(f"{address}/api/search/row?modality=image&row=0").status_code == 200


@pytest.fixture(scope="module")
def impatient(parts):
    limits = Limits(seconds=0.2, head_seconds=0.2, body_bytes=100_000)
    with served(Searcher(ColourModel(), parts), limits) as address:
        host, port = address.removeprefix("http://").split(":")
        yield host, int(port)


def until(connection, end):
    """What comes, up to the bytes that end it."""
    content = b""
    while end not in content:
        piece = connection.recv(4096)
        assert piece, content
        content += piece
    return content


def test_a_body_that_comes_too_slowly_is_given_up(impatient):
    with socket.create_connection(impatient) as connection:
        connection.sendall(
            b"POST /api/search/picture HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\nabc"
        )
        assert b"408" in connection.recv(4096).split(b"\r\n")[0]


def test_a_head_that_never_ends_is_given_up(impatient):
    with socket.create_connection(impatient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0")
        assert connection.recv(4096) == b""
    with socket.create_connection(impatient) as connection:
        connection.sendall(b"GET /api/info HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in until(connection, b"}}")
        connection.sendall(b"GET")
        connection.settimeout(5)
        assert connection.recv(4096) == b""


def test_a_large_body_that_is_still_sent_gets_its_answer(impatient):
    with socket.create_connection(impatient) as connection:
        connection.sendall(
            b"POST /api/search/picture HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 900000\r\n\r\n"
        )
        assert b"413" in until(connection, b"}").split(b"\r\n")[0]
        connection.sendall(bytes(900_000))  # The connection is not reset meanwhile.
        assert connection.recv(4096) == b""


def test_what_is_no_request_is_refused(impatient):
    with socket.create_connection(impatient) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        assert b"400" in connection.recv(4096).split(b"\r\n")[0]
