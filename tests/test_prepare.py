"""What is prepared comes back, and what becomes of pictures that cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import FIRST, ITEMS, SECOND, SIDE, SOURCE, changed, dates, files, watched, write

from gch.data.array_pictures import ArrayPictures
from gch.data.pairs import OwnSplit, Pairs
from gch.data.picture_files import PictureFiles
from gch.data.prepared import open_prepared
from gch.errors import DataError


@pytest.mark.parametrize("shard_items", [1, 7, 49, 50, 1000])
@pytest.mark.parametrize("jobs", [1, 5])
def test_any_size_of_shards(tmp_path, shard_items, jobs):
    pairs = open_prepared(write(tmp_path / "set", shard_items=shard_items, jobs=jobs))
    rows = np.random.default_rng(0).permutation(ITEMS)
    np.testing.assert_array_equal(pairs.pictures.read(rows), SOURCE.pictures.array[rows])
    assert len(list((tmp_path / "set").glob("*.tfrecord"))) == -(-ITEMS // shard_items)


def test_jobs_do_not_change_jpeg(tmp_path):
    one, five = (write(tmp_path / f"{jobs}", encoding="jpeg", jobs=jobs) for jobs in (1, 5))
    assert files(one) == files(five)


def test_jpeg_has_the_colours_of_its_source(tmp_path):
    pixels = np.full((ITEMS, 8, 24, 3), (200, 60, 20), np.uint8)
    pixels[:, :, 12:] = 20, 60, 200
    folder = write(tmp_path / "set", changed(pictures=ArrayPictures(pixels)), encoding="jpeg")
    found = open_prepared(folder).pictures
    assert found.size == (8, 24)
    assert np.abs(found.read(np.array([49, 3])).astype(int) - pixels[:2]).max() < 12


def test_texts_that_await_a_vocabulary_come_back(tmp_path):
    odd = ("", "two\nlines \u2028 and half \ud800", *map(str, range(2, ITEMS)))
    source = changed(texts=np.zeros((ITEMS, 0), np.uint8), tag_names=(), captions=odd)
    pairs = open_prepared(write(tmp_path / "set", source))
    assert pairs.texts.shape == (ITEMS, 0)
    assert pairs.captions == odd
    assert pairs.ids == tuple(map(str, range(ITEMS)))
    assert pairs.own_split is None


@pytest.mark.parametrize("block", [1, 5, 12, 40, 1000])
@pytest.mark.parametrize("shard_items", [16, 50])
def test_blocks_of_the_source_are_cut_at_the_ends_of_shards_only(tmp_path, block, shard_items):
    source = watched(block)
    write(tmp_path / "set", source, shard_items=shard_items, jobs=1)
    reads = source.pictures.reads
    np.testing.assert_array_equal(np.concatenate(reads), np.arange(ITEMS))
    for rows in reads:
        assert rows[0] % block == 0 or rows[0] % shard_items == 0
    assert len(reads) <= -(-ITEMS // max(block, 16)) + -(-ITEMS // shard_items) + 1


def test_progress_counts_up_to_all(tmp_path):
    told = []
    write(tmp_path / "set", watched(), progress=lambda *counts: told.append(counts))
    assert told[-1] == (ITEMS, ITEMS)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_source_that_fails_ends_it_and_what_is_finished_stays(tmp_path):
    with pytest.raises(DataError, match="row 40 unreadable"):
        write(tmp_path / "set", watched(broken=40), jobs=4)
    before = dates(tmp_path / "set")
    assert {FIRST, SECOND} < set(before)
    assert "index.json" not in before
    source = watched()
    write(tmp_path / "set", source)
    assert min(map(min, source.pictures.reads)) == 32
    assert before.items() <= dates(tmp_path / "set").items()
    assert files(tmp_path / "set") == files(write(tmp_path / "whole"))


def of_files(folder: Path, broken: list[int], **fields) -> Pairs:
    folder.mkdir()
    for row in set(range(ITEMS)) - set(broken):
        Image.fromarray(SOURCE.pictures.array[row]).save(folder / f"{row}.png")
    paths = [f"{row}.png" for row in range(ITEMS)]
    return changed(pictures=PictureFiles(folder, paths, SIDE, "crop"), **fields)


def test_default_sizes_fit_what_is_left(tmp_path):
    found = open_prepared(write(tmp_path / "a", of_files(tmp_path / "files", list(range(5)))))
    query, retrieval, training, validation = SOURCE.default_sizes
    assert found.default_sizes == (query, retrieval - 5, training - 5, validation)
    found = open_prepared(write(tmp_path / "b", of_files(tmp_path / "few", list(range(46)))))
    query, retrieval, training, validation = found.default_sizes
    assert (query, retrieval) == (2, 2)
    assert 1 <= training <= retrieval - validation


@pytest.mark.parametrize(("left", "told"), [([], "no picture can be read"), ([7], "one picture can be read")])
def test_nothing_to_prepare(tmp_path, left, told):
    source = of_files(tmp_path / "files", sorted(set(range(ITEMS)) - set(left)))
    with pytest.raises(DataError, match=rf"{told}.*0\.png: not found"):
        write(tmp_path / "set", source)


def test_a_part_of_the_split_that_is_lost_is_told(tmp_path):
    split = OwnSplit(np.array([3, 4]), np.arange(5, ITEMS), np.arange(5, 9))
    with pytest.raises(DataError, match="query: no picture of it can be read"):
        write(tmp_path / "set", of_files(tmp_path / "files", [3, 4], own_split=split))


def test_stop_after_skip_tells_the_first(tmp_path, capsys):
    source = of_files(tmp_path / "files", [30, 9])
    write(tmp_path / "set", source)
    assert "2 pictures" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"/9\.png: not found.*broken is 'stop' \(all 2 in"):
        write(tmp_path / "set", source, broken="stop")
