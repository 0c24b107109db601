"""The API: what it finds, what it refuses and why."""

import dataclasses
import json

import numpy as np
import pytest
from served import (
    BITS,
    COLOURS,
    NAMES,
    NOTE,
    PAIR_NOTE,
    ColourModel,
    code,
    colours,
    connected,
    refused,
    relaxed_code,
    square,
)

from gch.errors import DataError
from gch.search.collection_index import Source
from gch.serve.limits import Limits

LIMITS = Limits(body_bytes=2**19, count=50, text_characters=40, tags=3, pixels=5000, seconds=5)


@pytest.fixture(scope="module")
def client(folder):
    with connected(colours(folder), LIMITS) as client:
        yield client


def search(client, **query):
    return client.post("/api/search/text", json=query)


def scored(colour, name):
    """The asymmetric distance of a result by hand."""
    signs = np.where(np.unpackbits(code(COLOURS[name])) > 0, 1.0, -1.0)
    return {"score": float(((1 - relaxed_code(colour).astype(np.float64) * signs) / 2).sum().round(9))}


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["results"]]


def test_an_answer_says_which_known_words_were_searched_for(folder):
    class Model(ColourModel):
        def query_outputs(self, texts, pictures=None, tell=None, refuse=None):
            for text in texts:
                if text == "scarlet":
                    tell(text, "searching for red")
            return super().query_outputs(["red" if text == "scarlet" else text for text in texts])

    with connected(colours(folder, Model()), LIMITS) as client:
        answer, known = search(client, text="scarlet"), search(client, text="red")
    assert answer.json()["note"] == "searching for red"
    assert "note" not in known.json()
    assert ids(answer) == ids(known)


def test_words_find_pictures(client):
    # Red has 8 set bits of red, orange 8 and 4 of green, black none.
    expected = [("red", 0), ("orange", 4), ("black", 8), ("green", 16)]
    assert search(client, text="something red", count=4).json() == {
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
            | scored(COLOURS["red"], name)
            for rank, (name, distance) in enumerate(expected, 1)
        ],
    }


def test_images_of_vectors_without_names_have_no_picture(folder):
    searcher = colours(folder)
    images = dataclasses.replace(searcher.index.parts["image"], sources=[Source("", len(NAMES))])
    searcher.index.parts["image"] = images
    with connected(searcher) as client:
        (found,) = search(client, text="red", count=1).json()["results"]
        assert (found["id"], "picture" in found) == ("red.png", False)


def test_tags_find_texts(client):
    answer = search(client, tags=["a b", "red"], find="texts", count=1)
    expected = {"rank": 1, "distance": 0, "modality": "text", "row": 0, "id": "t0", "text": "something red"}
    expected |= scored(COLOURS["red"], "red")
    assert answer.json() == {"find": "texts", "bits": BITS, "results": [expected]}
    hamming = search(client, tags=["a b", "red"], find="texts", count=1, ranking="hamming").json()
    assert hamming["results"] == [{name: value for name, value in expected.items() if name != "score"}]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_a_picture_finds_texts(client, kind):
    curl = {"content-type": "application/x-www-form-urlencoded"}  # of --data-binary
    answer = client.post("/api/search/picture?count=2", content=square((0, 0, 255), kind), headers=curl)
    assert ids(answer) == ["t3", "t5"]  # blue, then black, which is 8 bits away
    assert answer.json()["find"] == "texts"


def test_an_item_finds_those_of_the_other_modality(client):
    answer = client.get("/api/search/row?modality=image&row=3&count=1")
    expected = {"modality": "image", "row": 3, "id": "blue.png", "picture": "/pictures/3"}
    assert answer.json()["query"] == expected
    assert ids(answer) == ["t3"]
    answer = client.get("/api/search/row?modality=text&row=3&find=texts&count=2")
    assert answer.json()["query"] == {"modality": "text", "row": 3, "id": "t3", "text": "something blue"}
    assert ids(answer) == ["t3", "t5"]


BOUNDS = ["count", "text_characters", "tags", "body_bytes", "query_bytes", "pixels", "side", "seconds"]


def test_info(client):
    info = client.get("/api/info").json()
    assert info.pop("work").keys() == {"answered", "batches", "waiting"}
    assert info == {
        "dataset": "colours",
        "method": "gch",
        "bits": BITS,
        "queries": ["image", "text"],
        "images": {"items": 6, "index": "flat"},
        "texts": {"items": 6, "index": "flat"},
        "limits": {name: getattr(LIMITS, name) for name in BOUNDS},
    }


def test_a_sample_is_spread_evenly(client):
    answer = client.get("/api/sample?find=images&count=3").json()
    assert [item["row"] for item in answer["results"]] == [0, 2, 4]
    assert len(client.get("/api/sample?find=texts").json()["results"]) == 6


def post(name, body, kind):
    headers = {"content-type": kind}
    return {"method": "POST", "url": f"/api/search/{name}", "content": body, "headers": headers}


def text(body=None, kind="application/json", **query):
    return post("text", json.dumps(query) if body is None else body, kind)


def picture(body, kind="image/png"):
    return post("picture", body, kind)


def get(path):
    return {"method": "GET", "url": path}


def row(fields):
    return get(f"/api/search/row?{fields}")


TOO_LARGE = "the body is too large; expected at most 0.5 MiB"
OTHER_PATHS = ("/x", "/page/", "/page/x.js", "/api", "/docs", "/redoc")


@pytest.mark.parametrize(
    ("wrong", "status", "reason"),
    [
        (text(), 400, "expected either text or tags"),
        (text(text=" \n"), 400, "text: empty, expected words"),
        (text(text="r" * 41), 400, "text: 41 characters, expected at most 40"),
        (text(text=5), 400, "text: Input should be a valid string"),
        (text(tags=["a", "b", "c", "red"]), 400, "tags: 4 of them, expected 1 to 3"),
        (text(tags=["red", ""]), 400, "tags.1: String should have at least 1 character"),
        (text(text="red", count=0), 400, "count: Input should be greater than or equal to 1"),
        (text(text="red", count=51), 400, "count: 51, expected at most 50"),
        (text(text="red", find="image"), 400, "find: Input should be 'images', 'texts' or 'pairs'"),
        (text(text="red", limit=5), 400, "limit: Extra inputs are not permitted"),
        (text(text="кит 鯨 🐳"), 400, "text 'кит 鯨 🐳': none of its words is known to the model"),
        (text(b""), 400, "Invalid JSON: EOF"),
        (text(b"[]"), 400, "Input should be an object"),
        (text(b'{"text": "\\ud800"}'), 400, "Invalid JSON: "),
        (text(b'{"text": "red"}'.ljust(1665)), 413, "the body is too large; expected at most 1664 bytes"),
        (text(b'{"tags": [' + b"1," * 800 + b"1]}"), 400, "tags.0: Input should be a valid string"),
        (text(kind="text/plain"), 415, "content-type: text/plain, expected application/json"),
        (picture(b"not a picture"), 400, "picture: not a picture of a known format"),
        (picture(square((1, 2, 3))[:50]), 400, "picture: cannot be decoded"),
        (picture(square((1, 2, 3), "PNG", 71)), 400, "picture: 5041 pixels to decode, expected at most 5000"),
        (
            picture(square((1, 2, 3), "WEBP", 51)),
            400,
            "picture: 5202 pixels to decode, expected at most 5000",
        ),
        (picture(b"", "multipart/form-data"), 415, "content-type: multipart/form-data, expected the bytes"),
        (picture(b"x" * (2**19 + 1)), 413, TOO_LARGE),
        (picture(b"x" * 2**15 for _ in range(17)), 413, TOO_LARGE),
        (row("modality=sound&row=0"), 400, "modality: Input should be 'image', 'text' or 'pair'"),
        (text(text="red", ranking="x"), 400, "ranking: Input should be 'asymmetric' or 'hamming'"),
        (row("modality=pair&row=0"), 404, "no pairs in this collection"),
        (get("/pictures/pair/0"), 404, "no pairs in this collection"),
        (row("modality=image"), 400, "row: Field required"),
        (row("modality=image&row=0&count=51"), 400, "count: Input should be less than or equal to 50"),
        (row("modality=text&row=6"), 404, "no text 6; expected 0 to 5"),
        (get(f"/pictures/{10**30}"), 404, f"no image {10**30}; expected 0 to 5"),
        (get("/api/search/text"), 405, "Method Not Allowed"),
        *((get(path), 404, "Not Found") for path in OTHER_PATHS),
    ],
)
def test_refusals(client, wrong, status, reason):
    answer = client.request(**wrong)
    assert (answer.status_code, answer.json().keys()) == (status, {"error"})
    assert answer.json()["error"].startswith(reason)
    assert "\n" not in answer.json()["error"]


def test_an_index_of_pairs_answers_words_a_picture_or_both(folder):
    model = ColourModel(note=PAIR_NOTE)
    both = "/api/search/picture?text=something+black&count=1"
    with connected(colours(folder, model, ("pair",)), LIMITS) as client:
        info = client.get("/api/info").json()
        assert (info["queries"], info["pairs"]) == (["image", "text", "pair"], {"items": 6, "index": "flat"})
        expected = {"modality": "pair", "row": 0, "id": "red.png", "text": "something red"}
        expected |= {"picture": "/pictures/pair/0"}
        assert client.get("/api/search/row?modality=pair&row=0&count=1").json() == {
            "find": "pairs",
            "bits": BITS,
            "query": expected,
            "results": [expected | {"rank": 1, "distance": 0}],
        }
        found = search(client, text="red", count=1).json()
        assert found["results"] == [expected | {"rank": 1, "distance": 0} | scored(COLOURS["red"], "red")]
        blue = client.post("/api/search/picture?count=2", content=square((0, 0, 255)))
        assert ids(blue) == ["blue.png", "black.png"]
        found = client.post(both, content=square((255, 128, 0))).json()
        dark = (127.5, 64, 0)
        nearest = min(COLOURS, key=lambda name: scored(dark, name)["score"])
        assert found["results"][0]["id"] == f"{nearest}.png"
        assert {"score": found["results"][0]["score"]} == scored(dark, nearest)
        hamming = client.post(f"{both}&ranking=hamming", content=square((255, 128, 0))).json()
        assert "score" not in hamming["results"][0]
        assert client.get("/pictures/pair/0").content == (folder / "red.png").read_bytes()
        assert client.get("/pictures/pair/0?size=160").headers["content-type"] == "image/webp"
        assert client.get("/api/sample?find=pairs&count=1").json()["results"] == [expected]
        (folder / "red.png").rename(folder / "gone.png")
        found = search(client, text="red", count=1).json()["results"][0]
        assert (found["text"], "picture" in found) == ("something red", False)
        assert client.get("/pictures/pair/0").status_code == 404
        (folder / "gone.png").rename(folder / "red.png")
        refused(client.get("/pictures/0"), 404, "no images in this collection")
        reason = "find: no images in this collection; expected pairs"
        refused(search(client, text="red", find="images"), 404, reason)
        for text, why in (
            ("%20", "text: empty, expected words"),
            ("r" * 41, "text: 41 characters, expected at most 40"),
            ("whale", "text 'whale': none of its words is known to the model"),
        ):
            refused(client.post(f"/api/search/picture?text={text}", content=square((1, 2, 3))), 400, why)
        parameters = client.get("/openapi.json").json()["paths"]["/api/search/picture"]["post"]["parameters"]
        schema = {one["name"]: one["schema"] for one in parameters}["text"]
        assert (schema["minLength"], schema["maxLength"]) == (1, LIMITS.text_characters)
    with connected(colours(folder, model), LIMITS) as client:  # an index of pictures and texts, too
        found = client.post(both, content=square((255, 128, 0))).json()
        assert (found["find"], found["results"][0]["id"]) == ("images", f"{nearest}.png")
    with connected(colours(folder, modalities=("pair",)), LIMITS) as client:
        reason = "the model takes no pairs; expected a search by image or text or row"
        refused(client.post(both, content=square((255, 128, 0))), 404, reason)


@pytest.mark.parametrize(
    ("changes", "lacks", "takes"),
    [({"signatures": ("encode_image",)}, "text", "image"), ({"image_size": 0}, "image", "text")],
)
def test_a_model_without_words_or_pictures_refuses_them(folder, changes, lacks, takes):
    model = ColourModel(note=dataclasses.replace(NOTE, **changes))
    with connected(colours(folder, model), LIMITS) as client:
        answers = {
            "text": search(client, text="red"),
            "image": client.post("/api/search/picture", content=square((255, 0, 0))),
        }
        reason = f"the model takes no {lacks}s; expected a search by {takes} or row"
        refused(answers[lacks], 404, reason)
        assert answers[takes].status_code == 200
        assert client.get("/api/info").json()["queries"] == [takes]


def test_no_answer_shows_where_the_server_keeps_its_files(folder, tmp_path, monkeypatch):
    searcher = colours(folder)
    with connected(searcher, LIMITS, hidden=[tmp_path]) as client:
        for fault, status, reason in (
            (DataError, 400, f"{tmp_path.name}/index.items: line 3: not an item"),
            (ZeroDivisionError, 500, "the server failed; its log says why"),
        ):

            def damaged(*_, fault=fault, **__):
                raise fault(f"{tmp_path}/index.items: line 3:\n not an item")

            monkeypatch.setattr(searcher, "search", damaged)
            refused(search(client, text="red"), status, reason)


def test_names_and_texts_that_are_not_utf8_are_answered(tmp_path):
    odd = [{"id": f"caf\udce9 {name}.png"} for name in COLOURS]
    texts = [{"id": f"\ud83d{name}", "text": f"\udfff {name}"} for name in COLOURS]
    with connected(colours(tmp_path, image=odd, text=texts)) as client:
        for find, results in (("images", odd), ("texts", texts)):
            expected = {field: value for field, value in results[0].items()}
            sample = client.get("/api/sample", params={"find": find}).json()["results"][0]
            found = search(client, text="red", find=find).json()["results"][0]
            for one in (sample, found):
                assert {field: one[field] for field in expected} == {
                    field: "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in value)
                    for field, value in expected.items()
                }


@pytest.mark.parametrize(
    "path", ["/", "/api/info", "/pictures/0", "/pictures/0?size=160", "/openapi.json", "/no"]
)
def test_head_is_answered_as_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.head("/api/search/text").status_code == 405


def test_openapi_states_the_bounds_of_a_query(folder):
    limits = Limits(count=30, tags=3, text_characters=12)
    with connected(colours(folder), limits) as client:
        paths = client.get("/openapi.json").json()["paths"]
        schema = paths["/api/search/text"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        fields = schema["properties"]
        texts, tags = (fields[name]["anyOf"][0] for name in ("text", "tags"))
        assert [one["required"] for one in schema["oneOf"]] == [["text"], ["tags"]]
        for query, bounds in (
            ({"text": "red", "count": int(fields["count"]["maximum"])}, {"count": 31}),
            ({"text": "red".ljust(texts["maxLength"])}, {"text": "red".ljust(13)}),
            ({"tags": ["red"] + ["a"] * (tags["maxItems"] - 1)}, {"tags": ["red", "a", "a", "a"]}),
            ({"text": "red"}, {"text": " " * texts["minLength"]}),
            ({"tags": ["red", " "]}, {"tags": [" ", " "]}),
            ({"tags": ["red"] * tags["minItems"]}, {"tags": []}),
            ({"text": "red", "tags": None}, {"text": None}),
        ):
            assert search(client, **query).status_code == 200, query
            assert search(client, **query | bounds).status_code == 400, bounds
        body = paths["/api/search/picture"]["post"]["requestBody"]
        assert body["content"]["application/octet-stream"]["schema"]["maxLength"] == limits.body_bytes
        assert f"at most {limits.pixels} pixels" in body["description"]
        size = paths["/pictures/{row}"]["get"]["parameters"][1]
        assert size["schema"]["enum"] == [160, 240, 480, 960]


def test_openapi_documents_every_route_and_its_refusals(client):
    document = client.get("/openapi.json").json()
    paths = {path: next(iter(methods.values())) for path, methods in document["paths"].items()}
    routes = ("/api/info", "/api/sample", "/api/search/text", "/api/search/picture", "/api/search/row")
    assert paths.keys() == {*routes, "/pictures/{row}", "/pictures/pair/{row}"}
    statuses = {"200", "400", "404", "408", "413", "415", "503", "504"}
    assert set(paths["/api/search/picture"]["responses"]) == statuses
    assert "422" not in paths["/api/search/row"]["responses"]
    body = paths["/api/search/text"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"text", "tags", "find", "count", "ranking"}
