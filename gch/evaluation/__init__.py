"""Ranking by Hamming distance and what is reported of it."""
