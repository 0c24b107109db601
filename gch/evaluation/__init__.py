"""Ranking by Hamming distance, and its measures."""
