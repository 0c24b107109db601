"""Tables of evaluated codes: for the terminal, Markdown, LaTeX and CSV."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from gch.evaluation.evaluate import ASYMMETRIC, CROSS, NEW_ITEMS, UNIFIED
from gch.reporting.record import Record

OF_PAIRS = "Unified codes of pairs"
POLICIES = ("pessimistic", "stable", "optimistic")

Table = tuple[list[str], list[list[str]]]
Titled = dict[str, Table]


def rows(records: Sequence[Record], directions: Sequence[str]) -> Table:
    """Header and cells: a line for each record and direction that it has.

    mAP over all and over new items, each with its 95 % interval over draws of queries; asymmetric mAP, if
    any; over all items, mAP by the other policies for ties and the measures at every rank.
    """
    measured = [(one, name) for one in records for name in directions if name in one.directions]
    figures = [record.directions[direction] for record, direction in measured]
    measures = dict.fromkeys(name for one in figures for name in one["measures"])
    ranked = [name for name in measures if name.startswith(("precision", "NDCG"))]
    ties = list(dict.fromkeys(one["ties"] for one in figures))
    policies = [policy for policy in POLICIES if policy not in ties]
    header = ["", "bits", "", f"mAP ({', '.join(ties)})", "95 %", "mAP, new items", "95 %, new items"]
    relaxed = [ASYMMETRIC, f"{ASYMMETRIC}, new items"] if ASYMMETRIC in measures else []
    lines = []
    for (record, direction), one in zip(measured, figures, strict=True):
        cells = [record.name, str(one["bits"]), direction]
        for new in (False, True):
            precision = record.measured(direction, "mAP", new)
            low, high = (figure(precision.get(bound)) for bound in ("low", "high"))
            cells += [figure(precision.get("mean")), "-" if low == high == "-" else f"{low} to {high}"]
        if relaxed:
            cells += [figure(record.mean(direction, ASYMMETRIC, new)) for new in (False, True)]
        cells += [figure(one["mAP_by_ties"].get(policy)) for policy in policies]
        cells += [figure(one["measures"].get(name, {}).get("mean")) for name in ranked]
        lines.append(cells)
    return [*header, *relaxed, *policies, *ranked], lines


def titled(make: Callable[[Sequence[Record], Sequence[str]], Table], records: Sequence[Record]) -> Titled:
    """The table of the papers' directions, without a title, and that of pairs where records have them."""
    unified = [record for record in records if any(name in record.directions for name in UNIFIED)]
    tables = {"": make(records, CROSS)}
    return tables | {OF_PAIRS: make(unified, tuple(UNIFIED))} if unified else tables


def over_seeds(records: Sequence[Record], directions: Sequence[str] = CROSS) -> Table:
    """Header and cells: a line for each method and length, mAP as mean ± standard deviation over the runs."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.method, record.bits), []).append(record)
    kinds = [(new, direction) for new in (False, True) for direction in directions]
    lines = []
    for (method, bits), mine in groups.items():
        means = [_spread([run.mean(direction, "mAP", new) for run in mine]) for new, direction in kinds]
        seconds = [run.results.get("training", {}).get("seconds") for run in mine]
        mean_seconds = "-" if None in seconds else f"{statistics.mean(seconds):.0f}"
        lines.append([method, str(bits), *means, mean_seconds, str(len(mine))])
    columns = [f"{'new items' if new else 'mAP'} {direction}" for new, direction in kinds]
    return ["", "bits", *columns, "seconds", "runs"], lines


def joined(tables: Titled, form: Callable[..., str], title: str) -> str:
    """Tables one after the other in a form such as `plain`; `title` is the form of a title, with {}."""
    texts = ((f"{title.format(name)}\n" if name else "") + form(*table) for name, table in tables.items())
    return "\n\n".join(texts)


def notes(records: Sequence[Record]) -> list[str]:
    """Notes on the records for a reader of the table; records with the same note share it."""
    names: dict[str, list[str]] = {}
    for record in records:
        one = record.directions["I->T"]
        counted = "counted 0" if one["without_relevant"] == "zero" else "left out"
        without = f"{one['queries_without_relevant']} of them without a relevant item ({counted})"
        some = without if one["queries_without_relevant"] else "all of them with a relevant item"
        new = record.new.get("I->T", {}).get("retrieval")
        of_new = f" and over the {new} new ones" if new else "; no new items among them are known"
        ranked = f"mAP over all of the {one['retrieval']} items ranked{of_new}"
        words = f"{one['queries']} queries, {some}; {ranked}"
        names.setdefault(words, []).append(record.name)
    said = names if len(names) == 1 else (f"{', '.join(some)}: {words}" for words, some in names.items())
    return [*said, NEW_ITEMS]


def figure(value: float | None) -> str:
    """Four decimals, because papers report differences of a thousandth; a dash for None."""
    return "-" if value is None else f"{value:.4f}"


def plain(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left."""
    every = [header, *lines]
    first, *widths = (max(map(len, column)) for column in zip(*every, strict=True))
    padded = (
        [line[0].ljust(first), *(cell.rjust(width) for cell, width in zip(line[1:], widths, strict=True))]
        for line in every
    )
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    head, *body = ("| " + " | ".join(line) + " |" for line in (header, *lines))
    return "\n".join([head, "|---|" + "--:|" * (len(header) - 1), *body])


def latex(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A tabular for the package booktabs."""
    escapes = str.maketrans({letter: "\\" + letter for letter in "&%$#_{}"})
    head, *body = (
        " & ".join(cell.translate(escapes).replace("->", r"$\to$") for cell in line) + r" \\"
        for line in (header, *lines)
    )
    start = rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"
    return "\n".join([start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])


def comma_separated(records: Sequence[Record]) -> str:
    """All measures of all directions, a line each, over 'all' items and over the 'new' ones."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "bits", "direction", "items", "ties", "measure", "mean", "low", "high"])
    for record in records:
        for items, directions in (("all", record.directions), ("new", record.new)):
            for direction, one in directions.items():
                start = [record.name, one["bits"], direction, items]
                for name, value in one["measures"].items():
                    bounds = value.get("low"), value.get("high")
                    writer.writerow([*start, one["ties"], name, value["mean"], *bounds])
                for policy, mean in one["mAP_by_ties"].items():
                    if policy != one["ties"]:
                        writer.writerow([*start, policy, "mAP", mean, "", ""])
    return out.getvalue()


def _spread(values: Sequence[Any]) -> str:
    """Mean and standard deviation (n - 1); a dash where a value is missing."""
    if None in values:
        return "-"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"
