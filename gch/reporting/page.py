"""A page of HTML that compares runs, and needs no other file."""

import base64
import html
import io
from collections.abc import Sequence

from gch.evaluation.directions import CROSS
from gch.reporting import tables
from gch.reporting.plots import DPI, SHOWN_BY_LABEL, SHOWN_DISTANCES
from gch.reporting.record import Record

TITLES = {
    "precision_recall": "Precision where a share of the relevant items is found",
    "precision_at_n": "Precision of the first n items",
    "precision_recall_of_radii": "Precision and recall within every Hamming radius",
    "distances": f"Hamming distances of relevant and of other pairs (of at most {SHOWN_DISTANCES} runs)",
    "map_by_label": f"mAP of the queries with each label (of at most {SHOWN_BY_LABEL} runs); new items: |",
    "map_by_bits": "mAP against the length of the codes, over all items and over new ones",
}
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d232b; background: #f5f6f8; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 24px 64px; }
h1 { font-size: 26px; margin: 8px 0 2px; } h2 { font-size: 19px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p, li { max-width: 78ch; } .note { color: #5a6572; font-size: 13px; }
.card { background: #fff; border: 1px solid #e2e6eb; border-radius: 8px; padding: 12px 16px;
  overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #e8ebef; white-space: nowrap; }
th { color: #5a6572; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
tr.differs td { background: #fff6dd; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
details { margin-top: 10px; } summary { cursor: pointer; color: #35608f; }
nav a { margin-right: 14px; color: #35608f; }
"""
CODE_FIGURES = {
    "bit_balance": "balance",
    "bit_correlation": "correlation",
    "quantization_error": "quantization",
    "distinct_codes": "distinct codes",
}


def page(records: Sequence[Record], drawn: Sequence[tuple[str, object]], mark: str) -> str:
    """The page.

    Args:
      records: of tested runs.
      drawn: names and figures of `gch.reporting.plots.draw_all`.
      mark: a comment to put at its head.
    """
    sections = [
        ("seeds", "Mean over the seeds", _seeds(records)),
        ("measures", "Measures", _measures(records)),
        ("plots", "Plots", _plots(drawn)),
        ("gallery", "Queries and what they retrieve", _gallery(records)),
        ("codes", "Codes and training", _codes(records)),
        ("settings", "Settings", _settings(records)),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = "".join(f'<h2 id="{name}">{title}</h2>{content}' for name, title, content in shown)
    count = f"{len(records)} run" + ("s" if len(records) > 1 else "")
    return (
        f'<!DOCTYPE html>\n{mark}\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>Cross-modal hashing: {count}</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Cross-modal hashing: {count}</h1>"
        f"<nav>{links}</nav>{body}</main></body></html>\n"
    )


def _measures(records: Sequence[Record]) -> str:
    header, lines = tables.rows(records, CROSS)
    notes = "".join(f'<p class="note">{_text(note)}</p>' for note in tables.notes(records))
    interval = (
        '<p class="note">The interval holds 95 % of the means when the queries are drawn anew (bootstrap); '
        "it does not tell what another seed of the training would change.</p>"
    )
    return _table(header, lines) + interval + notes


def _seeds(records: Sequence[Record]) -> str:
    header, lines = tables.over_seeds(records)
    return _table(header, lines) if any(int(line[-1]) > 1 for line in lines) else ""


def _plots(drawn: Sequence[tuple[str, object]]) -> str:
    parts = []
    for name, figure in drawn:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        parts.append(
            f'<h3>{TITLES[name]}</h3><div class="card">{_image(content.getvalue(), TITLES[name])}</div>'
        )
    return "".join(parts)


def _gallery(records: Sequence[Record]) -> str:
    parts = []
    for record in records:
        folder = record.folder / "panels" if record.folder else None
        files = sorted(folder.glob("*.png")) if folder and folder.is_dir() else []
        images = [
            f"<h3>{_text(file.stem.replace('-', ' → '))}</h3>"
            f'<div class="card">{_image(file.read_bytes(), f"{record.name} {file.stem}")}</div>'
            for file in files
        ]
        if images:
            # The first run's pictures are open, so that a page of many runs stays readable.
            state = " open" if not parts else ""
            parts.append(
                f"<details{state}><summary>{_text(record.name)}</summary>{''.join(images)}</details>"
            )
    if not parts:
        return ""
    note = (
        '<p class="note">Framed green: shares a label with the query; red: shares none. The number is the '
        "Hamming distance. The queries are spread evenly over the query set, not chosen.</p>"
    )
    return note + "".join(parts)


def _codes(records: Sequence[Record]) -> str:
    header = ["", "modality", *CODE_FIGURES.values(), "agreement", "best epoch", "seconds of training"]
    lines = []
    for record in records:
        codes, training = record.results.get("codes"), record.results.get("training")
        if not codes or not training:
            continue
        agreement = f"{codes['query']['image_text_agreement']:.2f}"
        trained = (str(training["best_epoch"]), f"{training['seconds']:.0f}")
        for modality in ("image", "text"):
            figures = [f"{codes['retrieval'][modality][name]:.3f}" for name in CODE_FIGURES]
            lines.append([record.name, modality, *figures, agreement, *trained])
    note = (
        '<p class="note">Of the retrieval set: balance is the mean over bits of how far the share of +1 is '
        "from one half, correlation the mean absolute correlation of two bits, quantization the mean squared "
        "distance of relaxed codes from their signs. Agreement is the share of bits in which image and text "
        "of a pair agree, on the query set.</p>"
    )
    return _table(header, lines) + note if lines else ""


def _settings(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record.settings))
    if not names:
        return ""
    values = {name: [repr(record.settings.get(name, "")) for record in records] for name in names}
    differing = [name for name in names if len(set(values[name])) > 1 and name != "run_name"]
    header = ["", *(record.name for record in records)]
    every = _table(header, [[name, *values[name]] for name in names], marked=set(differing))
    if len(records) == 1:
        return every
    short = (
        _table(header, [[name, *values[name]] for name in differing]) if differing else "<p>All alike.</p>"
    )
    return f"{short}<details><summary>All settings</summary>{every}</details>"


def _table(header, lines, marked=frozenset()) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = []
    for line in lines:
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in line)
        body.append(f'<tr class="differs">{cells}</tr>' if line[0] in marked else f"<tr>{cells}</tr>")
    return (
        f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _image(content: bytes, words: str) -> str:
    return f'<img alt="{_text(words)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'


def _text(words: object) -> str:
    return html.escape(str(words).replace("->", "→"))
