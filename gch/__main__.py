"""`python -m gch` is the command `gch`."""

import sys

from gch.cli import console

if __name__ == "__main__":
    sys.exit(console())
