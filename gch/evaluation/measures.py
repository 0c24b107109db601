"""The measures of a ranking, for every query: expectations over the orders within groups of ties.

All functions take `Groups` of Q queries and N items, and return float64 (Q,), unless they say otherwise. A
query without a relevant item has 0 everywhere. Closed forms: McSherry and Najork, ECIR 2008.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from gch.evaluation.rankings import Groups


def average_precision(groups: Groups) -> np.ndarray:
    """AP: the mean, over the relevant items, of the precision at their ranks, in [0, 1]."""
    return _precisions(groups).sum(axis=1) / np.maximum(groups.all_relevant, 1)


def average_precision_truncated(groups: Groups, cutoff: int) -> np.ndarray:
    """AP of the first `cutoff` items, divided by the relevant ones among them, in [0, 1].

    What most code for image hashing means by mAP@k. Where the cutoff falls into a tie, the number of relevant
    items within it is hypergeometric.
    """
    groups = groups.first(cutoff)
    inside = groups.before + groups.items <= cutoff
    gained = np.where(inside, _precisions(groups), 0).sum(axis=1)
    hits = np.where(inside, groups.relevant, 0).sum(axis=1)
    value = gained / np.maximum(hits, 1)
    log_choose = _log_choose_up_to(groups)
    for cell in zip(*np.nonzero(~inside & (groups.before < cutoff)), strict=True):
        query, items, relevant = cell[0], groups.items[cell], groups.relevant[cell]
        taken = cutoff - groups.before[cell]
        found = np.arange(max(0, taken - (items - relevant)), min(taken, relevant) + 1)
        log_chance = log_choose(relevant, found) + log_choose(items - relevant, taken - found)
        chance = np.exp(log_chance - log_choose(items, taken))
        added = summed_precisions(groups.before[cell], hits[query], taken, found)
        value[query] = chance @ ((gained[query] + added) / np.maximum(hits[query] + found, 1))
    return value


def average_precision_relevant(groups: Groups, cutoff: int) -> np.ndarray:
    """The mean of the precision at the ranks of the first min(cutoff, R) of the R relevant items, in [0, 1].

    What AGAH and DCMHT mean by mAP@k. Where the last of them is in a tie, the number of relevant items of
    the tie before one that counts is hypergeometric.
    """
    total = np.minimum(groups.all_relevant, cutoff)
    inside = groups.relevant_before + groups.relevant <= total[:, None]
    gained = np.where(inside, _precisions(groups), 0).sum(axis=1)
    log_choose = _log_choose_up_to(groups)
    for cell in zip(*np.nonzero(~inside & (groups.relevant_before < total[:, None])), strict=True):
        before, items = groups.before[cell], groups.items[cell]
        relevant_before, relevant = groups.relevant_before[cell], groups.relevant[cell]
        counted = total[cell[0]] - relevant_before
        gained[cell[0]] += _first_relevant(log_choose, before, relevant_before, items, relevant, counted)
    return gained / np.maximum(total, 1)


def precision_at(groups: Groups, cutoff: int) -> np.ndarray:
    """Share of relevant items among the first min(cutoff, N), in [0, 1]."""
    groups = groups.first(cutoff)
    return _within(groups, groups.relevant, cutoff) / np.minimum(cutoff, groups.by_shared.sum(axis=1))


def recall_at(groups: Groups, cutoff: int) -> np.ndarray:
    """Share of the relevant items that is among the first `cutoff`, in [0, 1]."""
    groups = groups.first(cutoff)
    return _within(groups, groups.relevant, cutoff) / np.maximum(groups.all_relevant, 1)


def average_cumulative_gain(groups: Groups, cutoff: int) -> np.ndarray:
    """ACG: the mean number of shared labels of the first min(cutoff, N) items, at least 0."""
    groups = groups.first(cutoff)
    shared = groups.sum_of(np.arange(groups.counts.shape[2]))
    return _within(groups, shared, cutoff) / np.minimum(cutoff, groups.by_shared.sum(axis=1))


def normalized_discounted_gain(groups: Groups, cutoff: int) -> np.ndarray:
    """NDCG of the first `cutoff` items, in [0, 1]: DCG with gain 2^s - 1 of an item that shares s labels, and
    discount 1 / log2(1 + rank), divided by the DCG of the best order of the database.
    """
    groups = groups.first(cutoff)
    gains = 2.0 ** np.arange(groups.counts.shape[2]) - 1
    gained = _discounted(groups.items, groups.sum_of(gains), cutoff)
    # In the best order, the items that share most labels come first.
    best = _discounted(groups.by_shared[:, ::-1], (groups.by_shared * gains)[:, ::-1], cutoff)
    return np.divide(gained, best, out=np.zeros(len(best)), where=best > 0)


def precision_at_recall(groups: Groups, levels: np.ndarray) -> np.ndarray:
    """Precision (Q, M) where shares `levels` (M,) of the relevant items are found; not interpolated.

    Within a tie items and relevant items are taken to come evenly.
    """
    total = groups.all_relevant
    queries = np.arange(len(total))
    values = np.zeros((len(total), len(levels)))
    for column, level in enumerate(levels):
        wanted = level * total
        reached = groups.relevant_before + groups.relevant >= wanted[:, None] - 1e-9
        cell = queries, np.argmax(reached & (groups.relevant > 0), axis=1)
        share = (wanted - groups.relevant_before[cell]) / np.maximum(groups.relevant[cell], 1)
        seen = groups.before[cell] + share * groups.items[cell]
        values[:, column] = np.where(total > 0, wanted / np.maximum(seen, 1e-9), 0)
    return values


def precision_recall_of_radii(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall within every Hamming radius 0..K, (Q, K + 1), of tie-aware groups.

    The precision of a radius that holds no item is NaN.
    """
    items, found = np.cumsum(groups.items, axis=1), np.cumsum(groups.relevant, axis=1)
    precision = np.divide(found, items, out=np.full(items.shape, np.nan), where=items > 0)
    return precision, found / np.maximum(found[:, -1:], 1)


def _precisions(groups: Groups) -> np.ndarray:
    """Sums (Q, D) of the precisions at the relevant items of each group."""
    if groups.singles:
        return groups.relevant * (groups.relevant_before + 1) / (groups.before + 1)
    return summed_precisions(groups.before, groups.relevant_before, groups.items, groups.relevant)


def _within(groups: Groups, amount: np.ndarray, cutoff: int) -> np.ndarray:
    """The expected amount (Q,) of the first `cutoff` items."""
    taken = np.clip(cutoff - groups.before, 0, groups.items)
    return (amount * (taken / np.maximum(groups.items, 1))).sum(axis=1)


def _discounted(items: np.ndarray, gain: np.ndarray, cutoff: int) -> np.ndarray:
    """DCG (Q,) of groups of items (Q, D) with sums of gains (Q, D)."""
    ranks = np.arange(1, int(items.sum(axis=1).max(initial=0)) + 1)
    discounts = np.concatenate([[0.0], np.cumsum(np.where(ranks <= cutoff, 1 / np.log2(1 + ranks), 0.0))])
    end = np.cumsum(items, axis=1)
    return (gain / np.maximum(items, 1) * (discounts[end] - discounts[end - items])).sum(axis=1)


def summed_precisions(before, relevant_before, items, relevant) -> np.ndarray:
    """Sum of the precisions at the relevant items of groups, of whatever shape.

    A tie of n items, r of them relevant, behind N items with R relevant ones adds
    r/n sum_i (R + 1 + (i - 1)(r - 1)/(n - 1)) / (N + i), i = 1..n; the sums are differences of harmonic
    numbers.
    """
    last = int(np.max(before + items, initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, last + 1))])
    reciprocals = harmonic[before + items] - harmonic[before]
    slope = np.where(np.greater(items, 1), (relevant - 1) / np.maximum(items - 1, 1), 0.0)
    share = relevant / np.maximum(items, 1)
    return share * ((relevant_before + 1) * reciprocals + slope * (items - (before + 1) * reciprocals))


def _first_relevant(log_choose, before, relevant_before, items, relevant, counted) -> float:
    """As `summed_precisions`, of the first `counted` < relevant relevant items of one group."""
    place = np.arange(items)  # items of the group before one
    at_most = _drawn_at_most(log_choose, items - 1, relevant - 1, counted - 1, items)
    sum_of_drawn = np.zeros(items)
    if counted > 1:
        fewer = _drawn_at_most(log_choose, items - 2, relevant - 2, counted - 2, items - 1)
        sum_of_drawn[1:] = place[1:] * (relevant - 1) / (items - 1) * fewer
    precisions = ((relevant_before + 1) * at_most + sum_of_drawn) / (before + place + 1)
    return float(relevant / items * precisions.sum())


def _drawn_at_most(log_choose, items, relevant, most, lengths) -> np.ndarray:
    """P(at most `most` of `relevant` among t drawn of `items`), t = 0..lengths - 1; most < relevant.

    It falls by the chance that draw t is relevant number most + 1.
    """
    if relevant <= most:
        return np.ones(lengths)
    draw = np.arange(1, lengths)
    log_chance = np.full(lengths - 1, -np.inf)
    possible = (draw > most) & (items - draw >= relevant - most - 1)
    draw = draw[possible]
    log_chance[possible] = (
        log_choose(draw - 1, most)
        + log_choose(items - draw, relevant - most - 1)
        - log_choose(items, relevant)
    )
    return np.concatenate([[1.0], np.maximum(1 - np.cumsum(np.exp(log_chance)), 0.0)])


def _log_choose_up_to(groups: Groups) -> Callable[..., np.ndarray]:
    """The logarithm of binomial coefficients of numbers up to the size of the largest group."""
    log_factorial = gammaln(np.arange(int(groups.items.max(initial=0)) + 1) + 1.0)
    return lambda items, taken: log_factorial[items] - log_factorial[taken] - log_factorial[items - taken]
