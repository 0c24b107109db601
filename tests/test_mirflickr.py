"""MIRFLICKR-25000: small downloads, and what is made of them."""

import h5py
import numpy as np
import pytest
from downloaded import (
    COMMON,
    ITEMS,
    LISTS,
    jpeg,
    mirflickr,
    mirflickr_labels,
    mirflickr_words,
    write,
    write_zip,
)
from sources import opened, refusal, settings_of

from gch.data.catalog import open_source
from gch.errors import DataError


def unpacked(folder, collection, annotations):
    write(folder, collection)
    return write(folder / "mirflickr25k_annotations_v080", annotations)


def zipped(folder, collection, annotations):
    write_zip(folder / "mirflickr25k.zip", collection, 0)
    return write_zip(folder / "mirflickr25k_annotations_v080.zip", annotations)


def inside(folder, collection, annotations):
    """The annotations in the folder of the pictures, and the tags in upper case."""
    files = {
        name.replace("meta/tags/tags", "META/Tags/TAGS"): content for name, content in collection.items()
    }
    return write(
        folder, files | {f"mirflickr/annotations/{name}": text for name, text in annotations.items()}
    )


def both(folder, collection, annotations):
    """The zip files were kept beside what they unpacked to."""
    zipped(folder, collection, annotations)
    return unpacked(folder, collection, annotations)


@pytest.mark.parametrize(
    ("place", "end"), [(unpacked, "\n"), (zipped, "\r\n"), (inside, "\r\n"), (both, "\n")]
)
def test_items_have_a_label_and_a_common_tag(tmp_path, place, end):
    place(tmp_path, *mirflickr(end))
    pairs = open_source(settings_of(tmp_path, "MIRFLICKR", image_size=16))
    assert list(pairs.ids) == [f"im{number}.jpg" for number in ITEMS]
    np.testing.assert_array_equal(pairs.labels, mirflickr_labels())
    np.testing.assert_array_equal(pairs.texts, mirflickr_words())
    assert pairs.labels.dtype == pairs.texts.dtype == np.uint8
    assert (list(pairs.label_names), list(pairs.tag_names)) == (LISTS, COMMON)
    colours = pairs.pictures.read(np.arange(len(ITEMS))).mean(axis=(1, 2))
    np.testing.assert_allclose(colours[:, 0], [number % 256 for number in ITEMS], atol=3)
    assert "pictures: 13" in pairs.found
    assert "pictures with a label: 12" in pairs.found
    assert "pictures with a label and a common tag: 10" in pairs.found
    if place is both:
        assert pairs.pictures.paths[0] == "mirflickr/im1.jpg"


def test_a_zip_file_may_be_named_itself(tmp_path):
    zipped(tmp_path, *mirflickr())
    pairs = open_source(settings_of(tmp_path / "mirflickr25k.zip", "MIRFLICKR"))
    assert len(pairs.labels) == len(ITEMS)


def test_trains_on_pictures_that_can_be_read_and_keeps_the_rest_apart(tmp_path, capsys):
    collection, annotations = mirflickr()
    collection["mirflickr/im5.jpg"] = b"\r\n<!DOCTYPE html><html>Not found</html>"
    collection["mirflickr/im9.jpg"] = jpeg(9)[:-60]
    unpacked(tmp_path, collection, annotations)
    pairs = opened(tmp_path, "mirflickr", image_size=16)
    kept = [row for row, number in enumerate(ITEMS) if number not in (5, 9)]
    np.testing.assert_array_equal(pairs.labels, mirflickr_labels()[kept])
    np.testing.assert_array_equal(pairs.texts, mirflickr_words()[kept])
    assert (pairs.name, list(pairs.tag_names)) == ("flickr25k", COMMON)
    output = capsys.readouterr().out
    assert "im5.jpg: an HTML page, expected JPEG" in output
    assert "im9.jpg: cannot be decoded" in output


def test_a_mat_file_beside_the_download_is_read_as_before(tmp_path):
    unpacked(tmp_path, *mirflickr())
    with h5py.File(tmp_path / "FLICKR-25K.mat", "w") as file:
        file["images"] = np.zeros((9, 3, 8, 8), np.uint8)
        file["YAll"], file["LAll"] = np.ones((9, 4), np.uint8), np.ones((9, 2), np.uint8)
    assert open_source(settings_of(tmp_path, "FLICKR")).labels.shape == (9, 2)


def test_inspect_recognises_it_and_prints_the_lines_to_set(command, tmp_path):
    folder = tmp_path / "data"
    zipped(folder, *mirflickr())
    status, output, error = command("inspect", folder, f"--out={tmp_path / 'sheet.png'}", "--image_size=16")
    assert (status, error) == (0, "")
    assert "MIRFLICKR-25000, for dataset_dir = 'MIRFLICKR'" in output
    assert "5 words, 1,386 in the literature" in output
    assert "10 items, 20,015 in the literature: common_tags.txt has 5 words, expected 1,386" in output
    assert f'    dataset_dir = "MIRFLICKR"\n    DATA_DIR = "{folder}"\n' in output
    assert not (folder / "cache").exists()


def changed(collection=None, annotations=None, drop=()):
    files = mirflickr()
    for held, change in zip(files, (collection, annotations), strict=True):
        held |= change or {}
        for name in [name for name in held if any(part in name for part in drop)]:
            del held[name]
    return files


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"annotations": {"bird.txt": b"3\n24999\n25001\n0\n3\n"}},
            "2 numbers in the annotations are not from 1 to 25,000",
        ),
        ({"annotations": {"bird.txt": b"3\n3\n\n3\n"}}, "2 repeated numbers in the annotations count once"),
        ({"annotations": {"water_r1.txt": b"7\n9\n13\n"}}, "2 numbers of the lists _r1 are not in the lists"),
        (
            {"annotations": {"bird.txt": b"3\n24990\n2"}},
            "bird.txt ends with 2 after 24990: it may be cut off",
        ),
        ({"drop": ["im2.jpg", "im20."]}, "left out, as their pictures are missing: 2 (im2.jpg, im20.jpg)"),
        ({"drop": ["tags/tags9."]}, "left out, as their files of tags are missing: 1 (tags9.txt)"),
        (
            {"collection": {"mirflickr/doc/common_tags.txt": b"sky 3\nblue 2\nsky 3\nnikon\n2008 1\n"}},
            "common_tags.txt: 1 repeated lines count once",
        ),
    ],
)
def test_what_is_odd_is_told(tmp_path, change, line):
    unpacked(tmp_path, *changed(**change))
    found = open_source(settings_of(tmp_path, "MIRFLICKR")).found
    assert any(line in one for one in found), found


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"drop": ["bird.txt"]}, "bird.txt not found, expected from mirflickr25k_annotations_v080.zip"),
        (
            {"drop": [f"{label}.txt" for label in LISTS]},
            "animals.txt and 23 other lists not found, expected from mirflickr25k_annotations_v080.zip",
        ),
        ({"drop": ["common_tags"]}, "doc/common_tags.txt not found, expected from mirflickr25k.zip"),
        ({"drop": ["tags/tags"]}, "meta/tags/tags1.txt and the other tags not found, expected from mirfl"),
        ({"drop": [".jpg"]}, "pictures such as im1.jpg not found, expected from mirflickr25k.zip"),
        (
            {"annotations": {"bird.txt": b"3\n<html>\n"}},
            "bird.txt: line 2: found '<html>', expected the number of a picture",
        ),
        ({"annotations": {"bird.txt": b"\n"}}, "bird.txt: empty, expected the numbers of pictures"),
        (
            {"collection": {"mirflickr/doc/common_tags.txt": b"sky 3\nblue sea 2\n"}},
            "common_tags.txt: line 2: found 'blue sea 2', expected a tag and its number",
        ),
        (
            {"collection": {"mirflickr/doc/common_tags.txt": b""}},
            "common_tags.txt: empty, expected 1,386 tags",
        ),
        (
            {"annotations": {f"old/{label}.txt": b"3\n4\n" for label in LISTS}},
            "differs from that in .*old; expected annotations of one version, keep one",
        ),
        ({"drop": [f"tags/tags{number}." for number in (1, 2, 5)]}, "7 items of MIRFLICKR-25000, expected 8"),
    ],
)
def test_what_is_missing_or_damaged_ends_in_one_line(tmp_path, change, line):
    unpacked(tmp_path, *changed(**change))
    with refusal(line, tmp_path):
        open_source(settings_of(tmp_path, "MIRFLICKR"))


def test_a_zip_file_that_is_cut_off_is_named(tmp_path):
    zipped(tmp_path, *mirflickr())
    path = tmp_path / "mirflickr25k.zip"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(
        DataError, match=r"im1.jpg not found.*; mirflickr25k.zip cannot be read, .*; load it again"
    ):
        open_source(settings_of(tmp_path, "MIRFLICKR"))


def test_a_damaged_member_of_a_zip_file_is_named(tmp_path):
    collection, annotations = mirflickr()
    zipped(tmp_path, collection, annotations)
    path = tmp_path / "mirflickr25k.zip"
    tags = collection["mirflickr/doc/common_tags.txt"]
    path.write_bytes(path.read_bytes().replace(tags, tags.replace(b"sky", b"ski")))
    with pytest.raises(
        DataError, match=r"mirflickr25k.zip/mirflickr/doc/common_tags.txt: cannot be read, Bad CRC"
    ):
        open_source(settings_of(tmp_path, "MIRFLICKR"))
