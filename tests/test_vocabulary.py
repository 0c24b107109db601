import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import refusal, settings_of

from gch.data.catalog import open_source
from gch.data.generated import generate
from gch.data.vocabulary import (
    Vocabulary,
    build_vocabulary,
    load_vocabulary,
    read_stop_words,
    tokens,
    used_vocabulary,
    with_vocabulary,
)
from gch.errors import DataError

NONE = frozenset()
ENGLISH = read_stop_words("english")


def build(captions, size, minimum, ngrams=1, stop_words=""):
    """The vocabulary of captions that are all trained on."""
    sizes = {"vocabulary_size": size, "vocabulary_minimum": minimum}
    settings = SimpleNamespace(**sizes, ngrams=ngrams, stop_words=stop_words)
    return build_vocabulary(captions, np.arange(len(captions)), settings)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Two dogs, one red-ish ball!", ["two", "dogs", "one", "red", "ish", "ball"]),
        ("", []),
        ("under_score 3rd 2.5", ["under", "score", "3rd", "2", "5"]),
        ("Gr\u00f6\u00dfe gro\u0308\u00dfe", ["gr\u00f6\u00dfe", "gr\u00f6\u00dfe"]),
        ("\uff24\uff4f\uff47 \ufb01n x\u00b2", ["dog", "fin", "x2"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940\u0964", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),
        ("\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", ["\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48"]),
        ("\u732b\u3068\u72ac\u3002\u9ce5", ["\u732b\u3068\u72ac", "\u9ce5"]),
        ("cat\U0001f600dog\ud83dcow", ["cat", "dog", "cow"]),
        ("\u0391\u0393\u0391\u03a0\u0397", ["\u03b1\u03b3\u03b1\u03c0\u03b7"]),
    ],
)
def test_free_text_is_split_at_what_is_no_letter_mark_or_number(caption, words):
    assert tokens(caption, 1, NONE) == words


def test_ngrams_run_over_stop_words():
    words = ["dog", "red", "house", "dog red", "red house", "dog red house"]
    assert tokens("A dog of the red house", 3, ENGLISH) == words
    assert tokens("dog", 3, NONE) == ["dog"]


def test_tags_stay_whole():
    tags = (" Red  Ball\t", "don't", "", "   ", "THE", "o\u0308l", "a_b", "x\ud83d")
    assert tokens(tags, 2, ENGLISH) == ["red ball", "don't", "the", "\u00f6l", "a_b", "x?"]


@given(st.text() | st.lists(st.text()).map(tuple), st.integers(1, 4))
def test_any_caption_has_tokens_that_can_be_written(caption, ngrams):
    for token in tokens(caption, ngrams, ENGLISH):
        assert token
        assert token.encode("utf-8")


CAPTIONS = ["red dog", "dog dog cat", "red cat", "bird", "red"]  # red 3, cat 2, dog 2, bird 1


def test_the_words_of_most_captions_are_chosen():
    for size, minimum, words in ((10, 2, ("cat", "dog", "red")), (2, 1, ("cat", "red")), (1, 1, ("red",))):
        assert build(CAPTIONS, size, minimum) == Vocabulary(words, 1, NONE)


def test_vocabulary_holds_ngrams_and_no_stop_words():
    built = build(["the red dog", "a red dog"], 9, 2, ngrams=2, stop_words="english")
    assert built.words == ("dog", "red", "red dog")
    bags = built.bags(["Red!", "red the dog", "dog red", ("Red Dog", "tree"), ()])
    assert bags.dtype == np.uint8
    np.testing.assert_array_equal(bags, [[0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert built.bags([]).shape == (0, 3)


def test_no_word_left_is_told_with_its_numbers():
    with pytest.raises(
        DataError, match="of 3 training items have 2 different words, expected one in 4 captions"
    ):
        build(["a b", "b", ("a",)], 5, 4)


WORDS = st.lists(st.sampled_from(["a", "b", "C", "dé", "e"]), max_size=5)
OF_ANY_KIND = st.lists(WORDS.map(" ".join) | WORDS.map(tuple), min_size=1, max_size=12)


@given(OF_ANY_KIND, st.integers(1, 3), st.integers(1, 8), st.integers(1, 3))
def test_column_sums_are_document_frequencies(captions, ngrams, size, minimum):
    try:
        vocabulary = build(captions, size, minimum, ngrams)
    except DataError:
        return
    bags = vocabulary.bags(captions)
    assert set(np.unique(bags)) <= {0, 1}
    assert len(vocabulary.words) <= size
    assert list(vocabulary.words) == sorted(set(vocabulary.words))
    written = [f" {one} " if isinstance(one, str) else f"|{'|'.join(one)}|" for one in captions]
    for word, count in zip(vocabulary.words, bags.sum(axis=0), strict=True):
        holders = [text for text in written if f" {word} " in text.lower() or f"|{word}|" in text.lower()]
        assert len(holders) == count >= minimum


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("format", 2, "format is 2, expected 1, that of a saved vocabulary"),
        ("format", True, "format is True, expected 1"),
        ("ngrams", 0, "ngrams is 0, expected a whole number"),
        ("ngrams", "1", "ngrams is '1'"),
        ("words", "cat", "words is 'cat', expected a list"),
        ("words", [""], r"words is \[''\], expected a list of different words"),
        ("words", [], r"words is \[\], expected a list of different words, one or more"),
        ("words", ["a", "b", "a"], r"words is \['a', 'b', 'a'\], expected a list of different"),
        ("stop_words", [[]], r"stop_words is \[\[\]\], expected"),
    ],
)
def test_a_broken_vocabulary_is_refused(tmp_path, field, value, line):
    good = {"format": 1, "ngrams": 1, "stop_words": ["a"], "words": ["cat", "dog"]}
    (tmp_path / "vocabulary.json").write_text(json.dumps(good | {field: value}))
    with refusal(line, tmp_path / "vocabulary.json"):
        load_vocabulary(tmp_path / "vocabulary.json")


def test_stop_words_are_named_or_read(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_bytes("\ufeffDER\r\n\r\n u\u0308ber \nDon't\n".encode())
    assert read_stop_words("") == NONE
    assert {"the", "of", "and"} < ENGLISH
    assert {word for word in ENGLISH if tokens(word, 1, NONE) == [word]} == ENGLISH
    assert read_stop_words(str(path)) == {"der", "\u00fcber", "don", "t"}
    path.write_bytes(b"a\n" * 2**23 + b"b")
    with refusal("16777217 bytes, expected 16777216 at most", path):
        read_stop_words(str(path))
    with refusal("not found, expected '', 'english' or a file of one stop word"):
        read_stop_words(str(tmp_path / "missing.txt"))


# ---------------------------------------------------------------- a data set's bags of words


@pytest.fixture
def described(tmp_path):
    """Settings and pairs of a collection whose items have a word in common, and each one of its own."""
    with open(tmp_path / "list.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[f"{row}.png", f"größe only{row} only{row}", f"label {row % 3}"] for row in range(12)]
        csv.writer(file).writerows([["path", "text", "labels"], *rows])
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    return settings, open_source(settings)


def test_the_vocabulary_knows_the_training_items_only(tmp_path, described):
    settings, pairs = described
    training, saved = np.array([2, 5, 7]), tmp_path / "run" / "vocabulary.json"
    known = with_vocabulary(pairs, training, settings, saved, tmp_path / "cache")
    words = ["größe", "only2", "only5", "only7"]
    assert list(known.tag_names) == words
    assert not saved.exists()
    assert used_vocabulary(known, settings) == build_vocabulary(pairs.captions, training, settings)
    np.testing.assert_array_equal(known.texts[:, 0], 1)
    np.testing.assert_array_equal(known.texts[:, 1:], np.arange(12)[:, None] == training)
    np.testing.assert_array_equal(known.labels, pairs.labels)
    assert known.texts.dtype == np.uint8


def test_the_vocabulary_and_the_bags_are_used_again(tmp_path, described, monkeypatch):
    settings, pairs = described
    saved, cache = tmp_path / "vocabulary.json", tmp_path / "cache"
    known = with_vocabulary(pairs, np.array([2, 5, 7]), settings, saved, cache)
    used_vocabulary(known, settings).save(saved)
    assert load_vocabulary(saved) == used_vocabulary(known, settings)
    # Tested again, the run's words count, whatever would be trained on now; no text is read anew.
    with monkeypatch.context() as patched:
        patched.setattr("gch.data.vocabulary.tokens", None)
        again = with_vocabulary(pairs, np.arange(12), settings, saved, cache)
    assert again.tag_names == known.tag_names
    np.testing.assert_array_equal(again.texts, known.texts)
    other = with_vocabulary(pairs, np.arange(12), settings, tmp_path / "other.json", cache)
    assert other.texts.shape == (12, 13)


def test_bags_of_words_need_no_vocabulary(tmp_path):
    pairs, saved = generate(8, image_size=8), tmp_path / "vocabulary.json"
    assert with_vocabulary(pairs, np.arange(8), settings_of(tmp_path, "generated"), saved, tmp_path) is pairs
    assert not saved.exists()
