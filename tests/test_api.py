"""The front door in Python: what `import gch` offers."""

import doctest
import importlib

import pytest

import gch
from gch import api


@pytest.mark.parametrize("name", sorted({*gch.__all__} - {"ExportedModel"}))  # test_search runs that one
def test_every_public_name_has_a_docstring_whose_example_runs(name):
    public = getattr(gch, name)
    assert public.__doc__
    module = importlib.import_module(public.__module__)
    found = doctest.DocTestFinder(recurse=False).find(public, name, module, extraglobs={"gch": gch})
    for test in found:
        assert doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test).failed == 0


def test_wrong_use_is_one_line(tmp_path):
    with pytest.raises(gch.GCHError, match=r"gch\.train: unknown setting bits; did you mean bit"):
        gch.train(bits=32)
    with pytest.raises(gch.GCHError, match="not found; expected a tested run"):
        api.Run(tmp_path).results  # noqa: B018
