"""Looking up words in a graph, against the vocabulary that makes the training texts."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gch.data.vocabulary import Vocabulary
from gch.export.words import Words, tag_columns, word_columns

CAPTIONED = Vocabulary(("a cat", "cat", "dog", "é", "σας", "सेब", "猫", "7"), 2, frozenset({"the", "of"}))
TAGGED = Vocabulary(("Cat Face", "day of the dead", "ice-cream", "man's shoe", "no."), 1, frozenset())


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Bags by vocabulary, as a compiled function of tensors of any rank."""

    def of(vocabulary: Vocabulary):
        words = Words(vocabulary, tmp_path_factory.mktemp("words"))
        run = tf.function(words.bags, [tf.TensorSpec(None, tf.string)], autograph=False)
        return lambda texts: run(tf.constant(np.array(texts, object), tf.string)).numpy().astype(int).tolist()

    return {vocabulary: of(vocabulary) for vocabulary in (CAPTIONED, TAGGED)}


LETTERS = st.text("aé ctdog\u2019-,.7\u03a3\u03c3\u0391ς猫सेब İthefCAT\n", max_size=30)


@given(st.lists(LETTERS, min_size=1, max_size=5))
def test_free_texts_have_the_bags_of_the_vocabulary(bags, texts):
    texts = [unicodedata.normalize("NFKC", text) for text in texts]
    assert bags[CAPTIONED](texts) == CAPTIONED.bags(texts).tolist()


@given(st.lists(st.sampled_from(["cat face", "CAT  FACE", "Ice-Cream", "ice", "", "No.", "no"]), max_size=6))
def test_tags_have_the_bags_of_the_vocabulary(bags, tags):
    lowered = Vocabulary(tuple(word.lower() for word in TAGGED.words), 1, frozenset())
    assert bags[TAGGED]([[*tags, ""]]) == lowered.bags([tuple(tags)]).tolist()


def test_tags_are_found_in_free_texts_however_they_are_written(bags):
    texts = ["The day of the DEAD!", "ice cream; cat-face", "a man's shoe, man s shoe", "no", "face cat"]
    assert bags[TAGGED](texts) == [
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ]


def test_no_text_and_no_tags_are_an_empty_bag(bags):
    assert bags[CAPTIONED]([""]) == [[0] * 8]
    assert bags[CAPTIONED]([]) == []
    assert bags[CAPTIONED]([["", ""]]) == [[0] * 8]


def test_a_spelling_of_free_texts_leaves_out_stop_words_and_comes_after_the_words_themselves():
    # 'a b' is a tag of its own, so 'a-b' has to be written as it is.
    vocabulary = Vocabulary(("a-b", "a b", "c!"), 1, frozenset())
    assert tag_columns(vocabulary) == {"a-b": 0, "a b": 1, "c!": 2}
    assert word_columns(vocabulary) == {"a-b": 0, "a b": 1, "c!": 2, "c": 2}
    found = word_columns(Vocabulary(("day of the dead", "the"), 1, frozenset({"of", "the"})))
    assert found == {"day of the dead": 0, "the": 1, "day dead": 0}
