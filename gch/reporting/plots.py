"""Plots of evaluated codes, by matplotlib (the extra 'plots')."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.errors import GCHError
from gch.evaluation.directions import CROSS
from gch.reporting.record import Record
from gch.storage import atomic_path

DPI = 110
SHOWN_BY_LABEL, SHOWN_DISTANCES = 3, 4  # of many records, the first are drawn
NEEDED = "plots need matplotlib: pip install -e '.[plots]'"


def available() -> bool:
    """Whether matplotlib is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def draw_all(records: Sequence[Record]) -> Iterator[tuple[str, "matplotlib.figure.Figure"]]:  # noqa: F821
    """Draws everything that the records allow.

    Args:
      records: one or more, each with a line of its own; bars show the first of many.

    Yields:
      A name for the file, and the figure.

    Raises:
      GCHError: matplotlib is not installed.
    """
    if not available():
        raise GCHError(NEEDED)
    yield "precision_recall", _precision_recall(records)
    yield "precision_at_n", _precision_at_rank(records)
    yield "precision_recall_of_radii", _radii(records)
    yield "distances", _distances(records)
    yield "map_by_label", _by_label(records)
    if len({record.bits for record in records}) > 1:
        yield "map_by_bits", _by_bits(records)


def save(drawn: "matplotlib.figure.Figure", path: Path) -> None:  # noqa: F821
    """Saves a figure as PNG and SVG; `path` has no suffix."""
    for suffix in (".svg", ".png"):
        with atomic_path(path.with_name(path.name + suffix)) as temporary:
            drawn.savefig(temporary, dpi=DPI, metadata={"Date": None} if suffix == ".svg" else None)


def pixels(drawn: "matplotlib.figure.Figure") -> np.ndarray:  # noqa: F821
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


def _lines(records: Sequence[Record], x: str, y: str, draw) -> object:
    """A panel for each cross-modal direction, a line for each record."""
    drawn, (panels,) = _panels()
    for axes, direction in zip(panels, CROSS, strict=True):
        for record in records:
            draw(axes, record.directions[direction], record.name)
        axes.set(title=_arrow(direction), xlabel=x, ylabel=y)
    if len(records) > 1:
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return drawn


def _precision_recall(records):
    def draw(axes, figures, name):
        curve = figures["recall_level"]
        axes.plot(curve["recall"], curve["precision"], marker=".", label=name)

    return _lines(records, "recall", "precision", draw)


def _precision_at_rank(records):
    def draw(axes, figures, name):
        curve = figures["rank"]
        axes.semilogx(curve["rank"], curve["precision"], marker=".", label=name)

    return _lines(records, "n, number of items shown", "precision at n", draw)


def _radii(records):
    def draw(axes, figures, name):
        curve = figures["radius"]
        precision = [np.nan if value is None else value for value in curve["precision"]]
        axes.plot(curve["recall"], precision, marker=".", label=name)

    return _lines(records, "recall within a Hamming radius", "precision within the radius", draw)


def _distances(records):
    """Shares of the relevant and of the other pairs at each distance, of the first records."""
    shown = records[:SHOWN_DISTANCES]
    drawn, grid = _panels(height=3.2 * len(shown), rows=len(shown))
    for record, line in zip(shown, grid, strict=True):
        for axes, direction in zip(line, CROSS, strict=True):
            pairs = record.directions[direction]["pairs_at_distance"]
            for kind, colour in (("relevant", "tab:green"), ("other", "tab:red")):
                count = np.array(pairs[kind])
                share = count / max(1, count.sum())
                axes.bar(np.arange(len(share)), share, width=1.0, alpha=0.5, color=colour, label=kind)
            axes.set(
                title=f"{record.name}: {_arrow(direction)}" if len(shown) > 1 else _arrow(direction),
                xlabel="Hamming distance",
                ylabel="share of the pairs",
            )
            axes.title.set_fontsize(9)
            axes.locator_params(axis="x", integer=True)
    grid[0][0].legend(title="pairs", fontsize=8)
    return drawn


def _by_label(records):
    """Bars of the first records."""
    shown = records[:SHOWN_BY_LABEL]
    names = records[0].label_names
    count = len(records[0].directions["I->T"]["mAP_by_label"])
    drawn, (panels,) = _panels(height=1.2 + count * (0.1 + 0.08 * len(shown)))
    width = 0.8 / len(shown)
    for axes, direction in zip(panels, CROSS, strict=True):
        for number, record in enumerate(shown):
            values = record.directions[direction]["mAP_by_label"]
            places = np.arange(len(values)) + (number - (len(shown) - 1) / 2) * width
            axes.barh(places, [value or 0 for value in values], width, label=record.name)
            new = record.new.get(direction, {}).get("mAP_by_label")
            if new:
                told = [np.nan if value is None else value for value in new]
                axes.plot(told, places, "k|", label="new items" if number == 0 else None)
        axes.set(title=_arrow(direction), xlabel="mAP of the queries with the label", xlim=(0, 1))
        axes.set_yticks(np.arange(count), names or range(count), fontsize=7)
        axes.margins(y=0.01)
        axes.invert_yaxis()
    handles = panels[0].get_legend_handles_labels()
    if len(handles[1]) > 1:
        drawn.legend(*handles, loc="outside lower center", ncols=2, fontsize=8)
    return drawn


def _by_bits(records):
    """Two lines for each method, over all items and dashed over the new ones: the mean over seeds, with a dot
    for each record.
    """
    drawn, (panels,) = _panels()
    methods = list(dict.fromkeys(record.method for record in records))
    for axes, direction in zip(panels, CROSS, strict=True):
        for method in methods:
            mine = [record for record in records if record.method == method]
            bits = sorted({record.bits for record in mine})
            colour = None
            for new, label, style in ((False, method, "-"), (True, f"{method}, new items", "--")):
                found = [[r.mean(direction, "mAP", new) for r in mine if r.bits == bit] for bit in bits]
                if any(None in values for values in found):
                    continue
                means = [np.mean(values) for values in found]
                (line,) = axes.plot(bits, means, style, label=label, color=colour)
                colour = line.get_color()
                for bit, values in zip(bits, found, strict=True):
                    axes.plot([bit] * len(values), values, ".", color=colour)
        every = sorted({record.bits for record in records})
        axes.set(title=_arrow(direction), xlabel="bits", ylabel="mAP", xscale="log")
        axes.set_xticks(every, [str(bit) for bit in every])
        axes.minorticks_off()
    panels[0].legend(fontsize=8)
    return drawn


def _arrow(direction: str) -> str:
    words = {"I": "image", "T": "text"}
    asked, answered = direction.split("->")
    return f"{words[asked]} → {words[answered]}"
