"""Exports a trained run as a SavedModel that does not need this package."""
