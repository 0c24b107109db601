"""The methods by name. Each is a module with `MethodSettings` and `build`, which loads TensorFlow only to
build; docs/extending.md shows how to add one.
"""

import importlib
from types import ModuleType

METHODS = {"gch": "gch.methods.gch", "agah": "gch.methods.agah", "dcmh": "gch.methods.dcmh"}


def method_module(name: str) -> ModuleType:
    """The module of a method that is registered."""
    return importlib.import_module(METHODS[name])
