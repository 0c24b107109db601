"""The front door in Python: what `import gch` offers."""

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pytest
from entry import QUICK, SCHEDULE, save_small_backbone

import gch
from gch import api


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    places = {"DATA_DIR": folder, "checkpoint_dir": folder / "runs", "log_dir": folder / "logs"}
    places = {name: str(path) for name, path in places.items()}
    save_small_backbone(folder / "small.keras")
    settings = SCHEDULE | QUICK | {"dataset_dir": "generated", "image_size": 64, "Epoch": 1}
    return gch.train(**settings, netStr=str(folder / "small.keras"), **places)


def test_importing_loads_neither_numpy_nor_tensorflow():
    code = "import gch, sys; dir(gch); sys.exit(any(name in sys.modules for name in ('numpy', 'tensorflow')))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted({*gch.__all__} - {"ExportedModel"}))  # test_search runs that one
def test_every_public_name_has_a_docstring_whose_example_runs(name):
    public = getattr(gch, name)
    assert public.__doc__
    module = importlib.import_module(public.__module__)
    found = doctest.DocTestFinder(recurse=False).find(public, name, module, extraglobs={"gch": gch})
    for test in found:
        assert doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test).failed == 0


def test_a_run_is_trained_opened_and_tested_again(run):
    found = run.results
    assert found["mAP"]["I->T"] > 0.2
    again = gch.open_run(run.folder)
    assert again.settings["bit"] == 16
    again.test(ties="optimistic")
    assert again.results["mAP"]["I->T"] >= found["mAP"]["I->T"]


def test_a_trained_run_answers_queries(run):
    model = gch.load(run.export())
    words = list(model.words)[:4]
    codes = model.encode_texts([words[0], words[1:3], " ".join(words[3:])])
    assert (codes.shape, codes.dtype) == ((3, 2), np.uint8)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), np.uint8)
    found = gch.Index(model.encode_images(pictures), ids=list("abcde")).search(codes, k=2)
    assert found.ids.shape == found.distances.shape == (3, 2)
    assert set(found.ids.ravel()) <= set("abcde")
    unified = model.encode_pairs([*pictures[:2], None], [words[0], None, words[1:3]])
    np.testing.assert_array_equal(unified[1:], [model.encode_images(pictures[1:2])[0], codes[1]])


def test_wrong_use_is_one_line(run, tmp_path):
    with pytest.raises(gch.GCHError, match=r"gch\.train: unknown setting bits; did you mean bit"):
        gch.train(bits=32)
    with pytest.raises(gch.GCHError, match="test: bit cannot change; a run keeps"):
        run.test(bit=8)
    with pytest.raises(gch.GCHError, match="not found; expected a tested run"):
        api.Run(tmp_path).results  # noqa: B018
