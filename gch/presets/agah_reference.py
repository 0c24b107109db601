"""AGAH as its published code runs: agah_paper without the corrections. docs/methods.md lists them.

    gch train --preset=agah_reference

A code depends on the batch that it is encoded in, so codes are made in batches of `batch_size`. The best
outer epoch is chosen on the query set, which inflates the figures; results.json says so.
"""

from gch.presets.agah_paper import *  # noqa: F403

netStr = "vggf-agah"
feature_norm = "batch"
decay_early = True
best_on = "query"
VERIFICATION_SIZE = 0
