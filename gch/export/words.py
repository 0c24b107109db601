"""From raw strings to bags of words in a TensorFlow graph, as `gch.data.vocabulary` does it with captions.

Free texts and tags are written in lower case and looked up in the vocabulary, which is in files of the saved
model. A free text is split at all but letters, marks and numbers, its stop words are passed over, and as many
words as the longest of the vocabulary has are tried together: 'a cat face' finds the tag 'cat face'.

The one step that a graph cannot do is NFKC: callers must normalise strings that are not composed.
"""

from pathlib import Path

import tensorflow as tf

from gch.data.vocabulary import Vocabulary, tokens

TAGS_FILE, WORDS_FILE = "tags.tsv", "words.tsv"


def tag_columns(vocabulary: Vocabulary) -> dict[str, int]:
    """The column of each tag, spelled as tags are compared; of equal spellings, the first."""
    found: dict[str, int] = {}
    for column, word in enumerate(vocabulary.words):
        for tag in tokens((word,), 1, frozenset()):
            found.setdefault(tag, column)
    return found


def word_columns(vocabulary: Vocabulary) -> dict[str, int]:
    """Which column a run of words of a free text is: `tag_columns`, and the tags as free texts spell them, so
    that 'ice-cream' is found in 'ice cream'. Of several words of one spelling, the one written so counts.
    """
    found = tag_columns(vocabulary)
    for column, word in enumerate(vocabulary.words):
        spelled = " ".join(tokens(word, 1, vocabulary.stop_words))
        if spelled:
            found.setdefault(spelled, column)
    return found


class Words(tf.Module):
    """Looks words up in tables, whose files in `folder` become assets of a saved model."""

    def __init__(self, vocabulary: Vocabulary, folder: Path):
        super().__init__(name="words")
        self._size = len(vocabulary.words)
        columns = word_columns(vocabulary)
        self._longest = max(spelling.count(" ") + 1 for spelling in columns)
        self._words = _table(folder / WORDS_FILE, columns)
        self._tags = _table(folder / TAGS_FILE, tag_columns(vocabulary))
        self._stop_words = None
        if vocabulary.stop_words:
            passed_over = tf.constant(sorted(vocabulary.stop_words))
            known = tf.lookup.KeyValueTensorInitializer(passed_over, tf.ones_like(passed_over, tf.int64))
            self._stop_words = tf.lookup.StaticHashTable(known, default_value=0)

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The `bags` of texts, and how many words each has, int32 (B,)."""
        bags = self.bags(texts)
        return bags, tf.cast(tf.reduce_sum(bags, axis=1), tf.int32)

    def bags(self, texts: tf.Tensor) -> tf.Tensor:
        """Which words texts hold, float32 (B, D) of 0 and 1: free texts, string (B,), or tags, string (B, T),
        '' where there are fewer.
        """
        rows, columns = tf.cond(
            tf.rank(texts) == 1, lambda: self._of_free_texts(texts), lambda: self._of_tags(texts)
        )
        cells = tf.boolean_mask(tf.stack([rows, columns], axis=1), columns >= 0)
        shape = tf.stack([tf.shape(texts, tf.int64)[0], self._size])
        counts = tf.scatter_nd(cells, tf.ones_like(cells[:, 0]), shape)
        return tf.cast(counts > 0, tf.float32)

    def _of_free_texts(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        texts = tf.strings.lower(tf.reshape(texts, [-1]), encoding="utf-8")
        words = tf.strings.split(tf.strings.regex_replace(texts, r"[^\pL\pM\pN]+", " "))
        if self._stop_words is not None:
            kept = words.with_values(self._stop_words.lookup(words.values) == 0)
            words = tf.ragged.boolean_mask(words, kept)
        runs = tf.strings.ngrams(words, list(range(1, self._longest + 1)))
        return runs.value_rowids(), self._words.lookup(runs.values)

    def _of_tags(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(texts, tf.int64)
        tags = tf.strings.lower(tf.reshape(texts, [-1]), encoding="utf-8")
        tags = tf.strings.strip(tf.strings.regex_replace(tags, r"[\s\pZ]+", " "))
        return tf.repeat(tf.range(shape[0]), shape[-1]), self._tags.lookup(tags)


def _table(path: Path, columns: dict[str, int]) -> tf.lookup.StaticHashTable:
    """Columns by spelling, -1 for others, from a file of lines: spelling, tabulator, column."""
    path.write_text("".join(f"{spelling}\t{column}\n" for spelling, column in columns.items()), "utf-8")
    columns_of_file = (tf.string, 0, tf.int64, 1)
    entries = tf.lookup.TextFileInitializer(str(path), *columns_of_file, delimiter="\t", name=path.stem)
    return tf.lookup.StaticHashTable(entries, default_value=-1)
