import numpy as np
import tensorflow as tf

from gch.training.summaries import HISTOGRAM_VALUES, _sampled


def test_a_histogram_sees_a_bounded_number_of_values_of_all_parts():
    values = tf.reshape(tf.range(3 * HISTOGRAM_VALUES + 1), [1, -1])
    sample = _sampled(values).numpy()
    assert HISTOGRAM_VALUES // 2 <= len(sample) <= HISTOGRAM_VALUES
    np.testing.assert_array_equal(np.diff(sample), np.full(len(sample) - 1, 4))
    np.testing.assert_array_equal(_sampled(tf.constant([[1, 2], [3, 4]])), [1, 2, 3, 4])
