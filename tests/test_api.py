"""The front door in Python: what `import gch` offers."""

import doctest
import importlib
from pathlib import Path

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


def test_an_export_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "run_settings", lambda *_: None)
    monkeypatch.setattr(api, "run_job", lambda *_: None)
    places = {None: tmp_path / "export", "": tmp_path / "export", "there": Path("there")}
    assert {out: api.Run(tmp_path).export(out) for out in places} == places


def test_wrong_use_is_one_line(tmp_path):
    with pytest.raises(gch.GCHError, match=r"gch\.train: unknown setting bits; did you mean bit"):
        gch.train(bits=32)
    with pytest.raises(gch.GCHError, match=r"gch\.train: bit is '8'; expected a whole number"):
        gch.train(bit="8")
    with pytest.raises(gch.GCHError, match="not found; expected a tested run"):
        api.Run(tmp_path).results  # noqa: B018
