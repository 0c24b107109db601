"""Whether XLA compiles what is being traced: a few operations are written otherwise there."""

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def compiled_by_xla() -> bool:
    """Whether the function that is being traced, or one around it, is compiled by XLA."""
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
