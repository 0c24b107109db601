import dataclasses

import numpy as np
import pytest
from PIL import Image
from records import record

from gch.errors import GCHError
from gch.reporting import plots


def drawn_of(*records) -> dict:
    return dict(plots.draw_all(records))


def test_every_plot_is_drawn_and_that_by_bits_where_there_are_several():
    one = drawn_of(record("a"))
    assert set(one) == {
        "precision_recall",
        "precision_at_n",
        "precision_recall_of_radii",
        "distances",
        "map_by_label",
    }
    assert "map_by_bits" in drawn_of(record("a"), record("b", bits=8))


def test_lines_show_the_figures():
    one = record("a")
    axes = drawn_of(one)["precision_at_n"].axes[1]
    curve = one.directions["T->I"]["rank"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), curve["rank"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), curve["precision"])
    assert axes.get_title() == "text → image"


def test_bars_are_shares_of_the_pairs():
    axes = drawn_of(record("a"))["distances"].axes[0]
    relevant, other = (sum(bar.get_height() for bar in bars) for bars in axes.containers)
    assert (relevant, other) == pytest.approx((1, 1))


def test_by_bits_a_line_is_the_mean_of_the_runs():
    runs = [
        record("a", 0, 8, method="gch"),
        record("b", 1, 8, method="gch"),
        record("c", 0, 16, method="gch"),
    ]
    axes = drawn_of(*runs)["map_by_bits"].axes[0]
    means = [run.mean("I->T", "mAP") for run in runs]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [np.mean(means[:2]), means[2]])
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    means = [run.mean("I->T", "mAP", new=True) for run in runs]
    np.testing.assert_allclose(lines["gch, new items"], [np.mean(means[:2]), means[2]])


def test_runs_without_new_items_are_drawn_without_them():
    runs = [dataclasses.replace(record(name, bits=bits), new={}) for name, bits in (("a", 8), ("b", 16))]
    drawn = drawn_of(*runs)
    for name in ("map_by_bits", "map_by_label"):
        labels = drawn[name].axes[0].get_legend_handles_labels()[1]
        assert labels == ["a", "b"]


def test_map_by_label_marks_the_figures_over_new_items():
    one = record("a")
    (marks,) = drawn_of(one)["map_by_label"].axes[0].lines
    expected = [np.nan if value is None else value for value in one.new["I->T"]["mAP_by_label"]]
    np.testing.assert_allclose(marks.get_xdata(), expected)


def test_labels_are_named_where_names_are_known():
    one = record("a")
    one.results["label_names"] = ["sky", "sea", "tree", "dog"]
    axes = drawn_of(one)["map_by_label"].axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["sky", "sea", "tree", "dog"]


def test_figures_are_saved_and_become_pixels(tmp_path):
    drawn = drawn_of(record("a"))["precision_recall"]
    plots.save(drawn, tmp_path / "plots" / "one.two")
    with Image.open(tmp_path / "plots" / "one.two.png") as picture:
        size = picture.size
    assert "<svg" in (tmp_path / "plots" / "one.two.svg").read_text()
    picture = plots.pixels(drawn)
    assert picture.dtype == np.uint8
    assert picture.shape == (size[1], size[0], 3)
    assert picture.min() < 50
    assert picture.max() == 255


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(plots, "available", lambda: False)
    with pytest.raises(GCHError, match="pip install"):
        drawn_of(record("a"))
