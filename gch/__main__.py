"""`python -m gch` is the command `gch`."""

import sys

from gch.signals import run_stoppable


def console() -> int:
    """The command `gch`. It starts from the package's defaults, or from the file of --settings=FILE."""
    words = sys.argv[1:] or ["help"]

    def run() -> int:
        from gch.cli import main  # takes half a second, in which a signal may come

        return main(["gch", *words])

    return run_stoppable("gch", words, run)


if __name__ == "__main__":
    sys.exit(console())
