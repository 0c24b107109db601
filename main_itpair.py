"""Trains and tests cross-modal hashing: edit setting.py, then `python main_itpair.py`."""

import sys
from pathlib import Path

from gch.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv, settings_file=Path(__file__).with_name("setting.py")))
