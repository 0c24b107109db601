import os
import subprocess
import sys

import pytest

CODE = """
import os
from gch.quiet import native_stderr_held
with native_stderr_held():
    os.write(2, b"chatter")
    {body}
os.write(2, b"after")
"""


@pytest.mark.parametrize(
    ("level", "body", "expected"),
    [("2", "pass", "after"), ("0", "pass", "chatterafter"), ("2", "raise SystemExit(3)", "chatter")],
)
def test_chatter_is_held_back_unless_something_fails_or_it_is_asked_for(level, body, expected):
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(body=body)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": level},
    )
    assert result.stderr == expected
