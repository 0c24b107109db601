"""Codes in folders as `encode` writes them, and what is nearest to a code."""

from pathlib import Path

import numpy as np

from gch.search.codes_folder import Codes, CodesNote, CodesWriter, open_codes

MODEL = "ab" * 32


def saved(
    folder: Path,
    codes: np.ndarray,
    modality: str = "image",
    model: str = MODEL,
    root: str = "/r",
) -> Codes:
    """A folder of codes; ids are FOLDER/ROW, and every text, also of a pair, is 'a text'."""
    note = CodesNote(
        bits=8 * codes.shape[1],
        modality=modality,
        model=model,
        root="" if modality == "text" else root,
        source="s",
        shard=(1, 1),
        entries=len(codes),
    )
    with CodesWriter(folder, note) as writer:
        text = None if modality == "image" else "a text"
        writer.write(codes, ((f"{folder.name}/{row}", text) for row in range(len(codes))))
        writer.save(len(codes))
    return open_codes(folder)


def clustered(count: int, bits: int = 64, seed: int = 0) -> np.ndarray:
    """Packed codes, uint8 (count, bits / 8), near 20 centres, many of them equal."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).random((20, bits)) < 0.5
    flips = random.random((count, bits)) < random.beta(0.7, 12, (count, 1))
    return np.packbits(centres[random.integers(0, 20, count)] ^ flips, axis=1)


def nearest(codes: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances in the order of distance, then row, by comparing all bits."""
    away = np.unpackbits(queries[:, None] ^ codes[None], axis=2).sum(axis=2, dtype=np.int64)
    rows = np.argsort(away, axis=1, kind="stable")[:, :count]
    return rows, np.take_along_axis(away, rows, axis=1)


def nearest_to_relaxed(codes: np.ndarray, relaxed: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and asymmetric distances, float64, in the order of distance, then row, from all items."""
    signs = np.where(np.unpackbits(codes, axis=1) > 0, 1.0, -1.0)
    away = ((1 - relaxed[:, None].astype(np.float64) * signs) / 2).sum(axis=2).round(9)
    rows = np.argsort(away, axis=1, kind="stable")[:, :count]
    return rows, np.take_along_axis(away, rows, axis=1)
