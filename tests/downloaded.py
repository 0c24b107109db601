"""Small official downloads, written by independent means, with what must become of them."""

import functools
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

# ---------------------------------------------------------------- MIRFLICKR-25000
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


@functools.cache
def jpeg(number: int, side: int = 24) -> bytes:
    """A picture of one colour, that tells its number."""
    with io.BytesIO() as file:
        Image.new("RGB", (side, side), (number % 256, 100, 200 - number % 150)).save(file, "jpeg", quality=95)
        return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.parent


def mirflickr(end: str = "\n") -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of the collection and of the annotations."""
    collection = {"mirflickr/doc/common_tags.txt": end.join(f"{tag} 20" for tag in COMMON).encode()}
    for number, tags in TAGS.items():
        collection[f"mirflickr/im{number}.jpg"] = jpeg(number)
        collection[f"mirflickr/meta/tags/tags{number}.txt"] = "".join(tag + end for tag in tags).encode()
        collection[f"mirflickr/meta/tags_raw/tags{number}.txt"] = b"Raw Sky\n"
    lists = {f"{label}.txt": LABELLED.get(label, [3]) for label in LISTS}
    lists |= {"water_r1.txt": [9, 12], "sky_r1.txt": [8]}
    annotations = {name: "".join(f"{n}{end}" for n in numbers).encode() for name, numbers in lists.items()}
    return collection, annotations | {"README.txt": b"Potential and relevant labels"}


def mirflickr_labels() -> np.ndarray:
    return np.array([[number in LABELLED.get(label, [3]) for label in LISTS] for number in ITEMS], np.uint8)


def mirflickr_words() -> np.ndarray:
    return np.array([[tag in TAGS[number] for tag in COMMON] for number in ITEMS], np.uint8)


# ---------------------------------------------------------------- NUS-WIDE
CONCEPTS = [f"concept{number:02d}" for number in range(81)]
NUS_WORDS = [f"word{number}" for number in range(1000)]
ROWS = 40
_RANDOM = np.random.default_rng(3)
# Concept c has about 39 - c / 2 pictures, but concepts 5 and 7 none and 60 many.
NUS_TRUTH = np.array([[row >= concept // 2 for concept in range(81)] for row in range(ROWS)], np.uint8)
NUS_TRUTH[:, [5, 7]] = 0
NUS_TRUTH[:, 60] = 1
NUS_TRUTH[3] = 0  # no label at all
NUS_TRUTH[4] = 0
NUS_TRUTH[4, 80] = 1  # a rare label alone
NUS_TAGS = (_RANDOM.random((ROWS, 1000)) < 0.01).astype(np.uint8)
NUS_TAGS[6] = 0  # no tag
NUS_NAMES = [f"{'actor' if row < 25 else 'zoo'}/{row % 25 + 1:04d}_{9000 + row}.jpg" for row in range(ROWS)]


def nus_wide(end: str = "\n", between: str = "\t") -> dict[str, bytes]:
    """The files of the download as they unpack, with the pictures."""
    files = {
        "ImageList/Imagelist.txt": "".join(name.replace("/", "\\") + end for name in NUS_NAMES).encode(),
        "ConceptsList/Concepts81.txt": "".join(concept + end for concept in CONCEPTS).encode(),
        "NUS_WID_Tags/TagList1k.txt": "".join(word + end for word in NUS_WORDS).encode(),
        "NUS_WID_Tags/AllTags1k.txt": "".join(
            between.join(map(str, row)) + between + end for row in NUS_TAGS.tolist()
        ).encode(),
        "NUS_WID_Tags/AllTags81.txt": b"0 1\n",
    }
    for number, concept in enumerate(CONCEPTS):
        column = "".join(f"{value}{end}" for value in NUS_TRUTH[:, number])
        files[f"Groundtruth/AllLabels/Labels_{concept}.txt"] = column.encode()
        files[f"Groundtruth/TrainTestLabels/Labels_{concept}_Train.txt"] = b"0\n1\n"
    return files | {f"Flickr/{name}": jpeg(row) for row, name in enumerate(NUS_NAMES)}
