"""The splits that the papers use, by data set."""

from gch.data.names import canonical_dataset
from gch.data.pairs import SplitSizes

_PAPERS = {
    # data set: items, query, training
    "FLICKR": (20_015, 2_000, 10_000),
    "NUS-WIDE-TC21": (195_834, 2_100, 10_500),
    "NUS-WIDE-TC10": (186_577, 2_000, 5_000),
    "COCO": (122_218, 5_000, 10_000),
}
_OTHERS = (20_015, 2_000, 18_015)
_VALIDATION = 500


def default_sizes(dataset: str, total: int) -> SplitSizes:
    """The papers' split of a data set, and the like for other numbers of items.

    From three quarters of the papers' number of items on, the papers' queries query (else their share of the
    items), and all others are retrieved. Of those the papers' share is trained on, in whole 500s where there
    are so many; 500 (or total / 40) validate. Data sets without a paper have a tenth, at most 2,000, as
    queries, and train on all others but those that validate.

    Args:
      dataset: as in the setting dataset_dir.
      total: number of items, 8 or more.
    """
    items, query, training = _PAPERS.get(canonical_dataset(dataset) or dataset, _OTHERS)
    large = total >= items * 3 // 4
    asked = query if large else max(1, round(total * query / items))
    retrieval = total - asked
    validation = _VALIDATION if large else total // 40
    trained = retrieval * training // (items - query)
    if large:
        trained -= trained % 500
    return SplitSizes(asked, retrieval, max(1, min(trained, retrieval - validation)), validation)
