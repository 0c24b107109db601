"""MIRFLICKR-25000: small downloads, and what is made of them."""

import numpy as np
import pytest
from downloaded import jpeg, write, write_zip
from sources import refusal
from written import source, write_hdf5

from gch.commands.source import guess_dataset
from gch.data.downloads import Files, find_download, find_downloads

LISTS = [
    *("animals", "baby", "bird", "car", "clouds", "dog", "female", "flower", "food", "indoor", "lake"),
    *("male", "night", "people", "plant_life", "portrait", "river", "sea", "sky", "structures", "sunset"),
    *("transport", "tree", "water"),
]
COMMON = ["sky", "nikon", "zürich", "blue", "2008"]  # not in the order of the alphabet
TAGS = {  # of pictures by number
    1: ["nikon", "unheard"],
    2: ["2008", "sky", "blue"],
    3: ["unheard"],  # no common tag
    5: ["blue", "blue"],
    8: [],
    9: ["zürich"],
    10: ["sky"],  # no label
    11: ["nikon", "2008"],
    12: ["blue", "nikon", "sky"],
    20: ["2008"],
    100: ["sky"],
    101: ["sky", "zürich"],
    25000: ["blue"],
}
LABELLED = {
    "sky": [1, 2, 3, 8, 12],
    "water": [2, 9, 11, 12, 101],
    "baby": [5],
    "plant_life": [8, 11, 20, 25000],
    "animals": [100],
}
ITEMS = [1, 2, 5, 9, 11, 12, 20, 100, 101, 25000]


def mirflickr(end: str = "\n") -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of the collection and of the annotations."""
    collection = {TAG_LIST: end.join(f"{tag} 20" for tag in COMMON).encode()}
    for number, tags in TAGS.items():
        collection[f"mirflickr/im{number}.jpg"] = jpeg(number)
        collection[f"mirflickr/meta/tags/tags{number}.txt"] = "".join(tag + end for tag in tags).encode()
        collection[f"mirflickr/meta/tags_raw/tags{number}.txt"] = b"Raw Sky\n"
    lists = {f"{label}.txt": LABELLED.get(label, [3]) for label in LISTS}
    lists |= {"water_r1.txt": [9, 12], "sky_r1.txt": [8]}
    annotations = {name: "".join(f"{n}{end}" for n in numbers).encode() for name, numbers in lists.items()}
    return collection, annotations | {"README.txt": b"Potential and relevant labels"}


LABELS = np.array([[number in LABELLED.get(label, [3]) for label in LISTS] for number in ITEMS], np.uint8)
WORDS = np.array([[tag in TAGS[number] for tag in COMMON] for number in ITEMS], np.uint8)


TAG_LIST = "mirflickr/doc/common_tags.txt"


def unpacked(folder, collection, annotations):
    write(folder, collection)
    return write(folder / "mirflickr25k_annotations_v080", annotations)


def zipped(folder, collection, annotations):
    write_zip(folder / "mirflickr25k.zip", collection, 0)
    return write_zip(folder / "mirflickr25k_annotations_v080.zip", annotations)


def inside(folder, collection, annotations):
    """The annotations in the folder of the pictures, and the tags in upper case."""
    files = {name.replace("meta/tags/tags", "META/Tags/TAGS"): collection[name] for name in collection}
    return write(folder, files | {f"mirflickr/annotations/{name}": annotations[name] for name in annotations})


def flat(folder, collection, annotations):
    """DATA_DIR is the folder of the pictures; the annotations were unpacked in it."""
    return write(
        folder, {name.removeprefix("mirflickr/"): collection[name] for name in collection} | annotations
    )


def both(folder, collection, annotations):
    """The zip files were kept beside what they unpacked to."""
    zipped(folder, collection, annotations)
    return unpacked(folder, collection, annotations)


@pytest.mark.parametrize(
    ("place", "end"), [(unpacked, "\n"), (zipped, "\r\n"), (inside, "\r\n"), (flat, "\n"), (both, "\n")]
)
def test_items_have_a_label_and_a_common_tag(tmp_path, place, end):
    place(tmp_path, *mirflickr(end))
    named = "mirflickr25k.zip" if place is zipped else ""  # a zip file may be named itself
    pairs = source(tmp_path / named, "MIRFLICKR", image_size=16)
    assert list(pairs.ids) == [f"im{number}.jpg" for number in ITEMS]
    np.testing.assert_array_equal(pairs.labels, LABELS)
    np.testing.assert_array_equal(pairs.texts, WORDS)
    assert pairs.labels.dtype == pairs.texts.dtype == np.uint8
    assert (list(pairs.label_names), list(pairs.tag_names)) == (LISTS, COMMON)
    colours = pairs.pictures.read(np.arange(len(ITEMS))).mean(axis=(1, 2))
    np.testing.assert_allclose(colours[:, 0], [number % 256 for number in ITEMS], atol=3)
    for line in ("pictures: 13", "pictures with a label: 12", "pictures with a label and a common tag: 10"):
        assert line in pairs.found
    assert any("5 words, 1,386 in the literature" in line for line in pairs.found)
    assert any("common_tags.txt has 5 words, expected 1,386" in line for line in pairs.found)
    if place is both:
        assert pairs.pictures.paths[0] == "mirflickr/im1.jpg"


def test_a_mat_file_beside_the_download_is_read_as_before(tmp_path):
    unpacked(tmp_path, *mirflickr())
    arrays = {"YAll": np.ones((9, 4), np.uint8), "LAll": np.ones((9, 2), np.uint8)}
    write_hdf5(tmp_path / "FLICKR-25K.mat", images=np.zeros((9, 3, 8, 8), np.uint8), **arrays)
    assert source(tmp_path, "FLICKR").labels.shape == (9, 2)


def without(*parts):
    """No file whose name has one of these parts."""
    names = [name for files in mirflickr() for name in files]
    return {name: None for name in names if any(part in name for part in parts)}


def opened_changed(folder, change):
    """The download with files that are other, or gone."""
    collection, annotations = mirflickr()
    for name, content in change.items():
        (collection if name.startswith("mirflickr/") else annotations)[name] = content
    unpacked(folder, collection, annotations)
    return source(folder, "MIRFLICKR")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"bird.txt": b"3\n24999\n25001\n0\n3\n"}, "2 numbers in the annotations are not from 1 to 25,000"),
        ({"bird.txt": b"3\n3\n\n3\n"}, "2 repeated numbers in the annotations count once"),
        ({"water_r1.txt": b"7\n9\n13\n"}, "2 numbers of the lists _r1 are not in the lists"),
        ({"bird.txt": b"3\n24990\n2"}, "bird.txt ends with 2 after 24990: it may be cut off"),
        (without("im2.jpg", "im20."), "left out, as their pictures are missing: 2 (im2.jpg, im20.jpg)"),
        (without("tags/tags9."), "left out, as their files of tags are missing: 1 (tags9.txt)"),
        ({TAG_LIST: b"sky 3\nblue 2\nsky 3\n2008 1\n"}, "common_tags.txt: 1 repeated lines count once"),
    ],
)
def test_what_is_odd_is_told(tmp_path, change, line):
    found = opened_changed(tmp_path, change).found
    assert any(line in one for one in found), found


OTHER = {f"old/{label}.txt": b"3\n4\n" for label in LISTS}
NO_LISTS = without(*(f"{label}.txt" for label in LISTS))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (without("bird.txt"), "bird.txt not found, expected from mirflickr25k_annotations_v080.zip"),
        (NO_LISTS, "animals.txt and 23 other lists not found, expected from mirflickr25k_annotations_v080.z"),
        (without("common_tags"), "doc/common_tags.txt not found, expected from mirflickr25k.zip"),
        (without("tags/tags"), "meta/tags/tags1.txt and the other tags not found, expected from mirfl"),
        (without(".jpg"), "pictures such as im1.jpg not found, expected from mirflickr25k.zip"),
        ({"bird.txt": b"3\n<html>\n"}, "bird.txt: line 2: found '<html>', expected the number of a picture"),
        ({"bird.txt": b"\n"}, "bird.txt: empty, expected the numbers of pictures"),
        ({TAG_LIST: b"sky 3\na b 2\n"}, "tags.txt: line 2: found 'a b 2', expected a tag and its number"),
        ({TAG_LIST: b""}, "common_tags.txt: empty, expected 1,386 tags"),
        (
            {"mirflickr25k.zip": b"PK\x03\x04"} | without(".jpg"),
            "im1.jpg not found.*; .*mirflickr25k.zip cannot be read, .*; load it again",
        ),
        (OTHER, "baby.txt differs from that in .*old; expected annotations of one version, keep one"),
        (without("tags/tags1.", "tags/tags2.", "tags/tags5."), "7 items of MIRFLICKR-25000, expected 8"),
    ],
)
def test_what_is_missing_or_damaged_ends_in_one_line(tmp_path, change, line):
    with refusal(line, tmp_path):
        opened_changed(tmp_path, change)


def test_a_folder_of_a_part_is_known_by_what_can_be_made_of_it(tmp_path):
    write(tmp_path, mirflickr()[0])
    assert [found.title for found in find_downloads(Files(tmp_path))] == ["MIRFLICKR-25000"]
    assert find_download(tmp_path, "flickr25k").title == "MIRFLICKR-25000"
    assert find_download(tmp_path, "NUS-WIDE-TC21") is None
    assert guess_dataset(tmp_path) == "MIRFLICKR"
