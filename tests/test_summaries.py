import types

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from gch.training.summaries import HISTOGRAM_VALUES, Summaries, _sampled


def test_a_histogram_sees_a_bounded_number_of_values_of_all_parts():
    values = tf.reshape(tf.range(3 * HISTOGRAM_VALUES + 1), [1, -1])
    sample = _sampled(values).numpy()
    assert HISTOGRAM_VALUES // 2 <= len(sample) <= HISTOGRAM_VALUES
    np.testing.assert_array_equal(np.diff(sample), np.full(len(sample) - 1, 4))
    np.testing.assert_array_equal(_sampled(tf.constant([[1, 2], [3, 4]])), [1, 2, 3, 4])


def test_a_histogram_of_codes_sees_a_bounded_number_of_values(tmp_path):
    summaries = Summaries(tmp_path)
    method = types.SimpleNamespace(networks={})
    summaries.histograms(method, {"teacher": np.ones((HISTOGRAM_VALUES // 4, 8), np.float32)}, epoch=1)
    summaries.close()
    [file] = tmp_path.iterdir()
    [value] = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    buckets = tf.make_ndarray(value.tensor)  # left edge, right edge, count
    assert buckets[:, 2].sum() == HISTOGRAM_VALUES
