"""The methods by name, which are folders. `__init__.py` has the method's settings, and loads no TensorFlow;
`method.py` has `build`, which makes the method. docs/extending.md shows how to add one.
"""

import importlib
from typing import Any

METHODS = ("gch", "agah", "dcmh")


def method_settings(name: str) -> Any:
    """The `MethodSettings` of a method that is registered."""
    return importlib.import_module(f"gch.methods.{name}").MethodSettings
