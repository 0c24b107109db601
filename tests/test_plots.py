import dataclasses

import numpy as np
import pytest
from PIL import Image
from records import changed, record, unlabelled

from gch.errors import GCHError
from gch.reporting import plots


def drawn_of(*records) -> dict:
    return dict(plots.draw_all(records))


@pytest.fixture(scope="module")
def one():
    found = record("a")
    found.results["label_names"] = ["sky", "sea", "tree", "dog"]
    return found


@pytest.fixture(scope="module")
def drawn(one):
    return drawn_of(one)


def test_figures_show_what_was_measured(one, drawn):
    axes = drawn["precision_at_n"].axes[1]
    curve = one.directions["T->I"]["rank"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), curve["rank"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curve["precision"])
    assert axes.get_title() == "text → image"
    relevant, other = (
        sum(bar.get_height() for bar in bars) for bars in drawn["distances"].axes[0].containers
    )
    assert (relevant, other) == pytest.approx((1, 1))
    axes = drawn["map_by_label"].axes[0]
    (marks,) = axes.lines
    np.testing.assert_allclose(marks.get_xdata(), np.array(one.new["I->T"]["mAP_by_label"], float))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["sky", "sea", "tree", "dog"]
    assert set(drawn) == {*plots.CURVES, "distances", "map_by_label"}


def test_directions_of_pairs_have_plots_of_their_own_of_the_records_that_have_them(one):
    pairs = [record("b", 1, pairs=True), record("c", 2, bits=8, pairs=True)]
    drawn = drawn_of(one, *pairs)
    names = {*plots.CURVES, "distances", "map_by_label", "map_by_bits"}
    assert set(drawn) == names | {f"{name}_pairs" for name in names}
    titles = [axes.get_title() for axes in drawn["precision_recall_pairs"].axes]
    assert titles == ["image → pair", "text → pair", "pair → pair"]
    lines = drawn["precision_at_n_pairs"].axes[2].lines
    assert [line.get_label() for line in lines] == ["b", "c"]
    np.testing.assert_allclose(lines[1].get_ydata(), pairs[1].directions["pair->pair"]["rank"]["precision"])
    assert len(drawn["distances_pairs"].axes) == 6
    assert len(drawn["precision_at_n"].axes) == 2


def test_by_bits_a_line_is_the_mean_of_the_runs():
    runs = [record(str(seed + bits), seed, bits, method="gch") for seed, bits in ((0, 8), (1, 8), (0, 16))]
    axes = drawn_of(*runs)["map_by_bits"].axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    for label, new in (("gch", False), ("gch, new items", True)):
        means = [run.mean("I->T", "mAP", new) for run in runs]
        np.testing.assert_allclose(lines[label], [np.mean(means[:2]), means[2]])
    runs[1].settings["graph"], runs[0].settings["graph"] = "none", "label"
    lines = drawn_of(*runs)["map_by_bits"].axes[0].get_legend_handles_labels()[1]
    assert {"gch graph=label", "gch graph=none", "gch"} < {*lines}
    bare = {"evaluation_not_trained_on": None, "settings": {"method": "gch"}}
    drawn = drawn_of(*(changed(run, **bare) for run in runs))
    assert drawn["map_by_bits"].axes[0].get_legend_handles_labels()[1] == ["gch"]
    assert drawn["map_by_label"].axes[0].get_legend_handles_labels()[1] == ["8", "9", "16"]


def test_own_halves_are_drawn_with_labels_and_without(one):
    runs = [
        unlabelled(str(bits + seed), seed, bits, method="gch") for seed, bits in ((0, 8), (1, 8), (0, 16))
    ]
    drawn = drawn_of(*runs)
    assert set(drawn) == {"own_half", "own_half_by_bits"}
    axes = drawn["own_half"].axes[1]
    for line, run in zip(axes.lines, runs, strict=True):
        curve = run.own_half["T->I"]["rank"]
        np.testing.assert_array_equal(line.get_xdata(), curve["rank"])
        np.testing.assert_allclose(line.get_ydata(), curve["recall"])
    mean = drawn["own_half_by_bits"].axes[0].lines[0].get_ydata()
    recalls = [run.own_half_mean("I->T", "recall@10") for run in runs]
    np.testing.assert_allclose(mean, [np.mean(recalls[:2]), recalls[2]])
    both = drawn_of(one, changed(one, own_half=runs[2].own_half), runs[2])
    assert set(both) == {*plots.CURVES, "distances", "map_by_label", "own_half"}
    assert len(both["own_half"].axes[0].lines) == 2


def test_figures_are_saved_and_become_pixels(drawn, tmp_path):
    figure = drawn["precision_recall"]
    plots.save(figure, tmp_path / "plots" / "one.two")
    with Image.open(tmp_path / "plots" / "one.two.png") as picture:
        size = picture.size
    assert "<svg" in (tmp_path / "plots" / "one.two.svg").read_text()
    pixels = plots.pixels(figure)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (size[1], size[0], 3)
    assert pixels.min() < 50
    assert pixels.max() == 255


def test_names_are_no_formulas(monkeypatch):
    monkeypatch.setattr(plots, "DPI", 30)
    found = record("run $x_$ \\frac$ \udcff")
    found.results["label_names"] = names = ["50% off $ & 20% off $", "$\\frac$", r"\$ and $\$", "$"]
    drawn = drawn_of(found, dataclasses.replace(found, name="$$ other $"))
    for figure in drawn.values():
        plots.pixels(figure)
    assert [tick.get_text() for tick in drawn["map_by_label"].axes[0].get_yticklabels()] == [
        name.replace("$", r"\$") for name in names
    ]


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)
    with pytest.raises(GCHError, match="pip install"):
        drawn_of(record("a"))
