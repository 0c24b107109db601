"""Keeping the terminal for what the user needs to read."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_held() -> Iterator[None]:
    """Holds back what libraries write to standard error; it is shown after all when the body raises.

    TensorFlow announces its build and the absence of a GPU there before any of its own switches works.
    With TF_CPP_MIN_LOG_LEVEL=0 in the environment nothing is held back.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
