"""Raw texts and the vocabulary of the training items."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sources import settings_of
from written import ALL, FEATURES, HOT, TEXTS, refused, source, write_v5

from gch.data import vocabulary
from gch.data.catalog import open_source
from gch.data.vocabulary import with_vocabulary
from gch.errors import DataError


def write_collection(folder: Path) -> None:
    with open(folder / "list.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[f"{row}.png", f"common only{row} only{row}", f"label {row % 3}"] for row in range(12)]
        csv.writer(file).writerows([["path", "text", "labels"], *rows])


def test_vocabulary_knows_the_training_items_only(tmp_path):
    write_collection(tmp_path)
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, training, saved = open_source(settings), np.array([2, 5, 7]), tmp_path / "run" / "vocabulary.json"
    known = with_vocabulary(pairs, training, settings, saved, tmp_path / "cache")
    words = ["common", "only2", "only5", "only7"]
    assert list(known.tag_names) == words
    assert json.loads(saved.read_text())["words"] == words
    np.testing.assert_array_equal(known.texts[:, 0], 1)
    np.testing.assert_array_equal(known.texts[:, 1:], np.arange(12)[:, None] == training)
    np.testing.assert_array_equal(known.labels, pairs.labels)
    assert known.texts.dtype == np.uint8


def test_vocabulary_and_bags_are_used_again(tmp_path, monkeypatch):
    write_collection(tmp_path)
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, saved, cache = open_source(settings), tmp_path / "vocabulary.json", tmp_path / "cache"
    known = with_vocabulary(pairs, np.array([2, 5, 7]), settings, saved, cache)
    (kept,) = cache.glob("texts-*.npy")
    # Tested again, the run's words count, whatever would be trained on now; no text is read anew.
    with monkeypatch.context() as patched:
        patched.setattr(vocabulary, "tokens", None)
        again = with_vocabulary(pairs, np.arange(12), settings, saved, cache)
    assert again.tag_names == known.tag_names
    np.testing.assert_array_equal(again.texts, known.texts)
    wanted = np.array(known.texts)
    kept.write_bytes(kept.read_bytes()[:-5])
    np.testing.assert_array_equal(with_vocabulary(pairs, np.arange(3), settings, saved, cache).texts, wanted)
    other = with_vocabulary(pairs, np.arange(12), settings, tmp_path / "other.json", cache)
    assert other.texts.shape == (12, 13)


def test_bags_of_words_need_no_vocabulary(tmp_path):
    write_v5(tmp_path / "FLICKR-25K.mat", images=FEATURES, YAll=TEXTS, LAll=HOT)
    pairs, saved = source(tmp_path), tmp_path / "vocabulary.json"
    settings = settings_of(tmp_path, "FLICKR")
    assert with_vocabulary(pairs, ALL, settings, saved, tmp_path) is pairs
    assert not saved.exists()


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    write_collection(tmp_path)
    (tmp_path / "cache").touch()  # a file where the folder would be
    settings = settings_of(tmp_path, "collection", vocabulary_minimum=1)
    pairs, saved = open_source(settings), tmp_path / "vocabulary.json"
    with pytest.raises(DataError, match=r"cache/texts-.*cannot be written, File exists"):
        with_vocabulary(pairs, np.arange(3), settings, saved, tmp_path / "cache")
    write_v5(tmp_path / "FLICKR-25K.mat", images=FEATURES, YAll=TEXTS, LAll=HOT)
    refused("cache/image-features-.*cannot be written, File exists", tmp_path)
