"""A trained run as a SavedModel that needs nothing of this package."""
