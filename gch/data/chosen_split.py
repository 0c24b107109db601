"""Which split a run has: the files' own, one that is drawn, or one of the user's."""

from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs, SplitSizes
from gch.data.split import DEFAULT, Split, make_split, resolve_sizes
from gch.data.split_file import read_split_file
from gch.errors import SettingError
from gch.settings import Settings


def choose_split(settings: Settings, pairs: Pairs) -> Split:
    """The split that the settings `split`, `seed` and the sizes ask for.

    Raises:
      SettingError: the sizes do not fit, or are given beside a split that has sizes of its own.
      DataError: an index file is damaged or does not fit.
    """
    asked = SplitSizes(
        settings.QUERY_SIZE, settings.DATABASE_SIZE, settings.TRAINING_SIZE, settings.VERIFICATION_SIZE
    )
    own = settings.split == "" and pairs.own_split is not None
    if own or settings.split not in ("", "random", "sequential"):
        source = "the data set's files" if own else settings.split
        if any(size != DEFAULT for size in asked[:3]):
            raise SettingError(
                f"QUERY_SIZE, DATABASE_SIZE and TRAINING_SIZE are {', '.join(map(str, asked[:3]))}, and the "
                f"split is that of {source}; expected -1, or split = 'random'"
            )
        if own:
            split = _own(pairs, settings.seed, asked.validation)
        else:
            validation = pairs.default_sizes.validation if asked.validation == DEFAULT else asked.validation
            split = read_split_file(Path(settings.split), len(pairs.labels), settings.seed, validation)
    else:
        sizes = resolve_sizes(asked, pairs.default_sizes, len(pairs.labels))
        split = make_split(len(pairs.labels), sizes, settings.seed, settings.split or "random")
    if settings.batch_size > len(split.training):
        raise SettingError(
            f"batch_size is {settings.batch_size}, the training set has {len(split.training)} items; "
            "expected a batch no larger than it"
        )
    return split


def _own(pairs: Pairs, seed: int, validation: int) -> Split:
    """The files' split; validation items are drawn from its training items."""
    query, retrieval, training = pairs.own_split
    size = pairs.default_sizes.validation if validation == DEFAULT else validation
    if size >= len(training):
        raise SettingError(
            f"VERIFICATION_SIZE is {size}, the files have {len(training)} training items; expected fewer"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(training)
    return Split(query, retrieval, np.sort(order[size:]), np.sort(order[:size]))
