"""Trains and tests cross-modal hashing: edit setting.py, then `python main_itpair.py`."""

import sys

from gch.signals import run_stoppable


def run() -> int:
    """Runs the command line with the settings of setting.py."""
    from pathlib import Path

    from gch.cli import main

    return main(sys.argv, settings_file=Path(__file__).with_name("setting.py"))


if __name__ == "__main__":
    sys.exit(run_stoppable(sys.argv[0].rpartition("/")[2], sys.argv[1:], run))
