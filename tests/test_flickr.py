"""Flickr8k and Flickr30k as they unpack."""

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

COUNT = 12
NAMES = {
    "Flickr8k": sorted(f"{1000 + 37 * number}_{number:x}abc.jpg" for number in range(COUNT)),
    "Flickr30k": sorted(f"{3000 + 37 * number}.jpg" for number in range(COUNT)),
}
# One picture is in none.
PARTS = ["test", "dev", "train", "train", "dev", "test", *["train"] * 5]
ROWS = {part: [row for row, one in enumerate(PARTS) if one == part] for part in ("test", "dev", "train")}
TOKENS = {"Flickr8k": "Flickr8k.token.txt", "Flickr30k": "results_20130124.token"}


def caption(row: int, place: int) -> str:
    return f'A dog, "number {row}", runs {place} .'


def text_of(row: int) -> str:
    return "\n".join(caption(row, place) for place in range(5))


def lines(dataset: str) -> list[tuple[str, int, str]]:
    """Pictures in an order of their own, the captions of each from the last to the first."""
    order = [(row, place) for row in range(COUNT) for place in range(5)][::-1]
    return [(NAMES[dataset][row], place, caption(row, place)) for row, place in order]


def tokens(dataset: str, end: str = "\n") -> bytes:
    return "".join(f"{name}#{place}\t{text}{end}" for name, place, text in lines(dataset)).encode()


def kaggle(dataset: str) -> bytes:
    """Without numbers: the order is that of the lines."""
    doubled = [(name, place, text.replace('"', '""')) for name, place, text in lines(dataset)]
    rows = sorted(doubled, key=lambda one: one[:2])
    return ("image,caption\n" + "".join(f'{name},"{text}"\n' for name, _, text in rows)).encode()


def results() -> bytes:
    rows = "".join(f"{name}| {place}| {text}\n" for name, place, text in lines("Flickr30k"))
    return ("image_name| comment_number| comment\n" + rows).encode()


def pictures(dataset: str) -> dict[str, bytes]:
    return {f"Images/{name}": jpeg(row) for row, name in enumerate(NAMES[dataset])}


def karpathy(dataset: str) -> bytes:
    images = []
    for row, part in enumerate(PARTS):
        sentences = [{"raw": caption(row, place), "tokens": []} for place in range(5)]
        image = {"filename": NAMES[dataset][row], "imgid": row, "split": part.replace("dev", "val")}
        images.append(image | {"sentences": sentences})
    return json.dumps({"dataset": dataset.lower(), "images": images[::-1]}).encode()


def lists(dataset: str) -> dict[str, bytes]:
    found = {}
    for part, rows in ROWS.items():
        own = [NAMES[dataset][row] for row in rows]
        if dataset == "Flickr8k":
            found[f"Flickr_8k.{part}Images.txt"] = "\r\n".join(own).encode()
        else:
            names = [name.removesuffix(".jpg") for name in own]
            found[f"{part.replace('dev', 'val')}.txt"] = "\r\n".join(names).encode()
    return found


def opened(folder: Path, dataset: str) -> Pairs:
    return source(folder, dataset, image_size=16)


def assert_whole(pairs: Pairs, rows=range(COUNT)) -> None:
    assert pairs.labels.shape == (len(rows), 0)
    assert pairs.texts.shape == (len(rows), 0)
    assert list(pairs.captions) == [text_of(row) for row in rows]
    red = pairs.pictures.read(np.arange(len(rows)))[:, 4, 4, 0].astype(int)
    assert np.abs(red - np.array(rows)).max() <= 2


def assert_split(folder: Path, dataset: str, pairs: Pairs) -> None:
    split = choose_split(settings_of(folder, dataset, batch_size=4), pairs)
    assert split.query.tolist() == ROWS["test"]
    assert split.validation.tolist() == ROWS["dev"]
    assert split.training.tolist() == ROWS["train"]
    assert split.retrieval.tolist() == sorted(ROWS["dev"] + ROWS["train"])


CAPTIONS = [
    *((dataset, TOKENS[dataset], tokens(dataset)) for dataset in NAMES),
    ("Flickr8k", TOKENS["Flickr8k"], tokens("Flickr8k", "\r\n")),
    ("Flickr8k", "captions.txt", kaggle("Flickr8k")),
    ("Flickr8k", "captions.txt", kaggle("Flickr8k").replace(b"\n", b"\r\n")),
    ("Flickr30k", "captions.txt", kaggle("Flickr30k")),
    ("Flickr30k", "results.csv", results()),
]


@pytest.mark.parametrize(("dataset", "name", "content"), CAPTIONS)
def test_items_are_the_pictures_by_name_with_five_captions(tmp_path, dataset, name, content):
    folder = write(tmp_path / "data", {name: content} | pictures(dataset))
    assert guess_dataset(folder) == dataset
    pairs = opened(folder, dataset)
    assert_whole(pairs)
    assert (pairs.name, list(pairs.ids), pairs.own_split) == (dataset.lower(), NAMES[dataset], None)
    assert "12 items, " in pairs.found[-1]
    assert "in the literature: the captions are not those of the download" in pairs.found[-1]


@pytest.mark.parametrize("dataset", NAMES)
def test_a_split_comes_from_lists_or_from_karpathys_file(tmp_path, dataset):
    described = {
        "lists": {TOKENS[dataset]: tokens(dataset)} | lists(dataset),
        "karpathy": {TOKENS[dataset]: tokens(dataset), f"dataset_{dataset.lower()}.json": karpathy(dataset)},
        "alone": {f"dataset_{dataset.lower()}.json": karpathy(dataset)},
    }
    for name, files in (described | {"zipped": described["lists"]}).items():
        folder, files = tmp_path / name / "data", files | pictures(dataset)
        write_zip(folder / "all.zip", files) if name == "zipped" else write(folder, files)
        pairs = opened(folder, dataset)
        assert_whole(pairs, range(11 if name == "alone" else 12))
        assert_split(folder, dataset, pairs)
        found = "\n".join(pairs.found)
        assert "2 query, 9 retrieval, 7 training, 2 validation" in found
        assert ("1 items are in no part of the split" in found) == (name != "alone")


def test_pictures_have_names_in_upper_case_and_captions_of_another_encoding_are_told(tmp_path):
    content = tokens("Flickr8k").replace(caption(3, 0).encode(), b"A caf\xe9")
    files = {name.upper(): picture for name, picture in pictures("Flickr8k").items()}
    pairs = opened(write(tmp_path, files | {TOKENS["Flickr8k"]: content}), "Flickr8k")
    assert pairs.ids == NAMES["Flickr8k"]
    lacks = "captions of Flickr8k.token.txt that are not UTF-8 lack characters: those of 1 "
    assert f"{lacks}({pairs.ids[3]})" in pairs.found


def test_a_missing_list_is_said(tmp_path):
    files = {TOKENS["Flickr8k"]: tokens("Flickr8k")} | lists("Flickr8k") | pictures("Flickr8k")
    del files["Flickr_8k.devImages.txt"]
    pairs = opened(write(tmp_path, files), "Flickr8k")
    assert pairs.own_split is None
    assert "the split is not that of the lists: Flickr_8k.devImages.txt not found" in pairs.found


def test_what_is_missing_or_repeated_is_left_out_by_name(tmp_path):
    # As in Flickr8k itself: captions of a picture that has another name.
    lost = "2258_586949e.jpg.1"
    content = tokens("Flickr8k") + f"{lost}#0\tNo picture\n".encode()
    first, second, third = NAMES["Flickr8k"][:3]
    content = content.replace(f"{second}#4\t{caption(1, 4)}\n".encode(), b"")
    content += content.splitlines(keepends=True)[7] + content.splitlines(keepends=True)[8]
    files = {TOKENS["Flickr8k"]: content} | pictures("Flickr8k") | {f"Images/{third}": None}
    pairs = opened(write(tmp_path / "data", files), "Flickr8k")
    assert list(pairs.ids) == [first, second, *NAMES["Flickr8k"][3:]]
    assert pairs.captions[1] == "\n".join(caption(1, place) for place in range(4))
    assert pairs.captions[2:] == tuple(text_of(row) for row in range(3, 12))
    found = "\n".join(pairs.found)
    assert f"left out, as their pictures are missing: 2 ({third}, {lost})" in found
    assert f"items with fewer than 5 captions: 1 ({second})" in found
    assert "2 lines of Flickr8k.token.txt repeat others" in found


def test_tables_may_repeat_lines_or_lack_a_cell(tmp_path):
    rows = kaggle("Flickr8k").splitlines(keepends=True)
    folder = write(tmp_path / "a" / "data", {"captions.txt": b"".join([*rows, rows[3], rows[9]])})
    pairs = opened(write(folder, pictures("Flickr8k")), "Flickr8k")
    assert_whole(pairs)
    assert "2 lines of captions.txt repeat others" in "\n".join(pairs.found)
    many = "".join(f"7{number}.jpg| 0| Nothing\n" for number in range(120)).encode()
    content = results() + many + b"3000.jpg| 4   A dog without a bar .\n"  # as one row of Kaggle's file is
    # A zip file of another name may be anything.
    others = pictures("Flickr30k") | {"flickr30k_images.zip": b"PK\x03\x04"}
    folder = write(tmp_path / "b" / "data", {"results.csv": content} | others)
    pairs = opened(folder, "Flickr30k")
    assert_whole(pairs)
    assert "lines of results.csv that cannot be read are left out: 1 (line 182)" in "\n".join(pairs.found)


KAGGLES = {"captions.txt": kaggle("Flickr8k")[:-3], TOKENS["Flickr8k"]: None}
NO_PICTURES = dict.fromkeys(pictures("Flickr8k"))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({TOKENS["Flickr8k"]: b"<html>\nNot found\n</html>\n"}, "3 of 3 lines cannot be read"),
        ({TOKENS["Flickr8k"]: b""}, "token.txt: empty; expected"),
        (KAGGLES, "expected a row of CSV"),
        (
            lists("Flickr8k") | {"Flickr_8k.devImages.txt": lists("Flickr8k")["Flickr_8k.testImages.txt"]},
            f"line 1: found '{NAMES['Flickr8k'][ROWS['test'][0]]}', expected a picture that is not in",
        ),
        (lists("Flickr8k") | {"Flickr_8k.devImages.txt": b"1.jpg\n"}, "line 1: found '1.jpg'"),
        (
            lists("Flickr8k") | {"Flickr_8k.devImages.txt": b"9_9.jpg\n"},
            "none of the 12 items is in the part val",
        ),
        ({"dataset_flickr8k.json": karpathy("Flickr8k")[:99]}, r"dataset_flickr8k\.json: .*cut off"),
        (NO_PICTURES, r"pictures not found, .*Dataset\.zip"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, changed, line):
    whole = {TOKENS["Flickr8k"]: tokens("Flickr8k")} | pictures("Flickr8k")
    refused(line, write(tmp_path / "data", whole | changed), "Flickr8k")


def test_kaggles_table_with_labels_is_a_collection(tmp_path):
    name = NAMES["Flickr8k"][0]
    folder = write(tmp_path, {"captions.txt": f"image,caption,labels\n{name},A dog,dog\n".encode()})
    assert guess_dataset(folder) == "collection"
