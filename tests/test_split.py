import hashlib
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sources import refusal, settings_of
from written import AGAIN, FEATURES, FURTHER, source, write_mat73, write_split_files

from gch.data.catalog import choose_split
from gch.data.pairs import SplitSizes
from gch.data.split import (
    Split,
    default_sizes,
    digest_line,
    items_digest,
    make_split,
    resolve_sizes,
    split_oddities,
)
from gch.errors import SettingError

DEFAULTS = SplitSizes(2000, 18_015, 10_000, 500)
TOTAL = 20_015


def test_random_split_is_what_it_was():
    drawn = np.random.Generator(np.random.PCG64(3)).permutation(12)
    split = make_split(12, SplitSizes(3, 8, 4, 2), 3)
    wanted = drawn[:3], drawn[3:11], drawn[5:9], drawn[3:5]
    assert [part.tolist() for part in split] == [sorted(rows.tolist()) for rows in wanted]
    smaller = make_split(12, SplitSizes(3, 8, 2, 2), 3)
    np.testing.assert_array_equal(smaller.training, sorted(drawn[5:7]))
    assert make_split(12, SplitSizes(3, 8, 4, 2), 4).digest != split.digest


def test_published_digests_are_those_of_the_papers_splits(repository):
    page = (repository / "docs" / "downloads.md").read_text(encoding="utf-8")
    row = r'^\| `"([^"]+)"` \| ([\d,]+) \|' + 4 * r" `([0-9a-f]{16})` \|" + "$"
    published = re.findall(row, page, re.MULTILINE)
    assert len(published) == 6
    for dataset, items, *digests in published:
        total = int(items.replace(",", ""))
        sizes = default_sizes(dataset, total)
        drawn = [make_split(total, sizes, seed) for seed in range(3)]
        found = [split.digest[:16] for split in (*drawn, make_split(total, sizes, 0, "sequential"))]
        assert found == digests


def test_the_digest_of_items_is_that_of_a_text_of_their_names():
    lines = b"im1.jpg\nb\xc3\xbccher.png\n"
    digest = hashlib.sha256(lines).hexdigest()
    assert items_digest(["a/im1.jpg", "bücher.png"]) == digest
    split = make_split(8, SplitSizes(2, 6, 4, 1), 0)
    line = f"split digest {split.digest[:16]}"
    assert digest_line(split, None) == line
    assert digest_line(split, ["im1.jpg", "bücher.png"]) == f"{line}, items digest {digest[:16]}"


@pytest.mark.parametrize(
    ("dataset", "total", "line"),
    [
        ("COCO", 4948, "the split trains on 404 items; its retrieval set has 4,746: it trains on few (9%)"),
        ("files", 20_015, "97% of what is retrieved is trained on"),
        ("FLICKR", 20_015, ""),
        ("COCO", 122_218, ""),
        ("NUS-WIDE-TC10", 186_577, ""),
    ],
)
def test_a_split_that_trains_few_or_nearly_all_is_told(dataset, total, line):
    found = split_oddities(make_split(total, default_sizes(dataset, total), 0))
    assert len(found) == bool(line)
    assert line in "".join(found)
    rows = np.arange(40)  # training items beside the retrieval set do not count as retrieved
    assert not split_oddities(Split(rows[:5], rows[5:20], rows[20:], rows[:0]))


def test_sequential_split_takes_the_rows_in_order():
    split = make_split(12, SplitSizes(3, 7, 4, 2), 7, "sequential")
    wanted = [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9], [3, 4, 5, 6], [7, 8]]
    assert [part.tolist() for part in split] == wanted


@pytest.mark.parametrize(
    ("requested", "resolved"),
    [
        ((-1, -1, -1, -1), DEFAULTS),
        ((1000, -1, -1, -1), (1000, 19_015, 10_000, 500)),
        ((-1, 5000, -1, -1), (2000, 5000, 4862, 138)),
        ((-1, -1, 17_900, -1), (2000, 18_015, 17_900, 115)),
        ((-1, -1, -1, 0), (2000, 18_015, 10_000, 0)),
        ((-1, -1, -1, 9000), (2000, 18_015, 9015, 9000)),
        ((1, 2, 1, 1), (1, 2, 1, 1)),
    ],
)
def test_default_sizes_adapt(requested, resolved):
    assert resolve_sizes(SplitSizes(*requested), DEFAULTS, TOTAL) == resolved


@pytest.mark.parametrize(
    ("requested", "line"),
    [
        ((20_015, -1, -1, -1), r"QUERY_SIZE = 20015, DATABASE_SIZE = -1 \(default\): the data set has 20015"),
        ((-1, 5000, 5001, -1), r"TRAINING_SIZE = 5001, VERIFICATION_SIZE = -1 \(default\): .*leave 5000"),
        ((-1, -1, 18_000, 16), "TRAINING_SIZE = 18000, VERIFICATION_SIZE = 16: .*leave 18015 items"),
    ],
)
def test_impossible_sizes_are_named_with_their_numbers(requested, line):
    with refusal(line, fault=SettingError):
        resolve_sizes(SplitSizes(*requested), DEFAULTS, TOTAL)


def test_one_item_alone_has_no_split():
    with refusal("the data set has 1 item, expected two or more", fault=SettingError):
        resolve_sizes(SplitSizes(*[-1] * 4), default_sizes("files", 1), 1)


@given(st.integers(10, 300), st.tuples(*[st.just(-1) | st.floats(0, 0.6)] * 4), st.integers(0, 2**31))
def test_resolved_sizes_can_always_be_served(total, shares, seed):
    requested = SplitSizes(*(-1 if share == -1 else int(share * total) for share in shares))
    try:
        sizes = resolve_sizes(requested, default_sizes("FLICKR", total), total)
    except SettingError:
        assume(False)
    assert all(got == asked for got, asked in zip(sizes, requested, strict=True) if asked != -1)
    split = make_split(total, sizes, seed)
    assert split.sizes == sizes
    assert split.digest == make_split(total, sizes, seed).digest
    for part in split:
        assert part.dtype == np.int64
        assert (np.diff(part, prepend=-1, append=total) > 0).all()  # ascending, of 0 to total - 1
    assert not np.intersect1d(split.query, split.retrieval).size
    assert not np.intersect1d(split.training, split.validation).size
    assert np.isin([*split.training, *split.validation], split.retrieval).all()


def test_default_sizes():
    for total, sizes in ((20_015, DEFAULTS), (2000, (200, 1800, 999, 50)), (40, (4, 36, 19, 1))):
        assert default_sizes("FLICKR", total) == sizes


# ---------------------------------------------------------------- the split that a run takes


@pytest.fixture
def split_pairs(tmp_path):
    write_split_files(tmp_path, FEATURES, np.concatenate([AGAIN, FURTHER]))
    return source(tmp_path)


def chosen(folder, pairs, **changes):
    return choose_split(settings_of(folder, "FLICKR", **{"batch_size": 2, **changes}), pairs)


def test_split_of_the_files(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs)
    for part in ("query", "retrieval", "training"):
        np.testing.assert_array_equal(getattr(split, part), getattr(split_pairs.own_split, part))
    assert len(split.validation) == 0
    drawn = chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4)
    assert len(drawn.validation) == 4
    np.testing.assert_array_equal(np.union1d(drawn.training, drawn.validation), split.training)
    assert drawn.digest == chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4).digest
    assert drawn.digest != chosen(tmp_path, split_pairs, VERIFICATION_SIZE=4, seed=1).digest


def test_split_drawn_instead(tmp_path, split_pairs):
    split = chosen(tmp_path, split_pairs, split="random")
    assert split.sizes[:2] == (6, 20)
    assert split.digest == make_split(29, split.sizes, 0).digest
    sizes = {"QUERY_SIZE": 5, "DATABASE_SIZE": 24, "TRAINING_SIZE": 10, "VERIFICATION_SIZE": 3}
    split = chosen(tmp_path, split_pairs, split="sequential", **sizes)
    assert split.digest == make_split(29, SplitSizes(5, 24, 10, 3), 0, "sequential").digest


def test_split_of_an_index_file(tmp_path, split_pairs):
    path = tmp_path / "mine.mat"
    rows = {"query": np.arange(4), "retrieval": np.arange(4, 29), "training": np.arange(10, 20)}
    write_mat73(path, **{f"ind_{name}": numbers + 1.0 for name, numbers in rows.items()})
    split = chosen(tmp_path, split_pairs, split=str(path), VERIFICATION_SIZE=2)
    np.testing.assert_array_equal(split.query, rows["query"])
    np.testing.assert_array_equal(split.retrieval, rows["retrieval"])
    np.testing.assert_array_equal(np.union1d(split.training, split.validation), rows["training"])
    assert len(split.validation) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"QUERY_SIZE": 3}, "are 3, -1, -1, and the split is that of the files of the data set; expected"),
        ({"TRAINING_SIZE": 3, "split": "mine.npz"}, "are -1, -1, 3, and the split is that of mine.npz; exp"),
        ({"VERIFICATION_SIZE": 11}, "VERIFICATION_SIZE is 11, the files have 11 training items; expected"),
        ({"batch_size": 12}, "batch_size is 12, the training set has 11 items; expected a batch no larger"),
        ({"split": "random", "QUERY_SIZE": 29}, "QUERY_SIZE = 29, .*the data set has 29 items"),
    ],
)
def test_impossible_splits_are_refused(tmp_path, split_pairs, changes, line):
    with refusal(line, fault=SettingError):
        chosen(tmp_path, split_pairs, **changes)
