"""A self-contained HTML page that compares runs."""

import base64
import html
import io
from collections.abc import Collection, Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from gch.data.text_files import file_bytes
from gch.evaluation.codes import KINDS
from gch.reporting import tables
from gch.reporting.plots import DPI, OF_PAIRS, SHOWN_BY_LABEL, SHOWN_DISTANCES
from gch.reporting.record import CODE_FIGURES, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "precision_recall": "Precision where a share of the relevant items is found",
    "precision_at_n": "Precision of the first n items",
    "precision_recall_of_radii": "Precision and recall within every Hamming radius",
    "distances": f"Hamming distances of relevant and of other pairs (of at most {SHOWN_DISTANCES} runs)",
    "map_by_label": f"mAP of the queries with each label (of at most {SHOWN_BY_LABEL} runs); new items: |",
    "map_by_bits": "mAP against the length of the codes, over all items and over new ones",
    "own_half": "Recall of a pair's own half among the first n",
    "own_half_by_bits": "recall@10 of own halves against the length of the codes",
}
INTERVAL = (
    "The interval holds 95 % of the means over resampled queries (bootstrap); it does not tell what "
    "another seed of the training would change."
)
GALLERY = (
    "Framed green: shares a label with the query or, without labels, is its own half; red: any other. The "
    "number is the Hamming distance. The queries are spread evenly over the query set, not chosen."
)
CODES = (
    "Of the retrieval set: balance is the mean over bits of how far the share of +1 is from one half, "
    "correlation the mean absolute correlation of two bits, quantization the mean squared distance of "
    "relaxed codes from their signs. Agreement is the share of bits in which image and text of a pair agree, "
    "on the query set."
)


def page(records: Sequence[Record], drawn: Sequence[tuple[str, "Figure"]], mark: str) -> str:
    """The page of tested runs, with the results of `plots.draw_all` and a comment at its head."""
    measured = _titled(tables.all_measures(records))
    sections = [
        ("seeds", "Mean over the seeds", _seeds(records)),
        ("measures", "Measures", measured + _notes(INTERVAL, *tables.notes(records))),
        ("plots", "Plots", "".join(_plot(name, figure) for name, figure in drawn)),
        ("gallery", "Queries and what they retrieve", _gallery(records)),
        ("codes", "Codes and training", _codes(records)),
        ("settings", "Settings", _settings(records)),
    ]
    shown = [section for section in sections if section[2]]
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        mark=mark,
        title=f"Cross-modal hashing: {len(records)} run" + ("s" if len(records) > 1 else ""),
        links="".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown),
        body="".join(f'<h2 id="{name}">{title}</h2>{content}' for name, title, content in shown),
    )


def _seeds(records: Sequence[Record]) -> str:
    means = tables.all_means(records)
    return _titled(means) if any(int(line[-1]) > 1 for _, lines in means.values() for line in lines) else ""


def _titled(found: tables.Titled) -> str:
    return "".join((f"<h3>{title}</h3>" if title else "") + _table(*table) for title, table in found.items())


def _plot(name: str, figure: "Figure") -> str:
    kind = name.removesuffix(OF_PAIRS)
    title = TITLES[kind] + (f" ({tables.OF_PAIRS.lower()})" if kind != name else "")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return _image(title, content.getvalue(), title)


def _gallery(records: Sequence[Record]) -> str:
    parts: list[str] = []
    for record in records:
        panels = (record.folder / "panels").glob("*.png") if record.folder else []
        images = [
            _image(
                _direction(file.stem), file_bytes(file, "expected a picture"), f"{record.name} {file.stem}"
            )
            for file in sorted(panels, key=lambda file: ("pair" in file.stem, file.stem))
        ]
        if images:
            # The first run's pictures are open, so that a page of many runs stays readable.
            parts.append(_details(_text(record.name), "".join(images), " open" if not parts else ""))
    return _notes(GALLERY) + "".join(parts) if parts else ""


def _direction(panel: str) -> str:
    """The title of a panel, from its name such as 'I-T'."""
    of_pairs = f" ({tables.OF_PAIRS.lower()})" if "pair" in panel else ""
    return _text(panel.replace("-", " → ") + of_pairs)


def _codes(records: Sequence[Record]) -> str:
    header = ["", "codes of", "balance", "correlation", "quantization", "distinct codes", "agreement"]
    header += ["best epoch", "seconds of training"]
    lines = []
    for record in records:
        codes, training = record.results.get("codes"), record.results.get("training")
        if codes and training:
            agreement = f"{codes['query']['image_text_agreement']:.2f}"
            trained = (str(training["best_epoch"]), f"{training['seconds']:.0f}")
            for kind in (kind for kind in KINDS if kind in codes["retrieval"]):
                figures = [f"{codes['retrieval'][kind][name]:.3f}" for name in CODE_FIGURES]
                lines.append([record.name, kind, *figures, agreement, *trained])
    return _table(header, lines) + _notes(CODES) if lines else ""


def _settings(records: Sequence[Record]) -> str:
    names = dict.fromkeys(name for record in records for name in record.settings)
    if not names:
        return ""
    values = {name: [repr(record.settings.get(name, "")) for record in records] for name in names}
    differing = [name for name in names if len(set(values[name])) > 1 and name != "run_name"]
    header = ["", *(record.name for record in records)]
    every = _table(header, [[name, *values[name]] for name in names], marked=differing)
    if len(records) == 1:
        return every
    short = _table(header, [[name, *values[name]] for name in differing])
    return (short if differing else "<p>All alike.</p>") + _details("All settings", every)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], marked: Collection[str] = ()) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = ""
    for line in lines:
        kind = ' class="differs"' if line[0] in marked else ""
        body += f"<tr{kind}>" + "".join(f"<td>{_text(cell)}</td>" for cell in line) + "</tr>"
    return f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _image(title: str, content: bytes, words: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<h3>{title}</h3><div class="card"><img alt="{_text(words)}" src="{source}"></div>'


def _details(summary: str, content: str, state: str = "") -> str:
    return f"<details{state}><summary>{summary}</summary>{content}</details>"


def _notes(*notes: str) -> str:
    return "".join(f'<p class="note">{_text(words)}</p>' for words in notes)


def _text(words: str) -> str:
    return html.escape(words.replace("->", "→"))
