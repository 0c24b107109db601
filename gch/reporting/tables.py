"""Tables of evaluated codes: for the terminal, Markdown, LaTeX and CSV."""

import csv
import io
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gch.evaluation.evaluate import ASYMMETRIC, CROSS, NEW_ITEMS, UNIFIED
from gch.evaluation.own_half import MEDIAN, measure_names
from gch.reporting.record import Record, setups

OF_PAIRS = "Unified codes of pairs"
OF_OWN_HALVES = "Own halves of pairs"
OWN_HALVES = (
    "Own halves: each query ranks the other halves of all queries, of which one is its own; no label is "
    "needed. A median rank may be a fraction, because items at one distance share their ranks."
)
OWN_HALF_MEANS = ("recall@1", "recall@5", "recall@10", "median_rank", "recall_asymmetric@10")
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
            cells += _with_interval(record.measured(direction, "mAP", new))
        if relaxed:
            cells += [figure(record.mean(direction, ASYMMETRIC, new)) for new in (False, True)]
        cells += [figure(one["mAP_by_ties"].get(policy)) for policy in policies]
        cells += [figure(one["measures"].get(name, {}).get("mean")) for name in ranked]
        lines.append(cells)
    return [*header, *relaxed, *policies, *ranked], lines


def own_half_rows(records: Sequence[Record]) -> Table:
    """Header and cells: for each record and direction a line of the measures of own halves with intervals, by
    Hamming distance, and one by relaxed queries, if any.
    """
    ties = dict.fromkeys(one["ties"] for record in records for one in record.own_half.values())
    header = ["", "bits", "", f"ranked by ({', '.join(ties)})", "among"]
    header += [cell for name in measure_names() for cell in (name.replace("_", " "), "95 %")]
    lines = []
    for record in records:
        for (direction, one), asymmetric in itertools.product(record.own_half.items(), (False, True)):
            found = {name: one["measures"].get(name, {}) for name in measure_names(asymmetric)}
            if not any(found.values()):
                continue
            ranked_by = "asymmetric" if asymmetric else "distance"
            cells = [record.name, str(one["bits"]), direction, ranked_by, str(one["queries"])]
            for name, value in found.items():
                cells += _with_interval(value, rank if name.startswith(MEDIAN) else figure)
            lines.append(cells)
    return header, lines


def all_measures(records: Sequence[Record]) -> Titled:
    """`rows` of the papers' directions, without a title, of those of pairs, and `own_half_rows`."""
    return _titled(rows, own_half_rows, records)


def all_means(records: Sequence[Record]) -> Titled:
    """`over_seeds` of the papers' directions, without a title, of those of pairs, and of own halves."""
    return _titled(over_seeds, own_half_over_seeds, records)


def _titled(
    make: Callable[[Sequence[Record], Sequence[str]], Table],
    make_own_half: Callable[[Sequence[Record]], Table],
    records: Sequence[Record],
) -> Titled:
    """Tables by title, each of the records that have its figures."""
    labelled = [record for record in records if record.directions]
    unified = [record for record in labelled if any(name in record.directions for name in UNIFIED)]
    own = [record for record in records if record.own_half]
    tables = {"": make(labelled, CROSS)} if labelled else {}
    tables |= {OF_PAIRS: make(unified, tuple(UNIFIED))} if unified else {}
    return tables | ({OF_OWN_HALVES: make_own_half(own)} if own else {})


def over_seeds(records: Sequence[Record], directions: Sequence[str] = CROSS) -> Table:
    """Header and cells: a line for each setup and length, mAP as mean ± standard deviation over the runs."""
    kinds = [(new, direction) for new in (False, True) for direction in directions]
    columns = [f"{'new items' if new else 'mAP'} {direction}" for new, direction in kinds]
    return _over_seeds(records, columns, lambda run: [run.mean(name, "mAP", new) for new, name in kinds])


def own_half_over_seeds(records: Sequence[Record]) -> Table:
    """As `over_seeds`, of the measures of own halves."""
    kinds = [(name, direction) for name in OWN_HALF_MEANS for direction in CROSS]
    columns = [f"{name.replace('_', ' ')} {direction}" for name, direction in kinds]
    return _over_seeds(records, columns, lambda run: [run.own_half_mean(*kind[::-1]) for kind in kinds])


def _over_seeds(
    records: Sequence[Record], columns: Sequence[str], values: Callable[[Record], list[float | None]]
) -> Table:
    """Header and cells: a line for each setup and length, the shortest first, with the means of its runs."""
    groups: dict[tuple[str, int], list[Record]] = {}
    every = setups(records)
    several = zip(every, records, strict=True)
    for setup, record in sorted(several, key=lambda one: (every.index(one[0]), one[1].bits)):
        groups.setdefault((setup, record.bits), []).append(record)
    lines = []
    for (setup, bits), mine in groups.items():
        found = zip(columns, zip(*map(values, mine), strict=True), strict=True)
        means = [_spread(of_runs, 1 if name.startswith("median") else 4) for name, of_runs in found]
        seconds = [run.results.get("training", {}).get("seconds") for run in mine]
        mean_seconds = "-" if None in seconds else f"{statistics.mean(seconds):.0f}"
        lines.append([setup, str(bits), *means, mean_seconds, str(len(mine))])
    return ["", "bits", *columns, "seconds", "runs"], lines


def joined(tables: Titled, form: Callable[..., str], title: str) -> str:
    """Tables one after the other in a form such as `plain`; `title` is the form of a title, with {}."""
    texts = ((f"{title.format(name)}\n" if name else "") + form(*table) for name, table in tables.items())
    return "\n\n".join(texts)


def documents(tables: Titled, why: Sequence[str]) -> dict[str, str]:
    """Tables with lines below them as Markdown and LaTeX, by the suffix of a file."""
    forms = {".md": (markdown, "{}:\n", "\n\n"), ".tex": (latex, "% {}", "\n% ")}
    return {
        suffix: "".join([joined(tables, form, title), *(f"{before}{line}" for line in why), "\n"])
        for suffix, (form, title, before) in forms.items()
    }


def notes(records: Sequence[Record]) -> list[str]:
    """Notes on the records for a reader of the table; records with the same note share it."""
    names: dict[str, list[str]] = {}
    for record in records:
        if not record.directions:
            total = record.own_half["I->T"]["queries"]
            words = f"{total} queries without labels: each ranks the other halves of all {total}, one its own"
            names.setdefault(words, []).append(record.name)
            continue
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
    return [*said, *why(records)]


def why(records: Sequence[Record]) -> list[str]:
    """Why mAP differs between all and new items, and what own halves are, where records have these."""
    new = [NEW_ITEMS] if any(record.directions for record in records) else []
    return new + ([OWN_HALVES] if any(record.own_half for record in records) else [])


def figure(value: float | None) -> str:
    """Four decimals, because papers report differences of a thousandth; a dash for None."""
    return "-" if value is None else f"{value:.4f}"


def rank(value: float | None) -> str:
    """One decimal, for a median rank; a dash for None."""
    return "-" if value is None else f"{value:.1f}"


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
    cells = ([cell.replace("|", r"\|") for cell in line] for line in (header, *lines))
    head, *body = (f"| {' | '.join(line)} |" for line in cells)
    return "\n".join([head, "|---|" + "--:|" * (len(header) - 1), *body])


def latex(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A tabular for the package booktabs."""
    named = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    escapes = str.maketrans({letter: "\\" + letter for letter in "&%$#_{}"} | named)
    head, *body = (
        " & ".join(cell.translate(escapes).replace("->", r"$\to$") for cell in line) + r" \\"
        for line in (header, *lines)
    )
    start = rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"
    return "\n".join([start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])


def comma_separated(records: Sequence[Record]) -> str:
    """All measures of all directions, a line each: over 'all' items, 'new' ones, and of the 'own half'."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "bits", "direction", "items", "ties", "measure", "mean", "low", "high"])
    for record in records:
        measured = {"all": record.directions, "new": record.new, "own half": record.own_half}
        for items, directions in measured.items():
            for direction, one in directions.items():
                start = [record.name, one["bits"], direction, items]
                for name, value in one["measures"].items():
                    bounds = value.get("low"), value.get("high")
                    writer.writerow([*start, one["ties"], name, value["mean"], *bounds])
                for policy, mean in one.get("mAP_by_ties", {}).items():
                    if policy != one["ties"]:
                        writer.writerow([*start, policy, "mAP", mean, "", ""])
    return out.getvalue()


def _with_interval(
    measured: Mapping[str, float | None], shown: Callable[[float | None], str] = figure
) -> list[str]:
    """Two cells: the mean of a measure, and its interval."""
    mean, low, high = (shown(measured.get(key)) for key in ("mean", "low", "high"))
    return [mean, "-" if low == high == "-" else f"{low} to {high}"]


def _spread(values: Sequence[Any], decimals: int = 4) -> str:
    """Mean and, of several values, standard deviation (n - 1); a dash where a value is missing."""
    if None in values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{decimals}f}{deviation}"
