"""Splits: which items are queries, which are retrieved, which train and which validate."""

import hashlib
import posixpath
from collections.abc import Sequence

import numpy as np

from gch.data.names import benchmark
from gch.data.pairs import Split, SplitSizes
from gch.errors import SettingError

ORDERS = ("random", "sequential")  # of splits that are made, not read
DEFAULT = -1  # A requested size of -1 leaves the choice to the data set.
_WITHOUT_PAPER = (20_015, 2_000, 18_015)  # items, queries, training items
_VALIDATION = 500
_SHOWN = 16  # digits of a digest
_MANY_TRAINING = 5000  # the fewest that a paper trains on, of any number of items


def items_digest(ids: Sequence[str]) -> str:
    """SHA-256 of the names of all items' files in the order of the rows, each with a line feed, without their
    folders: with the digest of a split, it says which items are in each part. 64 hexadecimal digits.
    """
    names = "".join(f"{posixpath.basename(name)}\n" for name in ids)
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def digest_line(split: Split, ids: Sequence[str] | None) -> str:
    """What two reports on one split have in common: the first digits of the digests, for people."""
    of_items = f", items digest {items_digest(ids)[:_SHOWN]}" if ids else ""
    return f"split digest {split.digest[:_SHOWN]}{of_items}"


def split_oddities(split: Split) -> list[str]:
    """One line where a split trains on few of the items that it could, or on nearly all it retrieves."""
    training, retrieval = len(split.training), len(split.retrieval)
    trained = len(np.intersect1d(split.training, split.retrieval))
    found = f"the split trains on {training:,} items; its retrieval set has {retrieval:,}"
    if training < _MANY_TRAINING and 4 * training < retrieval:
        return [
            f"{found}: it trains on few ({training / retrieval:.0%}); TRAINING_SIZE or split can change that"
        ]
    if trained >= 0.95 * retrieval:
        share = f"{trained / retrieval:.0%} of what is retrieved is trained on"
        return [f"{found}: {share}; measures of new items tell how unseen ones are found"]
    return []


def default_sizes(dataset: str, total: int) -> SplitSizes:
    """The papers' split of a data set, and a similar one for other numbers of items.

    From three quarters of the papers' number of items on, the papers' number of queries (else their share of
    the items), and all others are retrieved. Of those the papers' share is trained on, in whole 500s where
    there are so many; 500 (or total / 40) validate. Data sets without a paper have a tenth, at most 2,000, as
    queries, and train on all others but those that validate. `total` is 8 or more.
    """
    paper = benchmark(dataset)
    items, papers_query, papers_training = paper[1:4] if paper else _WITHOUT_PAPER
    large = total >= items * 3 // 4
    query = papers_query if large else max(1, round(total * papers_query / items))
    retrieval = total - query
    validation = _VALIDATION if large else total // 40
    training = retrieval * papers_training // (items - papers_query)
    if large:
        training -= training % 500
    return SplitSizes(query, retrieval, max(1, min(training, retrieval - validation)), validation)


def resolve_sizes(requested: SplitSizes, defaults: SplitSizes, total: int) -> SplitSizes:
    """Fills in the sizes that are not asked for, and checks that the four fit together.

    A size of -1 takes the data set's default as far as the sizes asked for leave room for it: the retrieval
    set grows or shrinks to the items that are not queries, the validation set shrinks in proportion to the
    retrieval set, and the training set takes at most the retrieved items that do not validate. `defaults`
    must fit into `total`, the number of items in the data set.

    Raises:
      SettingError: the sizes do not fit into the data set.
    """
    names = ("QUERY_SIZE", "DATABASE_SIZE", "TRAINING_SIZE", "VERIFICATION_SIZE")
    shown = [
        f"{name} = {'-1 (default)' if size == DEFAULT else size}"
        for name, size in zip(names, requested, strict=True)
    ]
    given = [size != DEFAULT for size in requested]
    query, retrieval, training, validation = requested
    if not given[0]:
        query = min(defaults.query, total - retrieval) if given[1] else defaults.query
    if not given[1]:
        retrieval = defaults.retrieval if query == defaults.query else total - query
    if total < 2:
        raise SettingError(
            f"the data set has {total} item, expected two or more: one to query, one to train on"
        )
    if query < 1 or retrieval < 1 or query + retrieval > total:
        raise SettingError(
            f"{shown[0]}, {shown[1]}: the data set has {total} items, expected 1 or more each and {total} at "
            "most together"
        )
    if not given[3]:
        proportional = defaults.validation * retrieval // defaults.retrieval
        room = retrieval - (training if given[2] else 1)
        validation = max(0, min(defaults.validation, proportional, room))
    if not given[2]:
        training = min(defaults.training, retrieval - validation)
    if training < 1 or training + validation > retrieval:
        raise SettingError(
            f"{shown[2]}, {shown[3]}: QUERY_SIZE and DATABASE_SIZE leave {retrieval} items to retrieve; "
            f"expected 1 or more to train on and {retrieval} at most together"
        )
    return SplitSizes(query, retrieval, training, validation)


def make_split(total: int, sizes: SplitSizes, seed: int, order: str = "random") -> Split:
    """Makes a split of which training and validation set are parts of the retrieval set.

    Order 'random' draws by the seed, any integer from 0 on. With one seed, the query set stays when the other
    sizes change, and a smaller training set is part of a larger one.

    Order 'sequential' is AGAH's: the first rows are queries, the rows after them the retrieval set; its first
    rows train, the rows after those validate.
    """
    if order == "random":
        rows = np.random.Generator(np.random.PCG64(seed)).permutation(total).astype(np.int64)
    else:
        rows = np.arange(total, dtype=np.int64)
    query, retrieval = rows[: sizes.query], rows[sizes.query : sizes.query + sizes.retrieval]
    if order == "random":
        validation, rest = np.split(retrieval, [sizes.validation])
        training = rest[: sizes.training]
    else:
        training, rest = np.split(retrieval, [sizes.training])
        validation = rest[: sizes.validation]
    return Split(*(np.sort(part) for part in (query, retrieval, training, validation)))


def hold_out(training: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws `size` training rows that validate: the rows that still train, and those; both ascending."""
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(training)
    return np.sort(drawn[size:]), np.sort(drawn[:size])
