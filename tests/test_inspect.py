"""inspect: what it tells of a data set, and that its lines train."""

import dataclasses
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from written import write_hdf5

from gch.commands.inspect import _by_label
from gch.data.generated import generate

ITEMS, SIDE = 60, 12


def collection(folder: Path, file: str, *lines: str, inner: str = ".") -> Path:
    """A folder of 40 pictures, with the lines that describe them."""
    (folder / inner).mkdir(parents=True)
    for number in range(40):
        Image.new("RGB", (30, 20), (number, 0, 0)).save(folder / inner / f"{number}.png")
    (folder / file).write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def flickr(tmp_path) -> Path:
    random = np.random.default_rng(0)
    words, labels = random.integers(0, 2, (9, ITEMS)), random.integers(0, 2, (3, ITEMS))
    words[0] = labels[0] = 1
    words[:, 5] = labels[:, 7] = 0
    images = np.full((ITEMS, 3, SIDE, SIDE), 200, np.uint8)
    write_hdf5(tmp_path / "FLICKR-25K.mat", images=images, YAll=words, LAll=labels)
    return tmp_path


def test_prints_arrays_counts_and_settings(command, flickr, tmp_path):
    sheet = tmp_path / "sheet.png"
    status, output, error = command("inspect", flickr, f"--out={sheet}")
    assert (status, error) == (0, "")
    assert "FLICKR-25K.mat: images uint8 (60, 3, 12, 12): pixels, axes NCHW" in output
    assert "flickr25k: 60 items, pictures of 12 x 12, 9 words, 3 labels" in output
    assert "97% of what is retrieved is trained on" not in output
    assert "1 of 60 items have no word" in output
    assert "1 of 60 items have no label" in output
    with h5py.File(flickr / "FLICKR-25K.mat") as file:
        for number, count in enumerate(file["LAll"][()].sum(axis=1)):
            assert re.search(rf"label {number} +{count} +{count / ITEMS:.1%}", output)
    for line in ('dataset_dir = "FLICKR"', f'DATA_DIR = "{flickr}"', "image_size = 12"):
        assert f"    {line}\n" in output
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    assert pixels.shape == (3 * (160 + 128 + 6) + 6, 6 * (160 + 6) + 6, 3)
    assert (pixels[6 : 6 + 160, 6 : 6 + 160] == 200).all()  # the first picture
    assert (pixels[6 + 160 : 6 + 288, 6 : 6 + 160] == 0).any()  # its words, in black


def test_describes_a_collection_without_decoding_it(command, tmp_path):
    lines = [f"{number}.png,{'The blue whale' if number % 2 else 'a red fox'},animal" for number in range(40)]
    lines += ["gone.png,a whale,animal", "unlabelled.png,a whale,"]
    folder = collection(tmp_path / "mine", "list.csv", "path,text,labels", *lines)
    status, output, _ = command("inspect", folder, f"--out={tmp_path / 'sheet.png'}")
    assert status == 0
    assert "list.csv: 41 pictures with free text and 1 labels" in output
    assert "have no label: 1 entries (unlabelled.png" in output
    assert "97% of what is retrieved is trained on" in output
    assert "1 of 41 picture files are missing, such as gone.png" in output
    assert re.search(r"vocabulary of the training items: 4 words, most frequent: .*(fox|whale)", output)
    assert '    dataset_dir = "collection"\n' in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "sheet.png"]
    assert not (folder / "cache").exists()


def test_says_what_follows_without_labels(command, tmp_path):
    lines = [f"{row}.png,The blue whale {row % 3}\n{row}.png,a red fox" for row in range(40)]
    folder = collection(tmp_path / "mine", "captions.txt", "image,caption", *lines, inner="Images")
    status, output, error = command("inspect", folder, f"--out={tmp_path / 'sheet.png'}")
    assert (status, error) == (0, "")
    assert "captions.txt: 40 pictures with free text and no labels" in output
    assert "collection: 40 items, picture files, brought to 224 x 224, raw texts, no labels" in output
    assert "No labels: pairs belong together whose pictures and texts are alike" in output
    assert '    dataset_dir = "collection"\n' in output
    for of_labels in ("labels per item", "Items by label", "no label,", "mAP of new items", "drops no word"):
        assert of_labels not in output


def test_captions_of_rare_words_lead_to_an_encoder_whose_setting_is_kept(command, tmp_path):
    words = ["owl", "bat", "elk", "yak", *["whale"] * 36]
    lines = [f"{number}.png,{word}" for number, word in enumerate(words)]
    folder = collection(tmp_path / "mine", "list.csv", "path,text", *lines)
    _, plain, _ = command("inspect", folder, f"--out={tmp_path / 'sheet.png'}")
    assert "txtStr = 'sentences' drops no word" in plain
    assert ("4 of 40 items have no word" in plain, "    txtStr =" in plain) == (True, False)
    _, encoded, _ = command("inspect", folder, "--txtStr=sentences", f"--out={tmp_path / 'sheet.png'}")
    assert ("drops no word" in encoded, "have no word" in encoded) == (False, False)
    assert encoded.count('    txtStr = "sentences"\n') == encoded.count("    DATA_DIR =") == 1


def test_the_name_of_a_label_stays_on_its_line():
    pairs = dataclasses.replace(generate(8, labels=3, image_size=8), label_names=("a\nb", "c", "d"))
    assert [line.split()[0] for line in _by_label(pairs)] == [r"'a\nb'", "c", "d"]


def test_an_embedded_set_is_inspected_too(command, tmp_path):
    status, output, _ = command(
        "inspect", "--dataset_dir=generated", "--image_size=32", f"--out={tmp_path / 'sheet.png'}"
    )
    assert status == 0
    assert "generated: 600 items" in output


@pytest.mark.parametrize("name", ["notes.txt", "notes.png"])
def test_never_writes_over_something_else(command, flickr, tmp_path, name):
    path = tmp_path / name
    path.write_text("mine")
    status, _, error = command("inspect", flickr, f"--out={path}")
    assert status == 1
    assert str(path) in error
    assert path.read_text() == "mine"
