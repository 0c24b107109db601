import threading

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from preparing import Watched

from gch.data.stream import epoch_order, image_batches, reading_errors, sequential_batches
from gch.errors import DataError

ITEMS = 100


def watched(items=ITEMS, block=8, broken=-1):
    pictures = np.zeros((items, 4, 5, 3), np.uint8)
    pictures[...] = np.arange(items, dtype=np.uint8)[:, None, None, None]
    return Watched(pictures, block, broken)


def collect(dataset):
    with reading_errors():
        return [(positions.numpy(), images.numpy()) for positions, images in dataset]


@st.composite
def row_sets(draw):
    return np.array(sorted(draw(st.sets(st.integers(0, 500), max_size=200))), np.int64)


@given(row_sets(), st.integers(1, 40), st.integers(1, 64), st.integers(0, 2**31))
def test_order_is_a_permutation_by_seed_that_cuts_blocks_at_the_windows_ends_only(rows, block, window, seed):
    order = epoch_order(rows, block, window, seed)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))
    np.testing.assert_array_equal(order, epoch_order(rows, block, window, seed))
    blocks = rows[order] // block
    starts = range(0, len(rows), window)
    touched = sum(len(np.unique(blocks[start : start + window])) for start in starts)
    assert touched <= len(np.unique(rows // block)) + max(0, len(starts) - 1)


def test_order_mixes():
    rows = np.arange(8000)
    order = epoch_order(rows, 16, 1024, 0)
    batches = order[: 62 * 128].reshape(62, 128)
    blocks_in_a_batch = np.mean([len(np.unique(batch // 16)) for batch in batches])
    assert blocks_in_a_batch > 50  # Of the 64 blocks of a window; 8 without the window's shuffling.
    assert abs(np.corrcoef(order, rows)[0, 1]) < 0.2
    assert (order != epoch_order(rows, 16, 1024, (0, 1))).mean() > 0.9


@pytest.mark.parametrize("window", [1, 7, 16, 33, 1000])
def test_batches_hold_the_images_of_their_positions(window):
    pictures = watched()
    rows = np.arange(3, ITEMS, 2)
    batches = collect(image_batches(pictures, rows, 16, seed=5, window=window))
    assert len(batches) == len(rows) // 16
    for positions, images in batches:
        assert positions.dtype == np.int64
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, pictures.array[rows[positions]])
    seen = np.concatenate([positions for positions, _ in batches])
    assert len(np.unique(seen)) == len(seen) == 48
    np.testing.assert_array_equal(seen, epoch_order(rows, 8, window, (5, 0))[:48])


def test_resumes_exactly():
    def batches(start):
        steps = {"start_step": start, "steps": 15 - start}
        return collect(image_batches(watched(), np.arange(ITEMS), 16, seed=1, window=40, **steps))

    whole = batches(0)
    assert len(whole) == 15
    for start in (1, 6, 8, 13):
        for (positions, images), (again, images_again) in zip(whole[start:], batches(start), strict=True):
            np.testing.assert_array_equal(positions, again)
            np.testing.assert_array_equal(images, images_again)


def test_epochs_differ_and_follow_each_other_and_the_first_ends_where_no_steps_are_given():
    rows = np.arange(ITEMS)
    batches = collect(image_batches(watched(), rows, 25, seed=1, steps=8))
    first, second = (np.concatenate([p for p, _ in batches[i : i + 4]]) for i in (0, 4))
    np.testing.assert_array_equal(np.sort(first), rows)
    np.testing.assert_array_equal(np.sort(second), rows)
    assert (first != second).any()
    dataset = image_batches(watched(), rows, 10, seed=0, start_step=13)
    assert dataset.cardinality() == len(collect(dataset)) == 7


def test_reads_window_by_window_and_nothing_beforehand():
    pictures = watched()
    collect(image_batches(pictures, np.arange(ITEMS), 10, seed=0, start_step=5, window=32))
    assert [len(rows) for rows in pictures.reads] == [14, 32, 4]


def test_reads_no_further_ahead_than_its_buffers():
    pictures = watched(items=240)
    with reading_errors():
        iterator = iter(image_batches(pictures, np.arange(240), 8, seed=0, window=16))
        next(iterator)
        threading.Event().wait(0.1)
    assert sum(len(rows) for rows in pictures.reads) <= 5 * 16


def test_sequential_batches_cover_all_in_order():
    pictures = watched()
    rows = np.array([9, 4, 77, 0, 5])
    batches = collect(sequential_batches(pictures, rows, 2))
    assert [len(positions) for positions, _ in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([p for p, _ in batches]), np.arange(5))
    np.testing.assert_array_equal(np.concatenate([i for _, i in batches]), pictures.array[rows])


LINE = r"^photos.mat: images: row 60 unreadable \(it's \"broken\"\)$"


@pytest.mark.parametrize(
    "batches_of",
    [
        lambda pictures: image_batches(pictures, np.arange(ITEMS), 10, seed=0, window=10),
        lambda pictures: sequential_batches(pictures, np.arange(ITEMS), 10),
    ],
)
def test_reading_error_reaches_the_loop_as_it_was(batches_of):
    with pytest.raises(DataError, match=LINE):
        collect(batches_of(watched(broken=60)))

    @tf.function
    def consume(iterator):
        for _ in tf.range(10):
            next(iterator)

    batches = iter(batches_of(watched(broken=60)))
    with pytest.raises(DataError, match=LINE), reading_errors():
        consume(batches)


def test_other_errors_of_tensorflow_pass_unchanged():
    with pytest.raises(tf.errors.InvalidArgumentError), reading_errors():
        tf.debugging.assert_equal(1, 2)
