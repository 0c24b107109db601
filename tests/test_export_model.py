"""The model that `export` writes: what it takes, what it gives, and how it complains."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from exporting import BITS, LABELS, NOTE, SIZE, VOCABULARY, save_small_model, small_networks
from PIL import Image

from gch.data.pictures import decode_picture
from gch.errors import DataError, RunError
from gch.export import save
from gch.export.lite import lite_models
from gch.export.model import SearchModel
from gch.export.save import save_model
from gch.search.exported import ExportedModel, load
from gch.search.model_note import read_model_note

pytestmark = pytest.mark.usefixtures("load_once")

WRONG = tf.errors.InvalidArgumentError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a model, and the networks in it."""
    folder = tmp_path_factory.mktemp("models") / "small"
    return folder, save_small_model(folder)


@pytest.fixture(scope="module")
def loaded(saved):
    return tf.saved_model.load(str(saved[0]))


@pytest.fixture(scope="module")
def signatures(loaded):
    return dict(loaded.signatures)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def file_of(picture: np.ndarray, kind: str, **options) -> bytes:
    held = io.BytesIO()
    Image.fromarray(picture).save(held, kind, **options)
    return held.getvalue()


def relaxed(networks: dict, images: np.ndarray) -> np.ndarray:
    return np.asarray(networks["image"](networks["backbone"](images, training=False))["code"])


def test_every_signature_gives_codes_relaxed_codes_and_probabilities(saved, signatures):
    file = file_of(pictures(9, 7), "JPEG")
    asked = {
        "encode_image": {"images": pictures(2, SIZE, SIZE)},
        "encode_image_float": {"images": pictures(2, 9, 7).astype(np.float32)},
        "encode_image_bytes": {"contents": np.array([file] * 2, object)},
        "encode_text": {"texts": np.eye(2, 5, dtype=np.float32)},
        "encode_text_string": {"texts": np.array(["cat", "the sea"], object)},
        "encode_pair": {"images": pictures(2, 9, 7), "texts": np.array([["cat"], ["sea"]], object)},
    }
    assert asked.keys() == signatures.keys()
    for name, inputs in asked.items():
        result = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert result["codes"].shape == (2, BITS // 8)
        assert result["codes"].dtype == tf.uint8
        assert result["relaxed"].shape == (2, BITS)
        assert result["labels"].shape == (2, LABELS)
        assert 0 < np.min(result["labels"]) < np.max(result["labels"]) < 1
        np.testing.assert_array_equal(result["codes"], np.packbits(result["relaxed"].numpy() >= 0, axis=1))
    found = signatures["encode_image_bytes"](contents=tf.constant([file]))["relaxed"]
    expected = relaxed(saved[1], decode_picture(file, "", SIZE, "crop")[None])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def scaled(images: np.ndarray) -> np.ndarray:
    return np.stack([decode_picture(file_of(one, "PNG"), "", SIZE, "crop") for one in images])


@pytest.mark.parametrize("batch", [1, 5])
def test_a_pair_goes_to_its_encoder_with_both_halves_prepared(saved, signatures, batch):
    images, bag = pictures(batch, 20, 30), np.float32([[1, 1, 0, 0, 1]])  # cat, cat face, sea
    squares = scaled(images)
    features = saved[1]["backbone"](squares, training=False)
    expected = saved[1]["pair"]([features, tf.repeat(bag, batch, axis=0)])["code"]
    for text in ("The cat face, the sea", ["cat", "Cat face", "sea"]):
        texts = tf.constant(np.array([text] * batch, object))
        found = signatures["encode_pair"](images=tf.constant(images), texts=texts)
        np.testing.assert_allclose(found["relaxed"], expected, atol=1e-6)
        assert found["words"].numpy().tolist() == [3] * batch


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (33, 90), (7, 5), (300, 64)])
def test_pictures_of_any_size_are_scaled_as_files_are(saved, loaded, shape):
    images = pictures(2, *shape)
    squares = images if shape == (SIZE, SIZE) else scaled(images)
    result = loaded.signatures["encode_image"](images=tf.constant(images))
    np.testing.assert_allclose(result["relaxed"], relaxed(saved[1], squares), atol=1e-6)
    floats = tf.constant(np.minimum(images + np.float32(0.25), 255))
    for rounded in (loaded.signatures["encode_image_float"](images=floats), loaded.encode_image(floats)):
        np.testing.assert_array_equal(rounded["relaxed"], result["relaxed"])


FLOATS, BYTES, STRINGS = "encode_image_float", "encode_image_bytes", "encode_text_string"
PICTURES = "expected one or more pictures"


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("encode_image", np.zeros((8, 8, 3), np.uint8), rf"images: shape: found\] \[8 8 3\].*{PICTURES}"),
        ("encode_image", np.zeros((1, 8, 8, 1), np.uint8), rf"\[1 8 8 1\].*{PICTURES}"),
        ("encode_image", np.zeros((0, 8, 8, 3), np.uint8), rf"\[0 8 8 3\].*{PICTURES}"),
        ("encode_image", np.uint8(1), rf"images: shape.*{PICTURES}"),
        (FLOATS, np.full((1, 8, 8, 3), 300, np.float32), r"\[300 300\].*expected 0..255"),
        (FLOATS, np.full((1, 8, 8, 3), -1, np.float32), r"\[-1 -1\].*expected 0..255"),
        (FLOATS, np.full((1, 8, 8, 3), np.nan, np.float32), "expected 0..255"),
        (FLOATS, np.full((1, 8, 8, 3), 0.5, np.float32), "not pictures scaled to 0..1"),
        (BYTES, np.array([b"no"]), r"picture\] \[0\] \[is not of a known.*JPEG, PNG, GIF or BMP"),
        (BYTES, np.array([[b"no"]]), r"contents: shape.*\[1 1\].*picture files \(B,\)"),
        (BYTES, np.array([], "S1"), r"contents: shape.*\[0\].*one or more picture files"),
        ("encode_text", np.zeros((2, 4), np.float32), r"texts: shape.*\[2 4\].*expected texts \(B, 5\)"),
        ("encode_text", np.zeros(5, np.float32), r"texts: shape.*\[5\].*expected texts \(B, 5\)"),
        ("encode_text", np.full((1, 5), np.inf, np.float32), "expected finite numbers"),
        (STRINGS, np.array([[["a"]]], object), r"\[1 1 1\].*expected free texts \(B,\), or tags"),
        ("encode_pair", np.array(["a"] * 3), r"texts: found\] \[3\] .*expected a text for each picture"),
        ("encode_pair", np.array("a"), r"texts: shape.*expected free texts"),
    ],
)
def test_the_graph_itself_says_what_is_wrong(signatures, name, inputs, message):
    *argument, last = sorted(signatures[name].structured_input_signature[1])
    others = {one: tf.constant(pictures(2, 8, 8)) for one in argument}
    with pytest.raises(WRONG, match=message):
        signatures[name](**{last: tf.constant(inputs)}, **others)


def test_data_without_words_and_with_features_have_other_signatures(tmp_path):
    networks = save_small_model(tmp_path / "model", vocabulary=None, features=6)
    model = ExportedModel(tmp_path / "model")
    assert model.note.signatures == ("encode_image_features", "encode_text", "encode_pair")
    features, texts = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32), np.eye(3, 5)
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    given = tf.constant(features), tf.constant(texts, tf.float32)
    pairs = signatures["encode_pair"](features=given[0], texts=given[1])
    assert pairs.keys() == {"codes", "relaxed", "labels"}
    np.testing.assert_allclose(pairs["relaxed"], networks["pair"](list(given))["code"], atol=1e-6)
    served = signatures["encode_image_features"]
    expected = networks["image"](features)["code"]
    np.testing.assert_allclose(served(features=given[0])["relaxed"], expected, atol=1e-6)
    with pytest.raises(WRONG, match=r"features: shape.*\[3 5\].*\(B, 6\)"):
        served(features=tf.zeros((3, 5)))
    with pytest.raises(DataError, match="no encode_text_string, because small has no words"):
        model.encode_texts(["cat"])
    for encode, *taken in ((model.encode_images,), (model.encode_pairs, ["cat"])):
        with pytest.raises(DataError, match="no encode_image,"):
            encode(pictures(1, SIZE, SIZE), *taken)


def test_a_model_without_unified_codes_has_no_pairs(tmp_path):
    networks = save_small_model(tmp_path / "model", vocabulary=None, features=6, pair=False)
    note = read_model_note(tmp_path / "model")
    assert note.signatures == ("encode_image_features", "encode_text")
    assert {path.stem for path in (tmp_path / "model" / "networks").iterdir()} == networks.keys()


def test_a_pair_without_one_half_has_the_code_of_the_other(saved):
    model, images = ExportedModel(saved[0]), list(pictures(4, 20, 30))
    texts = ["cat", None, ["unknown"], "", ["Cat Face", "red"], "sea"]
    found = model.encode_pairs([*images, None, images[0]], texts)
    np.testing.assert_array_equal(found[[1, 2, 3]], model.encode_images(images[1:]))
    np.testing.assert_array_equal(found[4:5], model.encode_texts([texts[4]]))
    mixed = model.pair_outputs(scaled(images[:1] * 3), ["cat", ("Red", "sea"), "sea"])
    assert mixed.words.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(found[[0, 5]], mixed.codes[[0, 2]])
    assert model.encode_pairs([], []).shape == (0, BITS // 8)


def test_a_model_in_a_folder_whose_name_is_a_pattern_is_loaded(saved, tmp_path):
    moved = tmp_path / "exp[1]"
    shutil.copytree(saved[0], moved)
    assert load(moved).encode_texts(["cat"]).tolist() == load(saved[0]).encode_texts(["cat"]).tolist()


def test_free_texts_and_tags_may_be_mixed(saved):
    model = ExportedModel(saved[0])
    assert (model.bits, model.words) == (BITS, VOCABULARY.words)
    mixed = model.text_outputs([("Cat Face", "red"), "the red cat face", ("unknown",), "RED"])
    # A free text that holds 'cat face' holds 'cat' too; a tag is what it is.
    assert mixed.words.tolist() == [2, 3, 0, 1]
    for row, text in enumerate([("cat face", "red"), "the red cat face", ("unknown",), "red"]):
        np.testing.assert_allclose(mixed.relaxed[row], model.text_outputs([text]).relaxed[0], atol=1e-6)
    codes = model.encode_texts([["Cat Face", "red"], "the red cat face", "RED"])
    np.testing.assert_array_equal(codes, mixed.codes[[0, 1, 3]])
    assert model.encode_texts([]).shape == (0, BITS // 8)


def test_the_note_says_what_the_model_is_and_the_networks_lie_beside(saved):
    note = read_model_note(saved[0])
    found = dataclasses.replace(note, signatures=(), files={})
    assert found == dataclasses.replace(NOTE, image_width=8, text_width=5)
    assert {"saved_model.pb", "variables/variables.index", "assets/tags.tsv"} < note.files.keys()
    assert note.signatures[0] == "encode_image"
    images = pictures(2, SIZE, SIZE)
    loaded = {path.stem: tf.keras.models.load_model(path) for path in (saved[0] / "networks").iterdir()}
    assert loaded.keys() == saved[1].keys()
    np.testing.assert_allclose(relaxed(loaded, images), relaxed(saved[1], images), atol=1e-6)


def test_only_a_model_of_this_digest_makes_way_and_not_before_the_new_one_is_whole(tmp_path, monkeypatch):
    place, of_vectors = tmp_path / "model", {"vocabulary": None, "features": 6}
    save_small_model(place, **of_vectors)
    with pytest.raises(RunError, match="holds another model, 16 bits of small; expected a new folder"):
        save_small_model(place, digest="2" * 64)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="holds something other than a model"):
        save_small_model(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"

    def stopped(*arguments):
        raise KeyboardInterrupt

    before = (place / "saved_model.pb").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(save, "write_note_file", stopped)
        save_small_model(place, **of_vectors)
    assert (place / "saved_model.pb").read_bytes() == before
    networks = small_networks(features=6)
    for weight in networks["text"].weights:
        weight.assign(np.zeros(weight.shape))
    save_model(place, networks, None, dataclasses.replace(NOTE, image_size=0), replace=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "model"]
    outputs = ExportedModel(place).vector_outputs("text", np.eye(1, 5))
    assert outputs.codes.tolist() == [[255, 255]]  # a relaxed code of nought is a one
    assert outputs.labels.tolist() == [[0.5] * LABELS]


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_encoders_for_tensorflow_lite_agree_with_the_model(saved, signatures):
    contents = lite_models(saved[1], SIZE)
    assert contents.keys() == {"image", "text"}
    for name, given, items in (
        ("image", "images", pictures(5, SIZE, SIZE)),
        ("text", "texts", np.eye(5, dtype=np.float32)),
    ):
        expected = signatures[f"encode_{name}"](**{given: tf.constant(items)})
        lite = tf.lite.Interpreter(model_content=contents[name]).get_signature_runner()
        for row, item in enumerate(items):
            found = lite(**{given: item[None]})
            np.testing.assert_allclose(found["relaxed"][0], expected["relaxed"][row], atol=0.02)
            np.testing.assert_allclose(found["labels"][0], expected["labels"][row], atol=0.02)
            np.testing.assert_array_equal(found["codes"], np.packbits(found["relaxed"] >= 0, axis=1))
            assert found["codes"].dtype == np.uint8


def test_what_tensorflow_lite_cannot_do_is_told_and_nothing_is_written(tmp_path):
    networks, place = small_networks(), tmp_path / "model"
    by_batch = dataclasses.replace(NOTE, encoding_batch=8)
    with pytest.raises(RunError, match="lite: codes of this model depend on their batch"):
        save_model(place, networks, VOCABULARY, by_batch, replace=False, lite=True)
    encoder = networks["text"]
    strange = tf.keras.layers.Lambda(tf.math.digamma)
    outputs = {name: strange(output) for name, output in encoder.output.items()}
    networks["text"] = tf.keras.Model(encoder.input, outputs)
    with pytest.raises(RunError, match=r"cannot hold the encoder of texts, 'tf.Digamma' op is neither"):
        save_model(place, networks, VOCABULARY, NOTE, replace=False, lite=True)
    assert not place.exists()


@pytest.mark.parametrize("fill", [True, False])
def test_batches_are_filled_up_so_that_an_item_has_one_code(fill):
    """Networks whose codes tell how many rows they were given."""
    layers = tf.keras.layers
    rows = layers.Lambda(lambda inputs: tf.zeros_like(inputs) + tf.cast(tf.shape(inputs)[0], tf.float32))
    vector, picture = tf.keras.Input((BITS,)), tf.keras.Input((SIZE, SIZE, 3))
    counted = tf.keras.Model(vector, {"code": rows(vector), "label": rows(vector)})
    same = tf.keras.Model(vector, {"code": layers.Identity()(vector), "label": layers.Identity()(vector)})
    of_pictures = layers.Dense(BITS)(layers.GlobalAveragePooling2D()(picture))
    backbone = tf.keras.Model(picture, rows(of_pictures))
    both = [tf.keras.Input((BITS,)), vector]
    # Of a pair both: its features have the backbone's rows, and its own are counted beside.
    pair = tf.keras.Model(both, {"code": both[0] + 100 * rows(both[1]), "label": rows(both[1])})
    networks = {"image": same, "text": counted, "pair": pair, "backbone": backbone}
    model = SearchModel(**networks, image_size=SIZE, fit="crop", words=None, fill=fill)
    for count, of_text, of_picture in ((1, 16, 2), (3, 16, 4), (4, 16, 4), (20, 32, 20)):
        for found, filled in (
            (model.encode_text(tf.zeros((count, BITS))), of_text),
            (model.encode_image(images := tf.zeros((count, SIZE, SIZE, 3), tf.uint8)), of_picture),
            (model.encode_pair(images, tf.zeros((count, BITS))), of_picture + 100 * of_text),
        ):
            unfilled = 101 * count if filled > 100 else count
            expected = np.full((count, BITS), filled if fill else unfilled)
            np.testing.assert_array_equal(found["relaxed"], expected)
            assert found["codes"].shape == (count, BITS // 8)
            assert found["labels"].shape == (count, BITS)
