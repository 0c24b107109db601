"""Writing the folder of an exported model.

saved_model.pb, variables/   the SavedModel
assets/words.tsv, tags.tsv   what `encode_text_string` looks up in free texts and in tags
assets.extra/model.json      what the model is (`gch.search.exported.ModelNote`)
networks/*.keras             the Keras networks by themselves
lite/image.tflite, text...   the encoders for TensorFlow Lite, where they are asked for
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from gch.data.vocabulary import Vocabulary
from gch.errors import DataError, RunError
from gch.export.lite import lite_models
from gch.export.model import SearchModel
from gch.export.words import Words
from gch.search.exported import NOTE, ModelNote, read_model_note
from gch.search.note_file import write_note_file


def save_model(
    out: Path,
    networks: Mapping[str, keras.Model],
    vocabulary: Vocabulary | None,
    note: ModelNote,
    *,
    replace: bool,
    lite: bool = False,
) -> ModelNote:
    """Writes a model beside its final place, and moves it there when it is whole.

    Args:
      out: the folder; it is made, and what is in it makes way if that is an earlier model.
      networks: 'image' and 'text' encoders, and 'backbone' where the first takes its features.
      vocabulary: of the texts, or None where nothing tells their words.
      note: of the model; `signatures` is filled in.
      replace: whether a model of another digest makes way.
      lite: whether the encoders are also written for TensorFlow Lite.

    Returns:
      The note as it was written.

    Raises:
      RunError: the folder holds something else, or cannot be written; TensorFlow Lite cannot hold a network,
        or its codes depend on their batch.
    """
    require_free(out, note, replace=replace)
    if lite and note.encoding_batch is not None:
        raise RunError("lite: codes of this model depend on their batch; expected codes of single items")
    converted = lite_models(networks, note.image_size) if lite else {}
    unfinished = out.with_name(f".{out.name}-unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        note = _write(unfinished, networks, vocabulary, note)
        for name, content in converted.items():
            (unfinished / "lite").mkdir(exist_ok=True)
            (unfinished / "lite" / f"{name}.tflite").write_bytes(content)
        if out.exists():
            earlier = out.with_name(f".{out.name}-earlier")
            shutil.rmtree(earlier, ignore_errors=True)
            out.rename(earlier)
            unfinished.rename(out)
            shutil.rmtree(earlier)
        else:
            unfinished.rename(out)
    except OSError as error:
        raise RunError(f"{out}: cannot be written, {error.strerror or error}") from error
    return note


def require_free(out: Path, note: ModelNote, *, replace: bool) -> None:
    """Raises RunError where `save_model` would."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        found = read_model_note(out)
    except DataError as error:
        raise RunError(f"{out}: holds something else than a model; expected a new folder") from error
    if not replace and found.digest != note.digest:
        raise RunError(
            f"{out}: holds another model, {found.bits} bits of {found.dataset}; expected a new folder"
        )


def _write(
    folder: Path, networks: Mapping[str, keras.Model], vocabulary: Vocabulary | None, note: ModelNote
) -> ModelNote:
    tables = folder / "tables"  # copied to the assets
    tables.mkdir()
    words = Words(vocabulary, tables) if vocabulary is not None else None
    model = SearchModel(
        image=networks["image"],
        text=networks["text"],
        backbone=networks.get("backbone"),
        image_size=note.image_size,
        fit=note.fit,
        words=words,
        fill=note.encoding_batch is None,
    )
    signatures = model.signatures()
    tf.saved_model.save(model, str(folder), signatures)
    shutil.rmtree(tables)
    (folder / "networks").mkdir()
    for name, network in networks.items():
        network.save(folder / "networks" / f"{name}.keras")
    note = dataclasses.replace(note, signatures=tuple(signatures))
    (folder / NOTE).parent.mkdir(exist_ok=True)
    write_note_file(folder / NOTE, note)
    return note
