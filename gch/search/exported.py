"""A model that `export` wrote, as searching uses it: nothing of the networks' code is needed."""

import dataclasses
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gch.errors import DataError
from gch.search.note_file import read_note_file

NOTE = Path("assets.extra") / "model.json"
EXPECTED = "expected a folder that `export` wrote"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelNote:
    """What is known of an exported model without loading it.

    Attributes:
      bits: length of a code K, a multiple of 8.
      image_size: side that pictures are brought to before `encode_image`; 0 where the model takes features.
      fit: how, 'crop' or 'letterbox'.
      digest: names the networks' weights; codes of models of different digests do not compare.
      dataset: what it was trained on.
      method: 'gch' or 'agah'.
      run: name of the run that it was exported from.
      label_names: C names, or none where the data set does not tell them.
      signatures: names of what it can do.
      encoding_batch: number of items that are encoded together where a code depends on its batch, else None.
    """

    bits: int
    image_size: int
    fit: str
    digest: str
    dataset: str
    method: str
    run: str
    label_names: tuple[str, ...]
    signatures: tuple[str, ...]
    encoding_batch: int | None


class Encoded(NamedTuple):
    """Attributes:
    codes: uint8 (B, K / 8), packed as by numpy.packbits.
    relaxed: float32 (B, K), in (-1, 1).
    labels: float32 (B, C), probabilities.
    words: int32 (B,), how many of its words the model knows; None for pictures.
    """

    codes: np.ndarray
    relaxed: np.ndarray
    labels: np.ndarray
    words: np.ndarray | None = None


def read_model_note(path: Path) -> ModelNote:
    """What is known of the model in a folder.

    Raises:
      DataError: it is no exported model of this project.
    """
    path = Path(path)
    if not (path / "saved_model.pb").is_file() or not (path / NOTE).is_file():
        raise DataError(f"{path}: no saved_model.pb with {NOTE} in it; {EXPECTED}")

    def made(value: dict) -> ModelNote:
        return ModelNote(**value | {name: tuple(value[name]) for name in ("label_names", "signatures")})

    return read_note_file(path / NOTE, "a model", made, EXPECTED)


class ExportedModel:
    """Encodes pictures and texts by an exported model; several threads may call it.

    Args:
      path: the folder that `export` wrote; loading takes some seconds, as TensorFlow is loaded.

    Attributes:
      note: what it is.

    Raises:
      DataError: it is no exported model of this project, or damaged.
    """

    def __init__(self, path: Path):
        from gch.quiet import native_stderr_held

        self.note = read_model_note(path)
        self._path = Path(path)
        with native_stderr_held():
            import tensorflow as tf

            try:
                self._model = tf.saved_model.load(str(path))
            except (OSError, ValueError, tf.errors.OpError) as error:
                raise DataError(f"{path}: cannot be loaded, {' '.join(str(error).split())}") from error

    def encode_pictures(self, pictures: np.ndarray) -> Encoded:
        """Codes of pictures, uint8 (B, S, S, 3), as `gch.data.pictures.decode_picture` makes them with the
        note's `image_size` and `fit`.

        Raises:
          DataError: the model takes features of pictures only.
        """
        return self._run("encode_image", np.asarray(pictures))

    def encode_texts(self, texts: Sequence[str | tuple[str, ...]]) -> Encoded:
        """Codes of free texts (str) and of sets of tags (tuples of str); unknown words are dropped.

        Raises:
          DataError: the model knows no words, only vectors.
        """
        free = [row for row, text in enumerate(texts) if isinstance(text, str)]
        tagged = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        parts = []
        if free or not tagged:
            parts.append(self._run("encode_text_string", np.array([_normal(texts[i]) for i in free], object)))
        if tagged:
            width = max(1, *(len(texts[row]) for row in tagged))
            tags = [[*map(_normal, texts[row]), *[""] * (width - len(texts[row]))] for row in tagged]
            parts.append(self._run("encode_text_string", np.array(tags, object)))
        order = np.argsort([*free, *tagged], kind="stable")
        return Encoded(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))

    def function(self, name: str) -> Callable:
        """What the model does with a batch: one signature as a function of a tensor.

        Raises:
          DataError: it has none of that name.
        """
        if name not in self.note.signatures:
            raise DataError(
                f"{self._path}: the model has no {name}, only {', '.join(self.note.signatures)}; "
                f"{self.note.dataset} does not tell what it needs"
            )
        signature = self._model.signatures[name]
        (argument,) = signature.structured_input_signature[1]
        return lambda batch: signature(**{argument: batch})

    def _run(self, name: str, batch: np.ndarray) -> Encoded:
        import tensorflow as tf

        result = self.function(name)(tf.constant(batch))
        return Encoded(**{field: value.numpy() for field, value in result.items()})


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
