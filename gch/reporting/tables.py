"""Tables of evaluated codes: for the terminal, Markdown, LaTeX and CSV."""

import csv
import io
import statistics
from collections.abc import Sequence

from gch.evaluation.directions import CROSS, NEW_ITEMS
from gch.reporting.record import Record

POLICIES = ("pessimistic", "stable", "optimistic")


def rows(records: Sequence[Record], directions: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a line for each record and direction.

    mAP over all items and over the new ones, by the policy for ties that the codes were evaluated with, each
    with its 95 % interval over draws of queries; over all items, mAP by the other policies and the measures
    at every rank.
    """
    figures = [record.directions[direction] for record in records for direction in directions]
    ranked = [
        name
        for name in dict.fromkeys(name for one in figures for name in one["measures"])
        if name.startswith(("precision", "NDCG"))
    ]
    ties = list(dict.fromkeys(one["ties"] for one in figures))
    policies = [policy for policy in POLICIES if policy not in ties]
    header = ["", "bits", "", f"mAP ({', '.join(ties)})", "95 %", "mAP, new items", "95 %, new items"]
    header += [*policies, *ranked]
    lines = []
    for record in records:
        for direction in directions:
            one = record.directions[direction]
            cells = [record.name, str(one["bits"]), direction]
            for new in (False, True):
                precision = record.measured(direction, "mAP", new)
                low, high = (figure(precision.get(bound)) for bound in ("low", "high"))
                cells += [figure(precision.get("mean")), "-" if low == high == "-" else f"{low} to {high}"]
            cells += [figure(one["mAP_by_ties"].get(policy)) for policy in policies]
            cells += [figure(one["measures"].get(name, {}).get("mean")) for name in ranked]
            lines.append(cells)
    return header, lines


def over_seeds(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a line for each method and length, mAP as mean ± standard deviation over the runs.

    The columns are mAP over all items, mAP over the new ones, seconds of training and the number of runs. A
    method is told apart by its name, preset and data set.
    """
    header = ["", "bits", *(f"mAP {direction}" for direction in CROSS)]
    header += [*(f"new items {direction}" for direction in CROSS), "seconds", "runs"]
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.method, record.bits), []).append(record)
    lines = []
    for (method, bits), mine in groups.items():
        means = [
            spread([record.mean(direction, "mAP", new) for record in mine])
            for new in (False, True)
            for direction in CROSS
        ]
        seconds = [record.results.get("training", {}).get("seconds") for record in mine]
        told = "-" if None in seconds else f"{statistics.mean(seconds):.0f}"
        lines.append([method, str(bits), *means, told, str(len(mine))])
    return header, lines


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation (n - 1); a dash where a value is missing."""
    if None in values:
        return "-"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"


def notes(records: Sequence[Record]) -> list[str]:
    """What a reader of the table must know of the records; said once where it holds for several."""
    said: dict[str, list[str]] = {}
    for record in records:
        one = record.directions["I->T"]
        words = f"{one['queries']} queries"
        if one["queries_without_relevant"]:
            counted = "counted 0" if one["without_relevant"] == "zero" else "left out"
            words += f", {one['queries_without_relevant']} of them without a relevant item ({counted})"
        else:
            words += ", all of them with a relevant item"
        new = record.new.get("I->T", {}).get("retrieval")
        words += f"; mAP over all of the {one['retrieval']} items ranked"
        words += f" and over the {new} new ones" if new else "; no new items among them are known"
        said.setdefault(words, []).append(record.name)
    every = list(said)
    if len(said) > 1:
        every = [f"{', '.join(names)}: {words}" for words, names in said.items()]
    return [*every, NEW_ITEMS]


def figure(value: float | None) -> str:
    """Four decimals, as differences of a thousandth are told in this field; a dash for none."""
    return "-" if value is None else f"{value:.4f}"


def plain(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left."""
    every = [header, *lines]
    widths = [max(len(line[column]) for line in every) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in every
    )


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    rule = "|---|" + "--:|" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(x) + " |" for x in lines)])


def latex(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A tabular for the package booktabs."""
    escaped = [[_escape(cell) for cell in line] for line in (header, *lines)]
    body = [" & ".join(line) + r" \\" for line in escaped]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def comma_separated(records: Sequence[Record]) -> str:
    """All measures of all directions, a line each, with the bounds of the interval.

    The column `items` says what they are over: 'all' items, or the 'new' ones.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "bits", "direction", "items", "ties", "measure", "mean", "low", "high"])
    for record in records:
        for items, directions in (("all", record.directions), ("new", record.new)):
            for direction, one in directions.items():
                start = [record.name, one["bits"], direction, items]
                for name, value in one["measures"].items():
                    writer.writerow([*start, one["ties"], name, value["mean"], value["low"], value["high"]])
                for policy, mean in one["mAP_by_ties"].items():
                    if policy != one["ties"]:
                        writer.writerow([*start, policy, "mAP", mean, "", ""])
    return out.getvalue()


def _escape(text: str) -> str:
    for letter in r"&%$#_{}":
        text = text.replace(letter, "\\" + letter)
    return text.replace("->", r"$\to$")
