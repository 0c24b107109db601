"""A model that `export` wrote, in Python: lists of pictures, texts, pairs or vectors in, codes out."""

import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gch.data.pictures import decode_picture, read_picture
from gch.data.text_parts import Text
from gch.errors import DataError
from gch.search.functions import ModelFunctions, unknown_text
from gch.search.model_note import OF_PAIRS

PICTURES_AT_ONCE, TEXTS_AT_ONCE, VECTORS_AT_ONCE = 32, 1024, 1024


def load(folder: str | Path) -> "ExportedModel":
    """Loads an exported model: the folder that `export` wrote, of this version or an earlier one.

    Raises:
      DataError: the folder holds no exported model of this project, or a damaged one.
    """
    return ExportedModel(folder)


class ExportedModel(ModelFunctions):
    """Encodes pictures, texts and pairs of both with an exported model; several threads may call it.

    Args:
      path: the folder that `export` wrote.
      device: TensorFlow's name of the device to run on; None lets TensorFlow choose.

    Raises:
      DataError: it is not an exported model of this project, or it is damaged.

    Example:
      >>> model = gch.load("runs/openmoji_gch_64/export")
      >>> codes = model.encode_texts(["the red cat", ["red", "sea"]])
      >>> codes.dtype, codes.shape == (2, model.bits // 8)
      (dtype('uint8'), True)
      >>> len(model.encode_images(["cat.jpg", np.zeros((480, 640, 3), np.uint8)]))
      2
    """

    def encode_texts(self, texts: Iterable[Text]) -> np.ndarray:
        """Codes of texts, uint8 (N, K / 8), packed as by numpy.packbits.

        Args:
          texts: N free texts (str) and sets of tags (lists or tuples of str), in any mixture. Unknown words
            count as absent.

        Raises:
          DataError: an entry is of another type or has no known word, or the model knows no words at all.
          SettingError: the model's encoder of texts is not installed, or is of another version.
        """

        def encode(some: list[Text]) -> np.ndarray:
            outputs = self.text_outputs(some)
            _require_known(some, np.asarray(outputs.words) > 0)
            return outputs.codes

        return self._in_batches(encode, _texts(texts), TEXTS_AT_ONCE)

    def encode_images(self, images: Iterable[str | Path | np.ndarray]) -> np.ndarray:
        """Codes of pictures, uint8 (N, K / 8), packed as by numpy.packbits.

        Args:
          images: N paths of picture files and pictures, uint8 (H, W, 3), RGB, in any mixture; or an array,
            uint8 (N, H, W, 3). They are scaled to the model's size as in training.

        Raises:
          DataError: a file is not a picture, an entry has another type or shape, or the model takes no
            pictures, but features of them.
        """
        pictures = _images(images)
        self.note.require("encode_image")
        return self._encode_halves(pictures, [None] * len(pictures))

    def encode_pairs(
        self, images: Iterable[str | Path | np.ndarray | None], texts: Iterable[Text | None]
    ) -> np.ndarray:
        """Unified codes of pairs, uint8 (N, K / 8), packed as by numpy.packbits.

        A pair may lack one half, as None. Its code is then that of the other half, by `encode_images` or
        `encode_texts`, and compares with all others. So is the code of a picture whose text has no known
        word.

        Args:
          images: N pictures as of `encode_images`, or None.
          texts: N texts as of `encode_texts`, or None.

        Raises:
          DataError: an entry is wrong as of these functions, both halves are missing, there are more of one
            than of the other, or the model has no unified codes.
          SettingError: as of `encode_texts`.

        Example:
          >>> model = gch.load("runs/openmoji_gch_64/export")
          >>> codes = model.encode_pairs(["cat.jpg", "cat.jpg", None], ["the red cat", None, ["red", "sea"]])
          >>> codes.dtype, codes.shape == (3, model.bits // 8)
          (dtype('uint8'), True)
          >>> bool((codes[1] == model.encode_images(["cat.jpg"])).all())
          True
        """
        pictures, words = _images(images, missing=True), _texts(texts, missing=True)
        self.note.require(*OF_PAIRS)
        if len(pictures) != len(words):
            raise DataError(f"{len(pictures)} images and {len(words)} texts; expected as many of both")
        for row, halves in enumerate(zip(pictures, words, strict=True)):
            if all(half is None for half in halves):
                raise DataError(f"images[{row}] and texts[{row}] are None; expected one of them")
        return self._encode_halves(pictures, words)

    def encode_image_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of vectors of pictures, uint8 (N, K / 8), packed as by numpy.packbits.

        Args:
          vectors: numbers (N, F), or several a picture, (N, m, F), as the data set has them in place of
            pictures.

        Raises:
          DataError: they are of another width or not finite, or the model takes pictures.
        """
        return self._of_vectors("image", vectors)

    def encode_text_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of vectors of texts, uint8 (N, K / 8), packed as by numpy.packbits.

        Args:
          vectors: numbers (N, D), as the data set or its encoder of texts has them; for a model of words,
            bags of words. With several a text, (N, m, D), the mean of their directions, as in a data set.

        Raises:
          DataError: they are of another width or not finite.
        """
        return self._of_vectors("text", vectors)

    def _encode_halves(
        self, images: Sequence[str | Path | np.ndarray | None], texts: Sequence[Text | None]
    ) -> np.ndarray:
        with ThreadPoolExecutor(os.cpu_count(), "pictures") as pool:

            def encode(rows: Sequence[int]) -> np.ndarray:
                pictures = pool.map(self._squared, rows, (images[row] for row in rows))
                some = [texts[row] for row in rows]
                codes, coded = self.codes_of_halves(list(pictures), some)
                _require_known(some, coded)
                return codes

            return self._in_batches(encode, range(len(texts)), PICTURES_AT_ONCE)

    def _in_batches(
        self, encode: Callable[[Any], np.ndarray], items: Sequence | np.ndarray, most: int
    ) -> np.ndarray:
        size = self.note.batch_size(most)
        parts = [encode(items[start : start + size]) for start in range(0, len(items), size)]
        return np.concatenate([np.empty((0, self.bits // 8), np.uint8), *parts])

    def _of_vectors(self, modality: str, vectors: np.ndarray) -> np.ndarray:
        vectors, most = self._checked(modality, vectors), VECTORS_AT_ONCE
        return self._in_batches(lambda some: self.vector_outputs(modality, some).codes, vectors, most)

    def _squared(self, row: int, image: str | Path | np.ndarray | None) -> np.ndarray | None:
        if image is None:
            return None
        size, fit = self.note.image_size, self.note.fit
        if isinstance(image, (str, Path)):
            return read_picture(Path(image), size, fit)
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else f"{image!r:.40}"
        if not re.fullmatch(r"uint8 \([1-9]\d*, [1-9]\d*, 3\)", found):
            raise DataError(f"images[{row}] is {found}; expected a path or an array, uint8 (H, W, 3)")
        if image.shape[:2] == (size, size):
            return image
        file = io.BytesIO()  # the same pixels as a file, so that both have the same code
        Image.fromarray(image).save(file, "PPM")
        return decode_picture(file.getvalue(), f"images[{row}]", size, fit)


def _images(images: Iterable, missing: bool = False) -> list:
    if isinstance(images, (str, Path)):
        raise DataError(f"images is the path {images}; expected a list of paths")
    found = _listed(images, "images", "paths and arrays")
    for row, image in enumerate(() if missing else found):
        if image is None:
            raise DataError(f"images[{row}] is None; expected a path or an array, uint8 (H, W, 3)")
    return found


def _texts(texts: Iterable, missing: bool = False) -> list:
    if isinstance(texts, str):
        raise DataError(f"texts is the string {texts!r:.40}; expected a list of texts")
    found = _listed(texts, "texts", "texts")
    for row, text in enumerate(found):
        tags = [text] if isinstance(text, str) else () if missing and text is None else text
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            raise DataError(f"texts[{row}] is {text!r:.40}; expected a string or a list of strings")
    return found


def _listed(given: Iterable, name: str, expected: str) -> list:
    if not isinstance(given, Iterable):
        raise DataError(f"{name} is {given!r:.40}; expected a list of {expected}")
    return list(given)


def _require_known(texts: Sequence[Text | None], coded: np.ndarray) -> None:
    for text in itertools.compress(texts, ~coded):
        raise DataError(unknown_text(text or ""))
