"""The server: its answers, its refusals, and many at once."""

import dataclasses

import pytest
from served import BITS, COLOURS, NOTE, TEXTS, ColourModel, Searcher, collection, connected, refused, square

from gch.errors import DataError
from gch.serve.limits import Limits

LIMITS = Limits(body_bytes=2**19, count=50, text_characters=40, tags=3, seconds=5)
NAMES = list(COLOURS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served") / "pictures"


@pytest.fixture(scope="module")
def parts(folder):
    return collection(folder)


@pytest.fixture(scope="module")
def client(parts):
    with connected(Searcher(ColourModel(), parts), LIMITS) as client:
        yield client


def asked(client, **query):
    return client.post("/api/search/text", json=query)


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["results"]]


# Red has 8 set bits of red, orange 8 and 4 of green, white all 24, black none.
FROM_RED = [("red", 0), ("orange", 4), ("black", 8), ("green", 16), ("blue", 16), ("white", 16)]


def test_words_find_pictures(client):
    answer = asked(client, text="something red", count=4)
    assert answer.json() == {
        "find": "images",
        "bits": BITS,
        "results": [
            {
                "rank": rank,
                "distance": distance,
                "modality": "image",
                "row": NAMES.index(name),
                "id": f"{name}.png",
                "picture": f"/pictures/{NAMES.index(name)}",
            }
            for rank, (name, distance) in enumerate(FROM_RED[:4], 1)
        ],
    }


def test_words_find_texts_where_they_are_asked_for(client):
    answer = asked(client, tags=["a b", "red"], find="texts", count=1)
    expected = {"rank": 1, "distance": 0, "modality": "text", "row": 0, "id": "t0", "text": "something red"}
    assert answer.json() == {"find": "texts", "bits": BITS, "results": [expected]}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_a_picture_finds_texts(client, kind):
    answer = client.post("/api/search/picture?count=2", content=square((0, 0, 255), kind))
    assert ids(answer) == ["t3", "t5"]  # blue, then black, which is 8 bits away
    assert answer.json()["find"] == "texts"


def test_an_item_finds_those_of_the_other_modality_and_tells_itself(client):
    answer = client.get("/api/search/row?modality=image&row=3&count=1")
    assert answer.json()["query"] == {
        "modality": "image",
        "row": 3,
        "id": "blue.png",
        "picture": "/pictures/3",
    }
    assert ids(answer) == ["t3"]
    answer = client.get("/api/search/row?modality=text&row=3&count=1")
    assert answer.json()["query"] == {"modality": "text", "row": 3, "id": "t3", "text": TEXTS[3]}
    assert ids(answer) == ["blue.png"]
    assert ids(client.get("/api/search/row?modality=text&row=3&find=texts&count=2")) == ["t3", "t5"]


def test_an_item_of_a_collection_of_pictures_only_finds_pictures(folder):
    with connected(Searcher(ColourModel(), collection(folder, ("image",))), LIMITS) as client:
        assert ids(client.get("/api/search/row?modality=image&row=0&count=2")) == ["red.png", "orange.png"]
        refused(
            asked(client, text="red", find="texts"),
            404,
            "find: no texts in this collection; expected images",
        )
        refused(client.get("/api/search/row?modality=text&row=0"), 404, "no texts in this collection")
        assert "texts" not in client.get("/api/info").json()


def test_tells_what_it_serves(client):
    info = client.get("/api/info").json()
    assert info.pop("work").keys() == {"answered", "batches", "waiting"}
    assert info == {
        "dataset": "colours",
        "method": "gch",
        "bits": BITS,
        "queries": ["image", "text"],
        "images": {"items": 6, "index": "flat"},
        "texts": {"items": 6, "index": "flat"},
        "limits": {
            "count": 50,
            "text_characters": 40,
            "tags": 3,
            "body_bytes": 2**19,
            "seconds": 5.0,
        },
    }


def test_a_sample_is_spread_evenly(client):
    answer = client.get("/api/sample?find=images&count=3").json()
    assert [item["row"] for item in answer["results"]] == [0, 2, 4]
    assert len(client.get("/api/sample?find=texts").json()["results"]) == 6


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({}, "expected text or tags, one of both"),
        ({"text": "red", "tags": ["red"]}, "expected text or tags, one of both"),
        ({"text": " \n"}, "text: empty, expected words"),
        ({"text": "r" * 41}, "text: 41 characters, expected 40 at most"),
        ({"text": 5}, "text: Input should be a valid string"),
        ({"tags": []}, "tags: 0 of them, expected 1 to 3"),
        ({"tags": ["a", "b", "c", "red"]}, "tags: 4 of them, expected 1 to 3"),
        ({"tags": ["red", ""]}, "tags.1: String should have at least 1 character"),
        ({"tags": "red"}, "tags: Input should be a valid array"),
        ({"text": "red", "count": 0}, "count: Input should be greater than or equal to 1"),
        ({"text": "red", "count": 51}, "count: 51, expected 50 at most"),
        ({"text": "red", "count": "5"}, "count: Input should be a valid integer"),
        ({"text": "red", "count": 1e99}, "count: Input should be a valid integer"),
        ({"text": "red", "find": "image"}, "find: Input should be 'images' or 'texts'"),
        ({"text": "red", "limit": 5}, "limit: Extra inputs are not permitted"),
        ({"text": "whale"}, "text 'whale': no word that the model knows"),
        ({"text": "кит 鯨 🐳"}, "text 'кит 鯨 🐳': no word that the model knows"),
    ],
)
def test_a_wrong_text_query_is_told_why(client, query, reason):
    refused(asked(client, **query), 400, reason)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"text": "\xff"}', b'{"text": "\\ud800"}'])
def test_a_body_that_is_no_query_is_refused(client, body):
    answer = client.post("/api/search/text", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


def test_words_in_any_script_come_back_as_they_were(parts, client):
    assert ids(asked(client, text="🐳 鯨 red", count=1)) == ["red.png"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("row?modality=sound&row=0", "modality: Input should be 'image' or 'text'"),
        ("row?modality=image&row=-1", "row: Input should be greater than or equal to 0"),
        (
            "row?modality=image&row=x",
            "row: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("row?modality=image", "row: Field required"),
        ("row?modality=image&row=0&count=0", "count: Input should be greater than or equal to 1"),
        ("row?modality=image&row=0&count=51", "count: Input should be less than or equal to 50"),
        ("row?modality=image&row=0&find=all", "find: Input should be 'images' or 'texts'"),
    ],
)
def test_a_wrong_field_is_told(client, address, reason):
    refused(client.get(f"/api/search/{address}"), 400, reason)


@pytest.mark.parametrize("row", [6, 10**30])
def test_an_unknown_row_is_not_found(client, row):
    refused(client.get(f"/api/search/row?modality=text&row={row}"), 404, f"no text {row}; expected 0 to 5")
    refused(client.get(f"/pictures/{row}"), 404, f"no image {row}; expected 0 to 5")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "picture: empty file, expected a picture"),
        (b"not a picture", "picture: no picture that is known here"),
        (square((1, 2, 3))[:50], "picture: cannot be decoded"),
    ],
)
def test_a_broken_picture_is_told_why(client, body, reason):
    answer = client.post("/api/search/picture", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(reason)


def test_other_types_of_bodies_are_refused(client):
    answer = client.post("/api/search/text", data={"text": "red"})
    refused(answer, 415, "content-type: application/x-www-form-urlencoded, expected application/json")
    answer = client.post("/api/search/picture", files={"file": square((1, 2, 3))})
    assert answer.status_code == 415
    assert "expected the bytes of a picture file as the body" in answer.json()["error"]


def test_what_curl_calls_a_form_may_be_a_picture(client):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert ids(client.post("/api/search/picture?count=1", content=square((255, 0, 0)), headers=headers)) == [
        "t0"
    ]


def test_a_large_body_is_refused_told_or_not(client):
    reason = "the body is too large; expected 0.5 MiB at most"
    refused(client.post("/api/search/picture", content=b"x" * (2**19 + 1)), 413, reason)
    pieces = (b"x" * 2**15 for _ in range(17))
    refused(client.post("/api/search/picture", content=pieces), 413, reason)


@pytest.mark.parametrize(
    "path", ["/nothing", "/page/", "/page/nothing.js", "/api", "/docs", "/redoc", "/pictures/"]
)
def test_other_paths_are_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_other_methods_are_refused(client):
    assert client.post("/api/info").status_code == 405
    assert "error" in client.get("/api/search/text").json()


def test_a_model_without_words_refuses_them(parts):
    model = ColourModel()
    model.note = dataclasses.replace(NOTE, signatures=("encode_image", "encode_text"))
    with connected(Searcher(model, parts), LIMITS) as client:
        refused(
            asked(client, text="red"),
            404,
            "the model takes no texts; colours does not tell what it needs",
        )
        assert client.get("/api/info").json()["queries"] == ["image"]


def test_a_model_of_features_refuses_pictures(parts):
    model = ColourModel()
    model.note = dataclasses.replace(NOTE, image_size=0)
    with connected(Searcher(model, parts), LIMITS) as client:
        answer = client.post("/api/search/picture", content=square((255, 0, 0)))
        refused(answer, 404, "the model takes no images; colours does not tell what it needs")
        assert client.get("/api/info").json()["queries"] == ["text"]


def test_no_answer_tells_where_the_server_keeps_its_files(parts, tmp_path):
    searcher = Searcher(ColourModel(), parts)

    def damaged(*_):
        raise searcher.fault(f"{tmp_path}/index.items: line 3:\n not an item")

    searcher.fault, searcher.by_texts = DataError, damaged
    with connected(searcher, LIMITS, hidden=[tmp_path]) as client:
        refused(asked(client, text="red"), 400, f"{tmp_path.name}/index.items: line 3: not an item")
        searcher.fault = ZeroDivisionError
        refused(asked(client, text="red"), 500, "the server failed; its log says why")
