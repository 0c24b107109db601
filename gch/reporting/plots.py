"""Plots of evaluated codes, drawn with matplotlib (the extra 'plots')."""

import functools
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gch.errors import GCHError
from gch.evaluation.evaluate import CROSS, DIRECTIONS, UNIFIED
from gch.evaluation.own_half import RECALL
from gch.reporting.record import Record, setups
from gch.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
SHOWN_BY_LABEL, SHOWN_DISTANCES = 3, 4  # of many records; by label, of those with as many as the first
NEEDED = 'plots need matplotlib: pip install "gch[plots]"'
CURVES = {  # name to the kind of curve, its figures along x, and words for both axes
    "precision_recall": ("recall_level", "recall", "recall", "precision"),
    "precision_at_n": ("rank", "rank", "n, number of items shown", "precision at n"),
    "precision_recall_of_radii": (
        "radius",
        "recall",
        "recall within a Hamming radius",
        "precision within the radius",
    ),
}
ARROWS = {direction: " → ".join(kinds) for direction, kinds in (DIRECTIONS | UNIFIED).items()}
OF_PAIRS = "_pairs"  # what names of plots of unified codes end in


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_all(records: Sequence[Record]) -> Iterator[tuple[str, "Figure"]]:
    """Draws every plot that the records allow, and yields file names and figures; bars show the first few.

    Directions of pairs have plots of their own, of the records that have them.

    Raises:
      GCHError: matplotlib is not installed.
    """
    if not available():
        raise GCHError(NEEDED)
    labelled = [record for record in records if record.directions]
    if labelled:
        yield from _draw(labelled, CROSS)
    if own := [record for record in records if record.own_half]:
        yield "own_half", _each(CROSS, functools.partial(_own_half, own))
        if len({record.bits for record in own}) > 1:
            yield "own_half_by_bits", _each(CROSS, functools.partial(_by_bits, own, RECALL))
    unified = [record for record in records if record.directions.keys() >= UNIFIED.keys()]
    if unified:
        yield from ((name + OF_PAIRS, drawn) for name, drawn in _draw(unified, tuple(UNIFIED)))


def _draw(records: Sequence[Record], directions: Sequence[str]) -> Iterator[tuple[str, "Figure"]]:
    for name in CURVES:
        yield name, _each(directions, functools.partial(_curve, records, name))
    yield "distances", _distances(records[:SHOWN_DISTANCES], directions)
    labels = [len(record.directions["I->T"]["mAP_by_label"]) for record in records]
    some = [record for record, count in zip(records, labels, strict=True) if count == labels[0]][
        :SHOWN_BY_LABEL
    ]
    height = 1.2 + labels[0] * (0.1 + 0.08 * len(some))
    yield "map_by_label", _each(directions, functools.partial(_by_label, some), height)
    if len({record.bits for record in records}) > 1:
        yield "map_by_bits", _each(directions, functools.partial(_by_bits, records, "mAP"))


def save(drawn: "Figure", path: Path) -> np.ndarray:
    """Saves a figure as SVG and PNG, `path` without suffix; returns its pixels, uint8 (H, W, 3)."""
    shown = pixels(drawn)
    with atomic_path(path.with_name(path.name + ".svg")) as temporary:
        drawn.savefig(temporary, metadata={"Date": None})
    with atomic_path(path.with_name(path.name + ".png")) as temporary:
        Image.fromarray(shown).save(temporary)
    return shown


def pixels(drawn: "Figure") -> np.ndarray:
    """A figure as uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn.set_dpi(DPI)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    drawn.set_layout_engine("none")  # it would lay out the same figure whenever it is drawn again
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _plain(name: str) -> str:
    """A name as it is: a pair of dollars would make a formula of it, and no font has what is not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("$", r"\$")


def _panels(directions: Sequence[str], height: float, rows: int = 1):
    from matplotlib.figure import Figure  # pyplot would keep every figure in memory

    drawn = Figure(figsize=(5.2 * len(directions), height), layout="constrained")
    panels = drawn.subplots(rows, len(directions), squeeze=False, sharex="row")
    for axes in panels.flat:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn, panels


def _each(directions: Sequence[str], draw: Callable[["Axes", str], None], height: float = 3.8) -> "Figure":
    """A figure with a panel of `draw` for each direction, and a legend below if there are several labels."""
    drawn, (panels,) = _panels(directions, height)
    for axes, direction in zip(panels, directions, strict=True):
        draw(axes, direction)
        axes.set_title(ARROWS[direction])
    handles, labels = panels[0].get_legend_handles_labels()
    if len(labels) > 1:
        drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return drawn


def _curve(records: Sequence[Record], name: str, axes: "Axes", direction: str) -> None:
    """Precision along a kind of curve, a line for each record."""
    kind, x, xlabel, ylabel = CURVES[name]
    for record in records:
        curve = record.directions[direction][kind]
        axes.plot(curve[x], np.array(curve["precision"], float), marker=".", label=_plain(record.name))
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if kind == "rank" else "linear")


def _own_half(records: Sequence[Record], axes: "Axes", direction: str) -> None:
    """Recall of own halves along the ranks, a line for each record."""
    for record in records:
        curve = record.own_half[direction]["rank"]
        axes.plot(curve["rank"], np.array(curve["recall"], float), marker=".", label=_plain(record.name))
    axes.set(
        xlabel="n, number of items shown", ylabel="recall of the own half at n", xscale="log", ylim=(0, 1)
    )


def _distances(records: Sequence[Record], directions: Sequence[str]) -> "Figure":
    """Shares of the relevant and of the other pairs at each distance."""
    drawn, grid = _panels(directions, height=3.2 * len(records), rows=len(records))
    for record, line in zip(records, grid, strict=True):
        for axes, direction in zip(line, directions, strict=True):
            for kind, colour in (("relevant", "tab:green"), ("other", "tab:red")):
                count = np.array(record.directions[direction]["pairs_at_distance"][kind])
                share = count / max(1, count.sum())
                axes.bar(np.arange(len(share)), share, width=1.0, alpha=0.5, color=colour, label=kind)
            title = f"{_plain(record.name)}: {ARROWS[direction]}" if len(records) > 1 else ARROWS[direction]
            axes.set(xlabel="Hamming distance", ylabel="share of the pairs")
            axes.set_title(title, fontsize=9)
            axes.locator_params(axis="x", integer=True)
    grid[0][0].legend(title="pairs", fontsize=8)
    return drawn


def _by_label(records: Sequence[Record], axes: "Axes", direction: str) -> None:
    """Bars of mAP over all items, with marks of mAP over the new ones."""
    width = 0.8 / len(records)
    for number, record in enumerate(records):
        values = record.directions[direction]["mAP_by_label"]
        places = np.arange(len(values)) + (number - (len(records) - 1) / 2) * width
        axes.barh(places, [value or 0 for value in values], width, label=_plain(record.name))
        new = record.new.get(direction, {}).get("mAP_by_label")
        if new:
            axes.plot(np.array(new, float), places, "k|", label=None if number else "new items")
    axes.set(xlabel="mAP of the queries with the label", xlim=(0, 1))
    names = records[0].results.get("label_names") or [str(label) for label in range(len(values))]
    axes.set_yticks(np.arange(len(values)), map(_plain, names), fontsize=7)
    axes.margins(y=0.01)
    axes.invert_yaxis()


def _mean(record: Record, direction: str, measure: str, new: bool) -> float | None:
    if measure == RECALL:
        return None if new else record.own_half_mean(direction, measure)
    return record.mean(direction, measure, new)


def _by_bits(records: Sequence[Record], measure: str, axes: "Axes", direction: str) -> None:
    """The mean over seeds for each setup, over all items and dashed over new ones; a dot for each record."""
    every = setups(records)
    for setup in dict.fromkeys(every):
        mine = [record for record, own in zip(records, every, strict=True) if own == setup]
        bits = sorted({record.bits for record in mine})
        colour = None
        for new, label, style in ((False, setup, "-"), (True, f"{setup}, new items", "--")):
            found = [
                np.array([_mean(run, direction, measure, new) for run in mine if run.bits == bit], float)
                for bit in bits
            ]
            means = [values.mean() for values in found]
            if np.isnan(means).any():
                continue
            (line,) = axes.plot(bits, means, style, label=_plain(label), color=colour)
            colour = line.get_color()
            for bit, values in zip(bits, found, strict=True):
                axes.plot([bit] * len(values), values, ".", color=colour)
    ticks = sorted({record.bits for record in records})
    axes.set(xlabel="bits", ylabel=measure, xscale="log")
    axes.set_xticks(ticks, [str(bit) for bit in ticks])
    axes.minorticks_off()
