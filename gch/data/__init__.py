"""Pairs of image and text with their labels: readers, splits and streams."""
