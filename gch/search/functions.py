"""The functions of an exported model: a batch of pictures, texts, pairs or vectors in, all outputs out."""

import contextlib
import functools
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gch.data.sentences import INSTALL, SentenceEncoder, SentencesAndWords, require_encoder, sentences_version
from gch.data.text_files import file_bytes, opened, whole
from gch.data.text_parts import Text, text_vectors
from gch.data.vector_files import mean_of_units, require_finite
from gch.data.vocabulary import Vocabulary, load_vocabulary, read_stop_words, tokens
from gch.errors import DataError, damage
from gch.evaluation.codes import pack
from gch.search.model_note import EXPECTED, STAND_INS, VOCABULARY, read_model_note
from gch.search.stand_ins import StandIns
from gch.storage import file_digest, literal_path
from gch.terminal import quiet_stderr

Tell = Callable[[Text, str], object]  # takes a text and a line about it
_TAKES = {"encode_image_features": "features", "encode_text": "texts"}
_TAGS = Path("assets") / "tags.tsv"
_STOP_WORDS = read_stop_words("english")
_SHARPNESS = 10.0  # of the weights of words that stand in for others


def _raised(text: Text, line: str) -> None:
    raise DataError(line)


class ModelOutputs(NamedTuple):
    """A model's outputs for B items."""

    codes: np.ndarray  # uint8 (B, K / 8), packed as by numpy.packbits
    relaxed: np.ndarray  # float32 (B, K), in (-1, 1)
    labels: np.ndarray  # float32 (B, C), probabilities
    words: np.ndarray | None = None  # int32 (B,), how many words of each text the model knows


class ModelFunctions:
    """Runs an exported model on batches, which are small enough to be in memory at once.

    Several threads may call it. Methods raise DataError where the model lacks the function, and SettingError
    where its encoder of texts is not installed, or is of another version.
    """

    def __init__(self, path: str | Path, device: str | None = None):
        self.note = read_model_note(Path(path))
        self._path = Path(path)
        with quiet_stderr():
            import tensorflow as tf

            self._on_device = functools.partial(tf.device, device) if device else contextlib.nullcontext
            self._require_files()
            failure = damage(f"{path}: cannot be loaded")
            with failure, self._on_device(), literal_path(self._path) as place:
                self._model = tf.saved_model.load(str(place))
                self._signatures = {name: self._model.signatures[name] for name in self.note.signatures}

    def _require_files(self) -> None:
        """Checks all files: TensorFlow would wait for a pipe, and of a damaged graph it runs what is left."""
        expected = {self._path / name: digest for name, digest in self.note.files.items()}
        for file in sorted({*(file for file in self._path.rglob("*") if not file.is_dir()), *expected}):
            with opened(file, EXPECTED):
                damaged = file in expected and file_digest(file) != expected[file]
            if damaged:
                raise DataError(f"{file}: damaged, differs from what `export` wrote; export the run again")

    @property
    def bits(self) -> int:
        """Length of a code K."""
        return self.note.bits

    @functools.cached_property
    def words(self) -> tuple[str, ...] | None:
        """The vocabulary, in lower case and the order of columns; None where the model has none."""
        if not (self._path / _TAGS).exists():
            return None
        with damage(f"{self._path / _TAGS}: damaged"):
            lines = file_bytes(self._path / _TAGS, EXPECTED).decode("utf-8").rstrip("\n").split("\n")
            columns = [line.rpartition("\t") for line in lines]
            return tuple(word for word, _, column in sorted(columns, key=lambda one: int(one[2])))

    def picture_outputs(self, pictures: np.ndarray) -> ModelOutputs:
        """All outputs for a batch of pictures, uint8 (B, S, S, 3), S = `note.image_size`."""
        return self._run("encode_image", images=np.asarray(pictures))

    def text_outputs(self, texts: Sequence[Text]) -> ModelOutputs:
        """All outputs for a batch of free texts and sets of tags; unknown words count as absent."""
        return self._of_strings("encode_text_string", texts)

    def pair_outputs(self, pictures: np.ndarray, texts: Sequence[Text]) -> ModelOutputs:
        """All outputs for a batch of pairs, of B pictures and B texts as of the functions of either."""
        return self._of_strings("encode_pair", texts, images=np.asarray(pictures))

    def vector_outputs(self, modality: str, vectors: np.ndarray) -> ModelOutputs:
        """All outputs for a batch of vectors of an 'image' or 'text', (B, F) as of `encode_image_vectors`."""
        signature = self.note.vector_signature(modality)
        return self._run(signature, **{_TAKES.get(signature, "vectors"): self._checked(modality, vectors)})

    def nearest_words(self, text: Text) -> dict[str, float]:
        """Known words that are near in meaning to a text, and their cosines: up to three for each word of the
        text that is no stop word. Empty where none is near, the model knows no words, or the extra
        `sentences` is not installed.
        """
        given = list(dict.fromkeys(_words(text)))
        if not given or sentences_version() is None or self._stand_ins is None:
            return {}
        return self._stand_ins.near(self._sentences.encode(given))

    def query_outputs(
        self,
        texts: Sequence[Text],
        pictures: np.ndarray | None = None,
        tell: Tell = lambda text, line: None,
        refuse: Tell = _raised,
    ) -> ModelOutputs:
        """All outputs for a batch of queries: as of `text_outputs`, or of `pair_outputs` with `pictures`, but
        known words stand in for unknown ones.

        If a text has no known word, its relaxed code is the mean of those of `nearest_words`, weighted by
        exp(10 cosine). A model that encodes sentences understands any word; there its own code counts as much
        as that mean, and only single words have one. `tell` is called with the text and a line that names
        the words, and `refuse` with the text and the reason where it has no known word and none is near, or
        the extra `sentences` is not installed. Outputs for such a text mean nothing.

        Raises:
          DataError: a text is refused, unless `refuse` returns.
        """

        def encode(rows: Any, some: Sequence[Text]) -> ModelOutputs:
            return self.text_outputs(some) if pictures is None else self.pair_outputs(pictures[rows], some)

        outputs = encode(slice(None), texts)
        relaxed, known = outputs.relaxed.copy(), np.asarray(outputs.words)
        for row in self._unknown(texts, known):
            text, near = texts[row], self.nearest_words(texts[row])
            if near:
                weights = np.exp(_SHARPNESS * np.array(list(near.values())))
                codes = [
                    encode([row], [(word,)]).relaxed[0] for word in near
                ]  # a code may depend on its batch
                mean = (weights / weights.sum()).astype(np.float32) @ np.stack(codes)
                relaxed[row] = mean if self._vocabulary is None else (relaxed[row] + mean) / 2
                named = ", ".join(near) + (" too" if self._vocabulary else "")
                tell(text, f"{joined(text):.100} is not in the vocabulary; searching for {named}")
            elif not known[row]:
                advice = "" if sentences_version() else f"; {INSTALL} finds the nearest ones"
                refuse(text, f"{unknown_text(text)}{advice}")
        return outputs._replace(codes=pack(relaxed), relaxed=relaxed)

    def codes_of_halves(
        self, pictures: Sequence[np.ndarray | None], texts: Sequence[Text | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes of a batch by what there is of each pair.

        Args:
          pictures: B arrays, uint8 (S, S, 3), or None.
          texts: B texts, or None. One without a known word counts as missing.

        Where a code depends on its batch, pictures are repeated up to B.

        Returns:
          uint8 (B, K / 8), zeros where both halves are missing; bool (B,), False there.
        """
        codes = np.zeros((len(texts), self.bits // 8), np.uint8)
        seen, worded = (np.array([half is not None for half in halves], bool) for halves in (pictures, texts))
        if rows := np.flatnonzero(seen & worded).tolist():
            outputs = self.pair_outputs(np.stack(_at(pictures, rows)), _at(texts, rows))
            codes[rows], worded[rows] = outputs.codes, np.asarray(outputs.words) > 0
        if rows := np.flatnonzero(~seen & worded).tolist():
            outputs = self.text_outputs(_at(texts, rows))
            codes[rows], worded[rows] = outputs.codes, np.asarray(outputs.words) > 0
        if rows := np.flatnonzero(seen & ~worded).tolist():
            whole = rows if self.note.encoding_batch is None else np.resize(rows, len(texts)).tolist()
            codes[rows] = self.picture_outputs(np.stack(_at(pictures, whole))).codes[: len(rows)]
        return codes, seen | worded

    @functools.cached_property
    def _sentences(self) -> SentenceEncoder:
        return SentenceEncoder()

    @functools.cached_property
    def _vocabulary(self) -> Vocabulary | None:  # the words that stand beside sentences
        return load_vocabulary(self._path / VOCABULARY) if (self._path / VOCABULARY).exists() else None

    @functools.cached_property
    def _text_encoder(self) -> SentenceEncoder | SentencesAndWords:
        return SentencesAndWords(self._sentences, self._vocabulary) if self._vocabulary else self._sentences

    @functools.cached_property
    def _stand_ins(self) -> StandIns | None:
        if (self._path / STAND_INS).exists():
            return StandIns.load(self._path / STAND_INS)
        words = self._vocabulary.words if self._vocabulary else self.words
        return StandIns.of(words, self._sentences) if words else None

    def _unknown(self, texts: Sequence[Text], known: np.ndarray) -> list[int]:
        """Rows of texts without a known word. Where sentences are understood too, these are blank texts, and
        single words that cannot stand in for others.
        """
        rows = np.flatnonzero(known == 0).tolist()
        if self._vocabulary and self._stand_ins:
            single = {row: one[0] for row, one in enumerate(map(_words, texts)) if len(one) == 1}
            rows += [row for row, word in single.items() if word not in self._stand_ins.words]
        return rows

    def _of_strings(self, signature: str, texts: Sequence[Text], **others: np.ndarray) -> ModelOutputs:
        if self.note.text_encoder:
            require_encoder(self.note.text_encoder)
            vectors, counts = text_vectors(texts, self._text_encoder)
            if signature == "encode_text_string":
                return self.vector_outputs("text", vectors)._replace(words=counts)
            return self._run(signature, texts=vectors, **others)._replace(words=counts)
        free = [row for row, text in enumerate(texts) if isinstance(text, str)]
        tagged = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        width = max([1, *(len(texts[row]) for row in tagged)])
        tags = [[*map(_nfkc, texts[row]), *[""] * (width - len(texts[row]))] for row in tagged]
        parts: list[ModelOutputs] = []
        for rows, strings in ((free, [_nfkc(str(texts[row])) for row in free]), (tagged, tags)):
            if rows or not (len(texts) or parts):  # of no texts, one run gives the shapes
                given = {name: array[rows] for name, array in others.items()}
                parts.append(self._run(signature, texts=np.array(strings, object), **given))
        order = np.argsort([*free, *tagged], kind="stable")
        return ModelOutputs(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))

    def _checked(self, modality: str, vectors: np.ndarray) -> np.ndarray:
        """Vectors of the model's width as float32; raises DataError where they are not."""
        width, array = self.note.vector_width(modality), np.asarray(vectors)
        if array.ndim == 3 and array.dtype.kind in "buif":
            array = mean_of_units(array)
        if array.ndim != 2 or array.dtype.kind not in "buif" or width not in (0, array.shape[1]):
            expected = f"numbers (N, {width or 'F'})"
            raise DataError(f"vectors are {array.dtype} {array.shape}; the model expects {expected}")
        with np.errstate(over="ignore"):  # too large for float32: refused
            array = array.astype(np.float32, copy=False)
        require_finite(array, "vectors: the array")
        return array

    def _run(self, name: str, **batch: np.ndarray) -> ModelOutputs:
        import tensorflow as tf

        self.note.require(name)
        with self._on_device():
            outputs = self._signatures[name](**{key: tf.constant(value) for key, value in batch.items()})
        return ModelOutputs(**{field: value.numpy() for field, value in outputs.items()})


def _at(items: Sequence | np.ndarray, rows: Sequence[int]) -> list:
    return [items[row] for row in rows]


def joined(text: Text) -> str:
    """A text as results and messages show it."""
    return text if isinstance(text, str) else ", ".join(text)


def unknown_text(text: Text) -> str:
    """The message of a text without a known word."""
    return f"text {joined(text)!r:.100}: none of its words is known to the model"


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", whole(text))


def _words(text: Text) -> list[str]:
    return tokens(text if isinstance(text, str) else tuple(text), 1, _STOP_WORDS)
