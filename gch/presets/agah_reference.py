"""AGAH as its original code runs: the preset agah_paper, and what that mends left as it was.

    python main_itpair.py --preset=agah_reference

A code depends on the batch that it is encoded in, so codes are made in batches of `batch_size`. The best
outer epoch is chosen on the query set, which makes the figures too good; results.json says so.
"""

from gch.presets.agah_paper import *  # noqa: F403

netStr = "vggf-agah"
feature_norm = "batch"
decay_early = True
best_on = "query"
VERIFICATION_SIZE = 0
