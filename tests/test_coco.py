"""MS-COCO as it unpacks."""

import json
from pathlib import Path

import numpy as np
import pytest
from downloaded import jpeg, write, write_zip
from sources import settings_of
from written import refused, source

from gch.commands.source import guess_dataset
from gch.data.catalog import choose_split
from gch.data.pairs import Pairs

# Categories have gaps in their numbers, and are not listed in their order; no picture has a bear.
CATEGORIES = {1: "person", 90: "toothbrush", 3: "car", 23: "bear"}
NAMES = ("person", "car", "bear", "toothbrush")
# Pictures by number: their part, and the category of each object in them.
PICTURES = {
    9: ("train", [3, 3, 1]),
    25: ("val", [90]),
    30: ("train", []),  # without a category
    42: ("val", [1, 90]),
    61: ("train", [1]),
    64: ("train", [3]),
    71: ("val", [3, 90]),
    72: ("train", [90]),
    73: ("val", [1]),
    74: ("train", [1, 3]),
    81: ("train", [3]),
    89: ("train", [1]),
    91: ("train", [3, 90]),
}
ITEMS = [number for number, (_, objects) in PICTURES.items() if objects]
SHAPES = ({"segmentation": {"counts": [7, 9], "size": [480, 640]}}, {"segmentation": [[1.5, 2.25, 3.0]]})


def captions_of(number: int) -> list[str]:
    return [f"Caption {place} of\n picture {number} " for place in range(6 if number == 61 else 5)]


def text_of(number: int, captions: int = 5) -> str:
    return "\n".join(f"Caption {place} of picture {number}" for place in range(captions))


def named(year: str, number: int) -> str:
    part = PICTURES[number][0]
    start = f"COCO_{part}2014_" if year == "2014" else ""
    return f"{part}{year}/{start}{number:012}.jpg"


def annotations(year: str = "2014") -> dict[str, dict]:
    """The content of the four files, by name."""
    files = {}
    categories = [{"id": key, "name": name, "supercategory": "x"} for key, name in CATEGORIES.items()]
    for part in ("train", "val"):
        own = [number for number, (of, _) in PICTURES.items() if of == part]
        images = [
            {"id": number, "file_name": named(year, number).split("/")[1], "license": 3, "height": 480}
            for number in reversed(own)
        ]
        objects = [
            {"id": 1000 * number + place, "image_id": number, "category_id": category} | SHAPES[place > 0]
            for number in own
            for place, category in enumerate(PICTURES[number][1])
        ]
        texts = [
            {"id": 100 * number + place, "image_id": number, "caption": caption}
            for number in own
            for place, caption in enumerate(captions_of(number))
        ]
        instances = {"images": images, "annotations": objects, "categories": categories}
        files[f"instances_{part}{year}.json"] = {"info": {"year": 2014}} | instances
        # The last come first: numbers tell the order of captions.
        files[f"captions_{part}{year}.json"] = {"images": images, "annotations": texts[::-1]}
    return files


def packed(files: dict[str, dict]) -> dict[str, bytes]:
    return {f"annotations/{name}": json.dumps(content).encode() for name, content in files.items()}


def pictures(year: str = "2014") -> dict[str, bytes]:
    return {named(year, number): jpeg(number) for number in PICTURES}


def coco(folder: Path, year: str = "2014", changed: dict | None = None) -> Path:
    return write(folder, packed(annotations(year)) | pictures(year) | (changed or {}))


def karpathy(parts: dict[int, str]) -> bytes:
    images = []
    for number, part in parts.items():
        folder, name = named("2014", number).split("/")
        sentences = [{"raw": text, "tokens": text.split(), "sentid": 1} for text in captions_of(number)]
        image = {"filepath": folder, "filename": name, "cocoid": number, "imgid": len(images)}
        images.append(image | {"split": part, "sentids": [1], "sentences": sentences})
    return json.dumps({"images": images, "dataset": "coco"}).encode()


def opened(folder: Path) -> Pairs:
    return source(folder, "COCO", image_size=16)


def assert_whole(pairs: Pairs, numbers=ITEMS) -> None:
    held = [[CATEGORIES[one] for one in PICTURES[number][1]] for number in numbers]
    wanted = [[name in names for name in NAMES] for names in held]
    assert pairs.label_names == NAMES
    np.testing.assert_array_equal(pairs.labels, np.array(wanted, np.uint8))
    assert list(pairs.captions) == [text_of(number) for number in numbers]
    red = pairs.pictures.read(np.arange(len(numbers)))[:, 4, 4, 0].astype(int)
    assert np.abs(red - np.array(numbers)).max() <= 2


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_items_are_the_pictures_with_a_category_by_number(tmp_path, year):
    folder = coco(tmp_path / "data", year)
    for picture in list(folder.rglob("*.jpg"))[::2]:
        picture.rename(picture.with_suffix(".JPG"))
    assert guess_dataset(folder) == "COCO"
    pairs = opened(folder)
    assert_whole(pairs)
    assert pairs.texts.shape == (len(ITEMS), 0)
    assert pairs.ids == [named(year, number) for number in ITEMS]
    found = "\n".join(pairs.found)
    train = named(year, 30)
    assert f"left out, as they have no category: 1 ({train})" in found
    assert "labels that no item has: 1 (bear)" in found
    more = named(year, 61)
    assert f"pictures with more than 5 captions, of which the first count: 1 ({more})" in found
    assert "12 items, 122,218 in the literature: the annotations are not those of the download" in found
    assert pairs.own_split is None


def test_zip_files_are_read_in_place_and_what_was_read_is_kept(tmp_path, monkeypatch):
    folder = tmp_path / "zipped" / "data"
    write_zip(folder / "annotations_trainval2014.zip", packed(annotations()))
    for part in ("train", "val"):
        own = {name: data for name, data in pictures().items() if name.startswith(part)}
        write_zip(folder / f"{part}2014.zip", own)
    first = opened(folder)
    assert_whole(first)
    monkeypatch.setattr("json.load", None)  # nothing is parsed again
    second = opened(folder)
    assert (first.digest, first.captions) == (second.digest, second.captions)
    assert first.ids == [named("2014", number) for number in ITEMS]
    cached = next((folder / "cache").glob("coco-annotations-*.json"))
    cached.write_text(cached.read_text().replace('"pictures"', '"paintings"'))
    monkeypatch.undo()
    assert opened(folder).digest == first.digest  # damaged: read again
    assert '"pictures"' in cached.read_text()


def test_karpathys_split_keeps_all_of_its_pictures(tmp_path):
    parts = dict.fromkeys(PICTURES, "train") | {9: "test", 30: "test", 25: "val", 42: "val", 71: "restval"}
    del parts[89]
    for year in ("2014", "2017"):
        folder = coco(tmp_path / year / "data", year, {"dataset_coco.json": karpathy(parts)})
        pairs = opened(folder)
        assert len(pairs.labels) == len(PICTURES)  # 89 has a category, 30 is of the split
        rows = {number: row for row, number in enumerate(sorted(PICTURES))}
        of = {part: [rows[number] for number, one in parts.items() if one == part] for part in parts.values()}
        split = choose_split(settings_of(folder, "COCO", batch_size=4), pairs)
        assert split.query.tolist() == of["test"]
        assert split.validation.tolist() == of["val"]
        assert split.training.tolist() == sorted(of["train"] + of["restval"])
        assert split.retrieval.tolist() == sorted([*split.training, *split.validation])
        found = "\n".join(pairs.found)
        assert "that of dataset_coco.json: 2 query, 10 retrieval, 8 training, 2 validation" in found
        assert "1 items are in no part of the split" in found
        assert "1 items have no category; they stay, as dataset_coco.json has them" in found


def test_karpathys_file_alone_gives_captions_without_labels(tmp_path):
    parts = dict.fromkeys(PICTURES, "train") | {9: "test", 25: "val", 71: "restval"}
    for year in ("2014", "2017"):
        folder = write(tmp_path / year / "data", {"dataset_coco.json": karpathy(parts)} | pictures(year))
        pairs = opened(folder)
        assert pairs.labels.shape == (len(PICTURES), 0)
        assert list(pairs.captions) == [text_of(number) for number in sorted(PICTURES)]
        names = {"2014": lambda number: named("2014", number), "2017": "{:012}.jpg".format}
        assert pairs.ids == [names[year](number) for number in sorted(PICTURES)]


def test_pictures_and_captions_that_are_missing_are_left_out_by_name(tmp_path):
    gone, silent, files = named("2014", 64), named("2014", 73), annotations()
    texts = files["captions_val2014.json"]
    texts["annotations"] = [one for one in texts["annotations"] if one["image_id"] != 73]
    texts["annotations"].append({"id": 1, "image_id": 5, "caption": "of no picture"})
    files["instances_train2014.json"]["annotations"].append({"id": 1, "image_id": 6, "category_id": 1})
    pairs = opened(coco(tmp_path / "data", changed=packed(files) | {gone: None}))
    assert_whole(pairs, [number for number in ITEMS if number not in (64, 73)])
    found = "\n".join(pairs.found)
    assert f"left out, as their pictures are missing: 1 ({gone})" in found
    assert f"left out, as they have no caption: 1 ({silent})" in found
    assert "annotations of pictures that are not listed are left out: 2 (5, 6)" in found
    assert "10 items, 122,218 in the literature: pictures or captions are missing" in found


def test_one_part_alone_is_read_and_said(tmp_path):
    folder = coco(tmp_path / "data")
    for path in (*folder.glob("*/*val2014.json"), *folder.glob("val2014/*")):
        path.unlink()
    pairs = opened(folder)
    assert_whole(pairs, [number for number in ITEMS if PICTURES[number][0] == "train"])
    assert "8 items, 122,218 in the literature: annotations of train2014 only" in pairs.found


TRAIN, WHOLE = "annotations/instances_train2014.json", annotations()["instances_train2014.json"]
NUMBER = {"image_id": 9, "category_id": 2}
RENAMED = {"id": 9, "file_name": "000000000009.jpg"}
OF_2017 = dict.fromkeys(pictures()) | pictures("2017")


def train(**changed) -> dict[str, bytes]:
    """The objects of train2014 with other fields; None leaves one out."""
    content = {name: value for name, value in (WHOLE | changed).items() if value is not None}
    return packed({"instances_train2014.json": content})


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({TRAIN: packed({"a": WHOLE})["annotations/a"][:-200]}, "cut off"),
        ({TRAIN: b"<!DOCTYPE html><html>not found</html>"}, r"cannot be read as JSON.*annotations"),
        ({TRAIN: b"[1]"}, r"found \[1\], expected a JSON object"),
        ({TRAIN: b"\xff\xfe{}"}, "cannot be read as JSON"),
        ({TRAIN: None}, r"instances_train2014\.json not found, expected from annotations_trainval2014\.zip"),
        (train(images=None), "images is missing, expected a JSON list"),
        (
            train(annotations=[{"image_id": 9}]),
            r"\[0\] is \{.*expected image_id \(int\), category_id",
        ),
        (train(annotations=[NUMBER]), "found category_id 2, expected one of its categories"),
        (train(categories=WHOLE["categories"][:-1]), "categories differ|found category_id 23"),
        (
            train(images=[*WHOLE["images"], RENAMED]),
            "picture 9 is 'train2014/COCO_.*' and 'train2014/0.*', expected annotations of one year",
        ),
        (
            {"dataset_coco.json": b'{"images": []}'},
            r"dataset_coco\.json: images is \[\], expected",
        ),
        ({"dataset_coco.json": karpathy({9: "tests"})}, r"\[0\]\.split is 'tests', expected one of train"),
        (
            {"dataset_coco.json": karpathy({9: "test", 25: "val"})},
            "none of the .* items is in the part training",
        ),
        (pictures("2017") | {"annotations/instances_val2017.json": b"{}"}, "2014 and of 2017 found"),
        (OF_2017, r"annotations are of 2014, pictures of 2017; .*train2014\.zip"),
        ({"annotations_trainval2014.zip": b"PK\x03\x04"}, r"annotations_trainval2014\.zip cannot be read"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, changed, line):
    refused(line, coco(tmp_path / "data", changed=changed), "COCO")
