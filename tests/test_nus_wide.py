"""NUS-WIDE: small downloads, and what is made of them."""

import numpy as np
import pytest
from downloaded import jpeg, write, write_zip
from written import refused, source

CONCEPTS = [f"concept{number:02d}" for number in range(81)]
WORDS = [f"word{number}" for number in range(1000)]
ROWS = 40
# Concept c has about 39 - c / 2 pictures, but concepts 5 and 7 none and 60 many.
TRUTH = np.array([[row >= concept // 2 for concept in range(81)] for row in range(ROWS)], np.uint8)
TRUTH[:, [5, 7]] = 0
TRUTH[:, 60] = 1
TRUTH[3] = 0  # no label at all
TRUTH[4] = 0
TRUTH[4, 80] = 1  # a rare label alone
TAGS = (np.random.default_rng(3).random((ROWS, 1000)) < 0.01).astype(np.uint8)
TAGS[6] = 0  # no tag
NAMES = [f"{'actor' if row < 25 else 'zoo'}/{row % 25 + 1:04d}_{9000 + row}.jpg" for row in range(ROWS)]
# By their numbers in `TRUTH`; of equal ones, the first.
FREQUENT = {
    "NUS-WIDE-TC21": [0, 1, 2, 3, 4, 6, *range(8, 22), 60],
    "NUS-WIDE-TC10": [0, 1, 2, 3, 4, 6, 8, 9, 10, 60],
}
ITEMS = [row for row in range(ROWS) if row not in (3, 4)]
LIST, LABELS = "ImageList/Imagelist.txt", "ConceptsList/Concepts81.txt"
WORD_LIST, TABLE = "NUS_WID_Tags/TagList1k.txt", "NUS_WID_Tags/AllTags1k.txt"
COLUMN = "Groundtruth/AllLabels/Labels_concept08.txt"


def nus_wide(end: str = "\n", between: str = "\t") -> dict[str, bytes]:
    """The files of the download as they unpack, with the pictures."""
    files = {
        LIST: "".join(name.replace("/", "\\") + end for name in NAMES).encode(),
        LABELS: "".join(concept + end for concept in CONCEPTS).encode(),
        WORD_LIST: "".join(word + end for word in WORDS).encode(),
        TABLE: "".join(between.join(map(str, row)) + between + end for row in TAGS.tolist()).encode(),
        "NUS_WID_Tags/AllTags81.txt": b"0 1\n",
    }
    for number, concept in enumerate(CONCEPTS):
        column = "".join(f"{value}{end}" for value in TRUTH[:, number])
        files[f"Groundtruth/AllLabels/Labels_{concept}.txt"] = column.encode()
        files[f"Groundtruth/TrainTestLabels/Labels_{concept}_Train.txt"] = b"0\n1\n"
    return files | {f"Flickr/{name}": jpeg(row) for row, name in enumerate(NAMES)}


def unpacked(folder, files):
    return write(folder / "NUS-WIDE", files)


def zipped(folder, files):
    """The archives that the files come in, with the pictures in one too."""
    for first in {name.split("/")[0] for name in files}:
        part = {name: content for name, content in files.items() if name.startswith(f"{first}/")}
        write_zip(folder / f"{first}.zip", part)


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
    for _ in range(2):  # The second time, the tags come from the cache.
        pairs = source(tmp_path, dataset, image_size=16)
        assert list(pairs.ids) == [NAMES[row] for row in ITEMS]
        np.testing.assert_array_equal(pairs.labels, TRUTH[ITEMS][:, FREQUENT[dataset]])
        np.testing.assert_array_equal(pairs.texts, TAGS[ITEMS])
        assert list(pairs.label_names) == [CONCEPTS[number] for number in FREQUENT[dataset]]
        assert list(pairs.tag_names) == WORDS
    colours = pairs.pictures.read(np.arange(len(ITEMS))).mean(axis=(1, 2))
    np.testing.assert_allclose(colours[:, 0], ITEMS, atol=3)
    chosen = f"pictures with one of the {len(FREQUENT[dataset])} most frequent labels"
    for line in ("pictures in Imagelist.txt: 40", f"{chosen}: 38", f"{chosen} and a word: 37", "items: 38"):
        assert line in pairs.found
    assert not any("seem to be one file" in line for line in pairs.found)
    assert len(list((tmp_path / "cache").glob("nus-wide-tags-*.npy"))) == 1


def test_a_table_that_changed_is_read_again(tmp_path):
    files = nus_wide()
    unpacked(tmp_path, files)
    source(tmp_path, "NUS-WIDE-TC10")
    unpacked(tmp_path, {TABLE: b"".join(files[TABLE].splitlines(keepends=True)[::-1])})
    pairs = source(tmp_path, "NUS-WIDE-TC10")
    np.testing.assert_array_equal(pairs.texts, TAGS[::-1][ITEMS])


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
    unpacked(tmp_path, nus_wide() | {f"Flickr/{name}": jpeg(1, 40) for name in NAMES[15:]})
    found = source(tmp_path, "NUS-WIDE-TC21").found
    assert any("25 pictures seem to be one file of" in line for line in found)


def cut(name, end):
    return {name: nus_wide()[name][:end]}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (cut(COLUMN, -4), "Labels_concept08.txt: 38 lines, expected 40, as many as Imagelist.txt has"),
        ({COLUMN: b"1\n" * 41}, "Labels_concept08.txt: more than 40 lines, expected 40"),
        ({COLUMN: b"1\n0\n-1130179\n"}, "Labels_concept08.txt: line 3: found '-1130179', expected 0 or 1"),
        ({COLUMN: b"1\n10\n"}, "Labels_concept08.txt: line 2: found '10', expected 0 or 1"),
        (cut(TABLE, -9), "AllTags1k.txt: line 40: 996 numbers, expected 1,000 of 0 and 1"),
        (cut(TABLE, 2001 * 30), "AllTags1k.txt: 30 lines, expected 40, as many as Imagelist.txt has"),
        (cut(LIST, -20), "expected 39, as many as Imagelist.txt has"),
        ({TABLE: b"0 " * 200_000}, "AllTags1k.txt: line 1: found '0 0 .*', expected 1,000 of 0 and 1"),
        ({TABLE: b"<!DOCTYPE html>\n"}, "AllTags1k.txt: line 1: found '<!DOCTYPE', expected 0 or 1"),
        ({WORD_LIST: b""}, "TagList1k.txt: empty, expected a name on each line"),
        ({LABELS: b"moon\n"}, "Labels_moon.txt not found, expected it, as Concepts81.txt names 'moon'"),
        (
            {f"Groundtruth/AllLabels/Labels_{concept}.txt": b"0\n" * ROWS for concept in CONCEPTS},
            "AllLabels: found 0 in all lines, expected 1 where a picture has a label",
        ),
        ({LIST: None}, "Imagelist.txt not found, expected from ImageList.zip"),
        ({TABLE: None}, "AllTags1k.txt not found, expected from NUS_WID_Tags.zip"),
        ({COLUMN: None}, "80 of 81 files such as AllLabels/Labels_airport.txt found, expected all from Gr"),
        (dict.fromkeys(f"Flickr/{name}" for name in NAMES), "pictures such as Flickr/actor/.* not found"),
        (
            {f"Flickr/{name}": None for name in NAMES} | {"Flickr/cat.jpg": b"a"},
            "none of the 38 pictures with labels, such as actor/0001_9000.jpg; expected the folder Flickr",
        ),
    ],
)
def test_what_is_missing_or_damaged_ends_in_one_line(tmp_path, change, line):
    unpacked(tmp_path, nus_wide() | change)
    refused(line, tmp_path, "NUS-WIDE-TC21")


def test_repeated_lines_and_missing_pictures_are_left_out_by_name(tmp_path):
    lines = nus_wide()[LIST].splitlines(keepends=True)
    lines[21] = lines[20]
    unpacked(tmp_path, nus_wide() | {LIST: b"".join(lines), f"Flickr/{NAMES[11]}": None})
    pairs = source(tmp_path, "NUS-WIDE-TC21")
    kept = [row for row in ITEMS if row not in (11, 21)]
    np.testing.assert_array_equal(pairs.texts, TAGS[kept])
    assert f"left out, as their pictures are missing: 1 ({NAMES[11]})" in pairs.found
    assert f"left out, as Imagelist.txt repeats them: 1 ({NAMES[20]})" in pairs.found
