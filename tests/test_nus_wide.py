"""NUS-WIDE: small downloads, and what is made of them."""

import numpy as np
import pytest
from downloaded import (
    CONCEPTS,
    NUS_NAMES,
    NUS_TAGS,
    NUS_TRUTH,
    NUS_WORDS,
    ROWS,
    jpeg,
    nus_wide,
    write,
    write_zip,
)
from sources import refusal, settings_of

from gch.data.catalog import open_source

# By their numbers in `downloaded.NUS_TRUTH`; of equal ones, the first.
FREQUENT = {
    "NUS-WIDE-TC21": [0, 1, 2, 3, 4, 6, *range(8, 22), 60],
    "NUS-WIDE-TC10": [0, 1, 2, 3, 4, 6, 8, 9, 10, 60],
}
ITEMS = [row for row in range(ROWS) if row not in (3, 4)]


def zips(files):
    """The archives that the files come in, with the pictures in one too."""
    parts = {}
    for name, content in files.items():
        first = name.split("/")[0]
        parts.setdefault(f"{first}.zip", {})[name] = content
    return parts


def unpacked(folder, files):
    return write(folder / "NUS-WIDE", files)


def zipped(folder, files):
    for name, part in zips(files).items():
        write_zip(folder / name, part)


def flat(folder, files):
    """Pictures in one folder, the lists in another one."""
    return write(folder, {name.replace("/actor/", "/").replace("/zoo/", "/"): files[name] for name in files})


def by_number(folder, files):
    """Pictures by their numbers at Flickr."""
    named = {name: f"images/{name.split('_')[-1]}" if name.startswith("Flickr/") else name for name in files}
    return write(folder, {named[name]: content for name, content in files.items()})


@pytest.mark.parametrize(
    ("place", "dataset", "end", "between"),
    [
        (unpacked, "NUS-WIDE-TC21", "\n", "\t"),
        (zipped, "NUS-WIDE-TC10", "\r\n", " "),
        (flat, "NUS-WIDE-TC10", "\n", "\t"),
        (by_number, "NUS-WIDE-TC21", "\r\n", " "),
    ],
)
def test_items_have_one_of_the_most_frequent_labels(tmp_path, monkeypatch, place, dataset, end, between):
    monkeypatch.setattr("gch.data.downloads.nus_wide._BLOCK_BYTES", 5000)  # two lines and a half
    place(tmp_path, nus_wide(end, between))
    settings = settings_of(tmp_path, dataset, image_size=16)
    for _ in range(2):  # The second time, the tags come from the cache.
        pairs = open_source(settings)
        assert list(pairs.ids) == [NUS_NAMES[row] for row in ITEMS]
        np.testing.assert_array_equal(pairs.labels, NUS_TRUTH[ITEMS][:, FREQUENT[dataset]])
        np.testing.assert_array_equal(pairs.texts, NUS_TAGS[ITEMS])
        assert list(pairs.label_names) == [CONCEPTS[number] for number in FREQUENT[dataset]]
        assert list(pairs.tag_names) == NUS_WORDS
    colours = pairs.pictures.read(np.arange(len(ITEMS))).mean(axis=(1, 2))
    np.testing.assert_allclose(colours[:, 0], ITEMS, atol=3)
    chosen = f"pictures with one of the {len(FREQUENT[dataset])} most frequent labels"
    for line in ("pictures in Imagelist.txt: 40", f"{chosen}: 38", f"{chosen} and a word: 37", "items: 38"):
        assert line in pairs.found
    assert len(list((tmp_path / "cache").glob("nus-wide-tags-*.npy"))) == 1


def test_a_table_that_changed_is_read_again(tmp_path):
    files = nus_wide()
    unpacked(tmp_path, files)
    open_source(settings_of(tmp_path, "NUS-WIDE-TC10"))
    lines = files["NUS_WID_Tags/AllTags1k.txt"].splitlines(keepends=True)
    (tmp_path / "NUS-WIDE/NUS_WID_Tags/AllTags1k.txt").write_bytes(b"".join(lines[::-1]))
    pairs = open_source(settings_of(tmp_path, "NUS-WIDE-TC10"))
    np.testing.assert_array_equal(pairs.texts, NUS_TAGS[::-1][ITEMS])


def test_inspect_recognises_it_and_what_lies_beside_it(command, tmp_path):
    folder = tmp_path / "data"
    unpacked(folder, nus_wide())
    write(folder / "mirflickr25k", {"doc/common_tags.txt": b"sky 20\n"})
    status, output, error = command("inspect", folder, f"--out={tmp_path / 'sheet.png'}", "--image_size=16")
    assert (status, error) == (0, "")
    assert "NUS-WIDE, for dataset_dir = 'NUS-WIDE-TC21' or 'NUS-WIDE-TC10'" in output
    assert "Also there: MIRFLICKR-25000, for dataset_dir = 'MIRFLICKR'; not whole: pictures such as" in output
    assert "40 pictures, 269,648 in the literature: Imagelist.txt is not that of the download" in output
    assert '    dataset_dir = "NUS-WIDE-TC21"\n' in output
    assert not (folder / "cache").exists()


def test_pictures_that_are_one_file_are_told(tmp_path):
    unpacked(tmp_path, nus_wide() | {f"Flickr/{name}": jpeg(1, 40) for name in NUS_NAMES[15:]})
    found = open_source(settings_of(tmp_path, "NUS-WIDE-TC21")).found
    assert any("25 pictures seem to be one file of" in line for line in found)
    unpacked(tmp_path / "sound", nus_wide())
    found = open_source(settings_of(tmp_path / "sound", "NUS-WIDE-TC21")).found
    assert not any("seem to be one file" in line for line in found)


def cut(name, end):
    return {name: nus_wide()[name][:end]}


TRUTH, TABLE, LIST = (
    "Groundtruth/AllLabels/Labels_concept08.txt",
    "NUS_WID_Tags/AllTags1k.txt",
    "ImageList/Imagelist.txt",
)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (cut(TRUTH, -4), "Labels_concept08.txt: 38 lines, expected 40, as many as Imagelist.txt has"),
        ({TRUTH: b"1\n" * 41}, "Labels_concept08.txt: more than 40 lines, expected 40"),
        ({TRUTH: b"1\n0\n-1130179\n"}, "Labels_concept08.txt: line 3: found '-1130179', expected 0 or 1"),
        ({TRUTH: b"1\n10\n"}, "Labels_concept08.txt: line 2: found '10', expected 0 or 1"),
        (cut(TABLE, -9), "AllTags1k.txt: line 40: 996 numbers, expected 1,000 of 0 and 1"),
        (cut(TABLE, 2001 * 30), "AllTags1k.txt: 30 lines, expected 40, as many as Imagelist.txt has"),
        (cut(LIST, -20), "expected 39, as many as Imagelist.txt has"),
        ({TABLE: b"0 " * 200_000}, "AllTags1k.txt: line 1: found '0 0 .*', expected 1,000 of 0 and 1"),
        ({TABLE: b"<!DOCTYPE html>\n"}, "AllTags1k.txt: line 1: found '<!DOCTYPE', expected 0 or 1"),
        ({"NUS_WID_Tags/TagList1k.txt": b""}, "TagList1k.txt: empty, expected a name on each line"),
        (
            {"ConceptsList/Concepts81.txt": nus_wide()["ConceptsList/Concepts81.txt"] + b"moon\n"},
            "Labels_moon.txt not found, expected it, as Concepts81.txt names 'moon'",
        ),
        (
            {f"Groundtruth/AllLabels/Labels_{concept}.txt": b"0\n" * ROWS for concept in CONCEPTS},
            "AllLabels: found 0 in all lines, expected 1 where a picture has a label",
        ),
        ({LIST: None}, "Imagelist.txt not found, expected from ImageList.zip"),
        ({TABLE: None}, "AllTags1k.txt not found, expected from NUS_WID_Tags.zip"),
        (
            {TRUTH: None},
            "80 of 81 files such as AllLabels/Labels_airport.txt found, expected all from Groundt",
        ),
        (dict.fromkeys(f"Flickr/{name}" for name in NUS_NAMES), "pictures such as Flickr/actor/.* not found"),
        (
            {f"Flickr/{name}": None for name in NUS_NAMES} | {"Flickr/cat.jpg": b"a"},
            "none of the 38 pictures with labels, such as actor/0001_9000.jpg; expected the folder Flickr",
        ),
    ],
)
def test_what_is_missing_or_damaged_ends_in_one_line(tmp_path, change, line):
    files = nus_wide() | change
    unpacked(tmp_path, {name: content for name, content in files.items() if content is not None})
    with refusal(line, tmp_path):
        open_source(settings_of(tmp_path, "NUS-WIDE-TC21"))


def test_repeated_lines_and_missing_pictures_are_left_out_by_name(tmp_path):
    lines = nus_wide()[LIST].splitlines(keepends=True)
    lines[21] = lines[20]
    files = nus_wide() | {LIST: b"".join(lines)}
    del files[f"Flickr/{NUS_NAMES[11]}"]
    unpacked(tmp_path, files)
    pairs = open_source(settings_of(tmp_path, "NUS-WIDE-TC21"))
    kept = [row for row in ITEMS if row not in (11, 21)]
    np.testing.assert_array_equal(pairs.texts, NUS_TAGS[kept])
    assert f"left out, as their pictures are missing: 1 ({NUS_NAMES[11]})" in pairs.found
    assert f"left out, as Imagelist.txt repeats them: 1 ({NUS_NAMES[20]})" in pairs.found
