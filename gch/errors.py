"""The faults that a user can mend.

Each is raised with one line that says where the fault is, what was found there and what was expected.
The command line prints that line, without a traceback, and exits with a status other than 0.
"""


class GCHError(Exception):
    """A fault the user can mend."""


class SettingError(GCHError):
    """A setting is unknown, of the wrong type, out of range or impossible in combination with others."""


class DataError(GCHError):
    """A data file is missing, broken, or not what its layout promises."""


class WeightsError(GCHError):
    """A file of network weights is missing, broken, or fits another network."""


class RunError(GCHError):
    """A run folder cannot be used as asked: nothing to test, or trained with other settings."""


class TrainingError(GCHError):
    """Training cannot go on: a loss is not a finite number."""
