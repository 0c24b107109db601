"""Encoders of texts: the package of sentences, alone or with words, or a model of the user's that takes
strings.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs
from gch.data.sentences import SentenceEncoder, SentencesAndWords
from gch.data.text_parts import TextEncoder, encoded_texts, joined_strings, text_vectors, with_words
from gch.data.vocabulary import run_vocabulary
from gch.errors import SettingError, WeightsError
from gch.networks.of_user import in_words, load_model, model_digest, require_independent
from gch.run import RunFolder
from gch.settings import Settings
from gch.storage import digest
from gch.terminal import Progress


class ModelEncoder:
    """Implements `gch.data.text_parts.TextEncoder` with a Keras model or a SavedModel.

    It maps strings (B,), of a Keras model also (B, 1), to vectors (B, D); WeightsError says where it does
    not. With `directions`, a text has the mean of the directions of its strings' vectors, not of these. A
    SavedModel whose graphs call `vectors` must hold `model`.
    """

    def __init__(self, path: str, directions: bool = True):
        self.directions = directions
        self.name, expected = path, "expected a model of strings (B,) that gives vectors (B, D)"
        try:
            self.model = load_model(path)
            shape = self.vectors(tf.constant(["a", "b"])).shape
        except WeightsError:
            raise
        # Keras and TensorFlow raise nearly any exception on a broken or foreign file.
        except Exception as error:
            raise WeightsError(f"{path}: found {in_words(error)}; {expected}") from None
        if len(shape) != 2 or shape[0] != 2:
            raise WeightsError(f"{path}: output of two strings: found {shape}; {expected}")
        self.size = int(shape[1])
        self.digest = digest("text encoder", model_digest(path))

    def vectors(self, strings: tf.Tensor) -> tf.Tensor:
        """Vectors float32 (n, D) of strings (n,), in a graph or outside of one."""
        column = isinstance(self.model, keras.Model) and len(self.model.input_shape) == 2
        return tf.cast(self.model(strings[:, None] if column else strings), tf.float32)

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """Vectors float32 (n, D)."""
        return np.asarray(self.vectors(tf.constant(list(strings))))


def load_text_encoder(
    settings: Settings, pairs: Pairs, training: np.ndarray, run: RunFolder
) -> TextEncoder | None:
    """The encoder that `txtStr` names; None for words. The words of 'sentences+words' are those of the
    `training` items, rows int64 (n,); the run keeps them. Raises SettingError, DataError or WeightsError
    where it cannot be loaded, no word is left, or its vectors have another width than the data set's.
    """
    name = settings.txtStr
    if name == "words":
        return None
    if name == "sentences":
        return SentenceEncoder()
    if name != SentencesAndWords.name:
        encoder = ModelEncoder(name, directions=not pairs.single_vectors)
        if pairs.text_vectors and encoder.size != (width := pairs.texts.shape[1]):
            found = f"txtStr is {name!r}, of {encoder.size} dimensions"
            raise SettingError(f"{found}; {pairs.name} has text vectors of {width}")
        return encoder
    vocabulary = run_vocabulary(joined_strings(pairs), training, settings, run.vocabulary)
    if run.writes:
        vocabulary.save(run.vocabulary)
    return SentencesAndWords(SentenceEncoder(), vocabulary)


def with_encoded_texts(pairs: Pairs, encoder: TextEncoder | None, run: RunFolder, cache: Path) -> Pairs:
    """The data set with text vectors by an encoder; unchanged where it has vectors, or there is none. Raises
    as `encoded_texts` does, and WeightsError if a text's vector depends on the other texts of its batch.
    """
    if pairs.text_vectors or encoder is None:
        return pairs
    run.bind("text encoder", encoder.digest)
    alone = encoder.sentences if isinstance(encoder, SentencesAndWords) else encoder
    progress = Progress("words or captions", f"Vectors of texts by {alone.name}, computed once:")
    encoded = encoded_texts(pairs, alone, cache, progress)
    if isinstance(encoder, SentencesAndWords):
        encoded = with_words(encoded, encoder, cache)
    assert encoded.parts is not None
    if isinstance(encoder, ModelEncoder):
        some = encoded.parts.strings[:4]
        beside, _ = text_vectors([*some, " ".join(some)], encoder)
        for string, vector in zip(some, beside, strict=False):
            single, _ = text_vectors([string], encoder)
            cause = "the network must mask the padding of a batch"
            require_independent(single, vector[None], f"{encoder.name}: its vectors of {pairs.name}", cause)
    strings, blank = len(encoded.parts.strings), np.count_nonzero(np.diff(encoded.parts.starts) == 0)
    print(f"Texts: {encoded.texts_in_words} by {encoder.name}, of {strings} different words or captions")
    if blank:
        print(f"  {blank} of {len(encoded.texts)} items have no text, so a vector of zeros")
    return encoded
