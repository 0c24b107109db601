"""Plots of evaluated codes, by matplotlib (the extra 'plots')."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gch.errors import GCHError
from gch.evaluation.directions import CROSS
from gch.reporting.record import Record
from gch.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
SHOWN_BY_LABEL, SHOWN_DISTANCES = 3, 4  # of many records, the first are drawn
NEEDED = "plots need matplotlib: pip install -e '.[plots]'"
CURVES = (  # file, kind of curve, its figures along x, and words for both axes
    ("precision_recall", "recall_level", "recall", "recall", "precision"),
    ("precision_at_n", "rank", "rank", "n, number of items shown", "precision at n"),
    (
        "precision_recall_of_radii",
        "radius",
        "recall",
        "recall within a Hamming radius",
        "precision within the radius",
    ),
)
ARROWS = {"I->T": "image → text", "T->I": "text → image"}


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_all(records: Sequence[Record]) -> Iterator[tuple[str, "Figure"]]:
    """Draws everything that the records allow, and yields names for the files and figures.

    Every record has a line of its own; bars show the first of many.

    Raises:
      GCHError: matplotlib is not installed.
    """
    if not available():
        raise GCHError(NEEDED)
    for name, kind, x, shown, precision in CURVES:
        yield name, _curves(records, kind, x, shown, precision)
    yield "distances", _distances(records[:SHOWN_DISTANCES])
    yield "map_by_label", _by_label(records[:SHOWN_BY_LABEL])
    if len({record.bits for record in records}) > 1:
        yield "map_by_bits", _by_bits(records)


def save(drawn: "Figure", path: Path) -> None:
    """Saves a figure as PNG and SVG; `path` has no suffix."""
    for suffix in (".svg", ".png"):
        with atomic_path(path.with_name(path.name + suffix)) as temporary:
            drawn.savefig(temporary, dpi=DPI, metadata={"Date": None} if suffix == ".svg" else None)


def pixels(drawn: "Figure") -> np.ndarray:
    """A figure as uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn.set_dpi(DPI)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _panels(height: float = 3.8, rows: int = 1):
    """A figure with a panel for each cross-modal direction, in one or more rows (rows, 2).

    Made without pyplot, which keeps every figure in memory.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(5.2 * len(CROSS), height), layout="constrained")
    panels = drawn.subplots(rows, len(CROSS), squeeze=False, sharex="row")
    for axes in panels.flat:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn, panels


def _legend_below(drawn: "Figure", axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)


def _curves(records: Sequence[Record], kind: str, x: str, xlabel: str, ylabel: str) -> "Figure":
    """Precision along a kind of curve, a line for each record."""
    drawn, (panels,) = _panels()
    for axes, direction in zip(panels, CROSS, strict=True):
        for record in records:
            curve = record.directions[direction][kind]
            axes.plot(curve[x], np.array(curve["precision"], float), marker=".", label=record.name)
        scale = "log" if kind == "rank" else "linear"
        axes.set(title=ARROWS[direction], xlabel=xlabel, ylabel=ylabel, xscale=scale)
    _legend_below(drawn, panels[0])
    return drawn


def _distances(records: Sequence[Record]) -> "Figure":
    """Shares of the relevant and of the other pairs at each distance."""
    drawn, grid = _panels(height=3.2 * len(records), rows=len(records))
    for record, line in zip(records, grid, strict=True):
        for axes, direction in zip(line, CROSS, strict=True):
            for kind, colour in (("relevant", "tab:green"), ("other", "tab:red")):
                count = np.array(record.directions[direction]["pairs_at_distance"][kind])
                share = count / max(1, count.sum())
                axes.bar(np.arange(len(share)), share, width=1.0, alpha=0.5, color=colour, label=kind)
            title = f"{record.name}: {ARROWS[direction]}" if len(records) > 1 else ARROWS[direction]
            axes.set(title=title, xlabel="Hamming distance", ylabel="share of the pairs")
            axes.title.set_fontsize(9)
            axes.locator_params(axis="x", integer=True)
    grid[0][0].legend(title="pairs", fontsize=8)
    return drawn


def _by_label(records: Sequence[Record]) -> "Figure":
    """Bars of mAP over all items, with marks of mAP over the new ones."""
    count = len(records[0].directions["I->T"]["mAP_by_label"])
    drawn, (panels,) = _panels(height=1.2 + count * (0.1 + 0.08 * len(records)))
    width = 0.8 / len(records)
    for axes, direction in zip(panels, CROSS, strict=True):
        for number, record in enumerate(records):
            values = record.directions[direction]["mAP_by_label"]
            places = np.arange(len(values)) + (number - (len(records) - 1) / 2) * width
            axes.barh(places, [value or 0 for value in values], width, label=record.name)
            new = record.new.get(direction, {}).get("mAP_by_label")
            if new:
                label = "new items" if number == 0 else None
                axes.plot(np.array(new, float), places, "k|", label=label)
        axes.set(title=ARROWS[direction], xlabel="mAP of the queries with the label", xlim=(0, 1))
        axes.set_yticks(np.arange(count), records[0].label_names or range(count), fontsize=7)
        axes.margins(y=0.01)
        axes.invert_yaxis()
    _legend_below(drawn, panels[0])
    return drawn


def _by_bits(records: Sequence[Record]) -> "Figure":
    """Two lines for each method, over all items and dashed over the new ones: the mean over seeds, with a dot
    for each record.
    """
    drawn, (panels,) = _panels()
    every = sorted({record.bits for record in records})
    for axes, direction in zip(panels, CROSS, strict=True):
        for method in dict.fromkeys(record.method for record in records):
            mine = [record for record in records if record.method == method]
            bits = sorted({record.bits for record in mine})
            colour = None
            for new, label, style in ((False, method, "-"), (True, f"{method}, new items", "--")):
                found = [[r.mean(direction, "mAP", new) for r in mine if r.bits == bit] for bit in bits]
                means = [np.array(values, float).mean() for values in found]
                if np.isnan(means).any():
                    continue
                (line,) = axes.plot(bits, means, style, label=label, color=colour)
                colour = line.get_color()
                for bit, values in zip(bits, found, strict=True):
                    axes.plot([bit] * len(values), values, ".", color=colour)
        axes.set(title=ARROWS[direction], xlabel="bits", ylabel="mAP", xscale="log")
        axes.set_xticks(every, [str(bit) for bit in every])
        axes.minorticks_off()
    panels[0].legend(fontsize=8)
    return drawn
