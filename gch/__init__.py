"""Cross-modal hashing: train, export, encode and search. TensorFlow loads on first use."""

TYPE_CHECKING = False  # as in `typing`, which would load before Ctrl-C is handled (gch.signals)
if TYPE_CHECKING:
    from gch.api import Run, open_run, train
    from gch.errors import GCHError
    from gch.evaluation.evaluate import evaluate
    from gch.search.exported import ExportedModel, load
    from gch.search.memory_index import Index

__version__ = "0.2.0"
__all__ = ["ExportedModel", "GCHError", "Index", "Run", "evaluate", "load", "open_run", "train"]

_PLACES = {
    "GCHError": "gch.errors",
    "Index": "gch.search.memory_index",
    "ExportedModel": "gch.search.exported",
    "Run": "gch.api",
    "evaluate": "gch.evaluation.evaluate",
    "load": "gch.search.exported",
    "open_run": "gch.api",
    "train": "gch.api",
}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _PLACES:
        raise AttributeError(f"module 'gch' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
