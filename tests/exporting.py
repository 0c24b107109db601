"""Small models of random weights in the form that `export` writes, without a run."""

import atexit
import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

from gch.data.vocabulary import Vocabulary
from gch.search.model_note import ModelNote

SIZE, BITS, LABELS = 32, 16, 3
VOCABULARY = Vocabulary(("cat", "cat face", "ice-cream", "red", "sea"), 1, frozenset({"the"}))
NOTE = ModelNote(
    bits=BITS,
    image_size=SIZE,
    fit="crop",
    digest="1" * 64,
    dataset="small",
    method="gch",
    run="small_gch",
    label_names=("animal", "food", "place"),
    signatures=(),
    encoding_batch=None,
)


def small_networks(features: int = 0, vectors: int = len(VOCABULARY.words)) -> dict:
    """Encoders of pictures (of features where there are any), of texts, and of pairs."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers

    def encoder(name: str, *sizes: int) -> keras.Model:
        inputs = [keras.Input((size,)) for size in sizes]
        vector = layers.Concatenate()(inputs) if len(inputs) > 1 else inputs[0]
        code = layers.Dense(BITS, activation="tanh", kernel_initializer="he_normal", name="code")(vector)
        label = layers.Dense(LABELS, name="label")(vector)
        taken = inputs if len(inputs) > 1 else vector
        return keras.Model(taken, {"code": code, "label": label}, name=name)

    def encoders(image: int) -> dict:
        sizes = {"image": [image], "text": [vectors], "pair": [image, vectors]}
        return {name: encoder(name, *of) for name, of in sizes.items()}

    if features:
        return encoders(features)
    picture = keras.Input((SIZE, SIZE, 3))
    inner = layers.Rescaling(1 / 127.5, -1)(picture)
    inner = layers.Conv2D(8, 3, strides=2, activation="relu")(inner)
    inner = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(inner))
    backbone = keras.Model(picture, inner, name="eyes-1")
    return encoders(8) | {"backbone": backbone}


def save_small_model(
    folder: Path,
    vocabulary: Vocabulary | None = VOCABULARY,
    features: int = 0,
    pair: bool = True,
    **changes,
) -> dict:
    """Exports one, with or without unified codes; returns its networks. `changes` are those of the note."""
    if folder.exists():
        return _save(folder, vocabulary, features, pair, changes)
    shutil.copytree(_small_model(vocabulary, features, pair, tuple(sorted(changes.items()))), folder)
    return _networks(features, pair)


@functools.cache
def _small_model(vocabulary: Vocabulary | None, features: int, pair: bool, changes: tuple) -> Path:
    """The folder of a model that is exported once, since that takes seconds."""
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    _save(place / "model", vocabulary, features, pair, dict(changes))
    return place / "model"


def _save(folder: Path, vocabulary: Vocabulary | None, features: int, pair: bool, changes: dict) -> dict:
    from gch.export.save import save_model

    networks = _networks(features, pair)
    note = dataclasses.replace(NOTE, **{"image_size": 0} if features else {}, **changes)
    save_model(folder, networks, vocabulary, note, replace=False)
    return networks


def _networks(features: int, pair: bool) -> dict:
    networks = small_networks(features)
    return networks if pair else {name: one for name, one in networks.items() if name != "pair"}
