"""A user's own folder of pictures, opened as a run opens it: prepared once, broken pictures left out."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources import opened, refusal, settings_of

from gch.commands.source import guess_dataset
from gch.data.catalog import open_source
from gch.data.pairs import Pairs

SIZE = 32
COUNT = 24
BROKEN = {7: "cut off", 12: "missing", 13: "text"}  # rows, of those with a label
UNLABELLED = (3, 20)
LABELLED = [row for row in range(COUNT) if row not in UNLABELLED]
WHOLE = [row for place, row in enumerate(LABELLED) if place not in BROKEN]


def path_of(row: int) -> str:
    suffix = "jpg" if row % 3 == 1 else "png"
    return f"photos/{row % 2}/picture {row}.{suffix}"


def colour(row: int) -> tuple[int, int, int]:
    return row * 10, 120, 250 - row * 10


def make_picture(path: Path, rgb: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (50, 40), rgb).save(path)


def entry(row: int) -> dict[str, str]:
    labels = "" if row in UNLABELLED else f"even;label {row % 3}" if row % 2 == 0 else f"label {row % 3}"
    return {"path": path_of(row), "text": f"Picture number{row}, quoted", "labels": labels}


def write_collection(folder: Path) -> None:
    for row in range(COUNT):
        make_picture(folder / path_of(row), colour(row))
    for place, fault in BROKEN.items():
        path = folder / path_of(LABELLED[place])
        if fault == "missing":
            path.unlink()
        else:
            path.write_bytes(b"hello" if fault == "text" else path.read_bytes()[: path.stat().st_size // 2])
    with open(folder / "list.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "text", "labels"])
        writer.writeheader()
        writer.writerows(map(entry, range(COUNT)))


def assert_belong_together(pairs: Pairs) -> None:
    """Row by row, picture, caption, labels and path are those of the same entry."""
    assert list(pairs.ids) == [path_of(row) for row in WHOLE]
    assert list(pairs.captions) == [entry(row)["text"] for row in WHOLE]
    assert pairs.label_names == ("even", "label 0", "label 1", "label 2")
    wanted = [[row % 2 == 0, *(row % 3 == label for label in range(3))] for row in WHOLE]
    np.testing.assert_array_equal(pairs.labels, wanted)
    pictures = pairs.pictures.read(np.arange(len(WHOLE)))
    assert pictures.shape == (len(WHOLE), SIZE, SIZE, 3)
    colours = np.broadcast_to(np.array([colour(row) for row in WHOLE])[:, None, None], pictures.shape)
    np.testing.assert_allclose(pictures.astype(int), colours, atol=3)  # JPEG


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A collection that was opened once."""
    folder = tmp_path_factory.mktemp("collection")
    write_collection(folder)
    opened(folder, "collection", image_size=SIZE)
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    """A copy that a test may change, dates of its files and cache included."""
    return shutil.copytree(folder, tmp_path / "copy")


def caches(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "cache").iterdir())


def test_rows_still_belong_together_where_pictures_are_left_out_and_are_prepared_once(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*")}
    pairs = opened(folder, "collection", image_size=SIZE)
    assert_belong_together(pairs)
    output = capsys.readouterr().out
    assert "Preparing" not in output
    assert "Left out, because unreadable: 3 pictures" in output
    for place in BROKEN:
        assert path_of(LABELLED[place]) in output
    assert opened(folder, "collection", image_size=SIZE).digest == pairs.digest
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*")} == before


def test_broken_pictures_end_the_run_where_that_is_set(folder, copied):
    shutil.rmtree(copied / "cache")
    for where in (folder, copied):  # prepared before, or not
        with refusal("|".join(path_of(LABELLED[place]) for place in BROKEN)):
            opened(where, "collection", image_size=SIZE, broken="stop")
    assert_belong_together(opened(copied, "collection", image_size=SIZE))  # goes on where that run ended


def test_pictures_that_change_or_come_back_are_prepared_anew(copied, capsys):
    before, kept = opened(copied, "collection", image_size=SIZE), caches(copied)
    assert "Preparing" not in capsys.readouterr().out  # The copy has the dates of the original.
    path = copied / path_of(WHOLE[0])
    make_picture(path, (9, 8, 7))
    os.utime(path, ns=(1, 1))
    after = opened(copied, "collection", image_size=SIZE)
    assert "Preparing" in capsys.readouterr().out
    assert after.digest != before.digest
    picture = after.pictures.read(np.array([0])).astype(int)
    np.testing.assert_allclose(picture, np.broadcast_to((9, 8, 7), picture.shape), atol=3)
    np.testing.assert_array_equal(after.pictures.read(np.array([1])), before.pictures.read(np.array([1])))
    assert len(caches(copied)) == len(kept) + 1
    (row,) = (LABELLED[place] for place, fault in BROKEN.items() if fault == "missing")
    make_picture(copied / path_of(row), colour(row))
    again = opened(copied, "collection", image_size=SIZE)
    assert again.captions[again.ids.index(path_of(row))] == entry(row)["text"]


def test_other_pictures_are_prepared_beside(copied):
    kept = caches(copied)
    assert opened(copied, "collection", image_size=16).pictures.size == (16, 16)
    opened(copied, "collection", image_size=SIZE, fit="letterbox")
    assert len(caches(copied)) == len(kept) + 2


def test_caches_lie_where_that_is_set(copied, tmp_path):
    shutil.rmtree(copied / "cache")
    pairs = opened(copied, "collection", image_size=SIZE, CACHE_DIR=str(tmp_path / "mine"))
    assert_belong_together(pairs)
    assert not (copied / "cache").exists()
    assert guess_dataset(next((tmp_path / "mine").iterdir())) == "collection"


def test_a_damaged_cache_is_mended(copied, capsys):
    (pictures,) = (copied / "cache").rglob("pictures.bin")
    pictures.write_bytes(pictures.read_bytes()[:-9])
    assert_belong_together(opened(copied, "collection", image_size=SIZE))
    assert "Preparing" in capsys.readouterr().out


def test_is_guessed_and_named(folder):
    found = open_source(settings_of(folder, "collection", image_size=SIZE)).found[1]
    assert "no label: 2 entries" in found
    assert all(path_of(row) in found for row in UNLABELLED)
    assert guess_dataset(folder) == "collection"
    (prepared,) = (folder / "cache").iterdir()
    assert guess_dataset(prepared) == "collection"
    assert_belong_together(open_source(settings_of(prepared, "collection")))
    for path, changes in ((folder / "list.csv", {}), (folder, {"annotations": "list.csv"})):
        assert open_source(settings_of(path, "collection", **changes)).ids[0] == path_of(LABELLED[0])
    with refusal("other.csv: not found, expected a file of annotations"):
        open_source(settings_of(folder, "collection", annotations="other.csv"))
