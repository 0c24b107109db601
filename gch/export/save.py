"""Writes the folder of an exported model, with its description.

saved_model.pb, variables/   the SavedModel
assets/words.tsv, tags.tsv   what `encode_text_string` looks up in free texts and in tags
assets.extra/model.json      what the model is (`gch.search.model_note.ModelNote`)
assets.extra/vocabulary.json the words that stand beside sentences, of txtStr 'sentences+words'
assets.extra/words.npz       words of the training texts that stand in for unknown ones, likewise
networks/*.keras             the Keras networks by themselves
lite/image.tflite, text...   the encoders for TensorFlow Lite, where they are asked for
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.data.pairs import Pairs
from gch.data.sentences import PACKAGE, SentenceEncoder, SentencesAndWords, sentences_version
from gch.data.text_parts import TextEncoder, joined_strings
from gch.data.vocabulary import Vocabulary, build_vocabulary, load_vocabulary
from gch.errors import RunError, SettingError, disk_errors, writing
from gch.evaluation.results import weights_digest_parts
from gch.export.lite import lite_models
from gch.export.model import SearchModel
from gch.export.text_model import TextModel
from gch.export.words import Words
from gch.methods.method import Method
from gch.networks.backbone import Backbone, load_backbone
from gch.networks.of_user import SavedModel
from gch.networks.settings import is_model
from gch.networks.text_encoder import ModelEncoder
from gch.search.model_note import NOTE, STAND_INS, VOCABULARY, ModelNote, require_replaceable
from gch.search.note_file import write_note_file
from gch.search.stand_ins import StandIns
from gch.settings import Settings
from gch.storage import digest, file_digest, literal_path, unfinished_folder

MOST_WORDS = 2**14  # that stand in for others; each costs some milliseconds


def save_model(
    out: Path,
    networks: Mapping[str, keras.Model],
    words: Vocabulary | ModelEncoder | SentencesAndWords | None,
    note: ModelNote,
    *,
    replace: bool,
    lite: bool = False,
    stand_ins: StandIns | None = None,
) -> ModelNote:
    """Writes a model beside its final place, and moves it there when it is whole.

    Args:
      out: the folder; replaces an earlier model in it, one of another digest only if `replace` is true.
      networks: 'image' and 'text' encoders, 'pair' where there are unified codes, and 'backbone' where images
        are its features.
      words: vocabulary of the texts or their encoder, or None where neither can be in the model.
      note: of the model; returned with its `signatures`.
      replace: see `out`.
      lite: whether to write the encoders for TensorFlow Lite too.
      stand_ins: words for queries of unknown ones, where their vectors belong to the model.

    Raises:
      RunError: the folder holds something else, or cannot be written; TensorFlow Lite cannot hold a network,
        or its codes depend on their batch.
    """
    found = require_replaceable(out)
    if found and not replace and found.digest != note.digest:
        raise RunError(
            f"{out}: holds another model, {found.bits} bits of {found.dataset}; expected a new folder"
        )
    if lite and note.encoding_batch is not None:
        raise RunError("lite: codes of this model depend on their batch; expected codes of single items")
    converted = lite_models(networks, note.image_size) if lite else {}
    with (
        writing(out),
        disk_errors(out),
        unfinished_folder(out.parent) as hidden,
        literal_path(hidden) as place,
    ):
        unfinished, tables = place / "model", place / "tables"  # of which the SavedModel copies the files
        tables.mkdir()
        strings: Words | TextModel | None = None
        if isinstance(words, ModelEncoder):
            strings = TextModel(words)
        elif isinstance(words, Vocabulary):
            strings = Words(words, tables)
        model = SearchModel(
            image=networks["image"],
            text=networks["text"],
            pair=networks.get("pair"),
            backbone=networks.get("backbone"),
            image_size=note.image_size,
            fit=note.fit,
            words=strings,
            vectors=note.vectors,
            fill=note.encoding_batch is None,
        )
        signatures = model.signatures()
        widths = {f"{name}_width": networks[name].input_shape[-1] for name in ("image", "text")}
        tf.saved_model.save(model, str(unfinished), signatures)
        (unfinished / NOTE).parent.mkdir(exist_ok=True)
        if isinstance(words, SentencesAndWords):
            words.vocabulary.save(unfinished / VOCABULARY)
        if stand_ins is not None:
            stand_ins.save(unfinished / STAND_INS)
        files = sorted(file for file in unfinished.rglob("*") if file.is_file())
        digests = {file.relative_to(unfinished).as_posix(): file_digest(file) for file in files}
        (unfinished / "networks").mkdir()
        for name, network in networks.items():
            # No .keras file can hold a SavedModel.
            if not any(isinstance(layer, SavedModel) for layer in network.layers):
                network.save(unfinished / "networks" / f"{name}.keras")
        note = dataclasses.replace(note, signatures=tuple(signatures), files=digests, **widths)
        write_note_file(unfinished / NOTE, note)
        for name, content in converted.items():
            (unfinished / "lite").mkdir(exist_ok=True)
            (unfinished / "lite" / f"{name}.tflite").write_bytes(content)
        if out.exists():
            out.rename(place / "earlier")
        unfinished.rename(out)
    return note


def describe(
    settings: Settings,
    pairs: Pairs,
    method: Method,
    backbone: Backbone | None,
    encoder: TextEncoder | None,
    run: str,
) -> ModelNote:
    """The note of a run's model, whose signatures `save_model` fills in."""
    size = settings.image_size if backbone else 0
    parts = ("model", backbone.digest if backbone else "", size, settings.fit, repr(tuple(pairs.tag_names)))
    of_texts = (encoder.digest,) if encoder else ()
    by_sentences = isinstance(encoder, SentenceEncoder | SentencesAndWords)
    return ModelNote(
        bits=settings.bit,
        image_size=size,
        fit=settings.fit,
        digest=digest(*parts, *of_texts, *weights_digest_parts(method.encoders)),
        dataset=pairs.name,
        method=settings.method,
        run=run,
        label_names=tuple(pairs.label_names),
        signatures=(),
        encoding_batch=method.encoding_batch,
        vectors=("image",) * (pairs.features is not None) + ("text",) * pairs.text_vectors,
        text_encoder=f"{PACKAGE} {sentences_version()}" if by_sentences else "",
    )


def exported_backbone(settings: Settings, pairs: Pairs, backbone: Backbone | None) -> Backbone | None:
    """The backbone that an exported model has: the run's, or, of a data set with features, the user's model
    that `netStr` names as what made them; None where it takes features.

    Raises:
      SettingError: its features have another width than the data set's.
    """
    if pairs.features is None or not is_model(settings.netStr):
        return backbone
    maker, width = load_backbone(settings), pairs.features.shape[1]
    if maker.feature_size != width:
        found = f"netStr is {settings.netStr!r}, of {maker.feature_size} dimensions"
        raise SettingError(f"{found}; {pairs.name} has image features of {width}")
    return maker


def known_words(
    pairs: Pairs, encoder: TextEncoder | None, saved: Path
) -> Vocabulary | ModelEncoder | SentencesAndWords | None:
    """What makes strings what the text network takes, as far as it can be in the model: the user's encoder of
    texts; the words that stand beside sentences; the words of a data set's text columns, for raw texts from
    the run's vocabulary, which is in the file `saved`; or None.
    """
    if pairs.text_vectors:
        return encoder if isinstance(encoder, ModelEncoder | SentencesAndWords) else None
    if pairs.captions is not None:
        return load_vocabulary(saved)
    return Vocabulary(tuple(pairs.tag_names), 1, frozenset()) if pairs.tag_names else None


def words_of_texts(
    settings: Settings, pairs: Pairs, training: np.ndarray, encoder: TextEncoder | None
) -> StandIns | None:
    """For an encoder of sentences and words, the words of the texts of `training` items, rows int64 (n,), the
    `MOST_WORDS` most frequent; else None.
    """
    if not isinstance(encoder, SentencesAndWords) or pairs.parts is None:
        return None
    every = {"vocabulary_minimum": 1, "vocabulary_size": MOST_WORDS, "ngrams": 1, "stop_words": "english"}
    words = build_vocabulary(joined_strings(pairs), training, settings.replace(**every)).words
    return StandIns.of(words, encoder.sentences)


def remarks(note: ModelNote) -> list[str]:
    """Remarks for a user of the model."""
    data, batch, named = note.dataset, note.encoding_batch, note.takes_texts
    found = {
        f"texts are encoded by {note.text_encoder}, outside of the SavedModel: gch and gch.load use it, "
        "and encode_text_vector takes its vectors": note.text_encoder != "",
        f"{data} has vectors of texts: encode_text_vector takes these, there is no encode_text_string": "text"
        in note.vectors
        and not named,
        f"{data} does not name the words of its texts: encode_text takes vectors, there is no "
        "encode_text_string": "text" not in note.vectors and not named,
        f"{data} has features in place of pictures: encode_image_vector takes these, there is no "
        "encode_image": not note.image_size,
        "with feature_norm = 'batch' a code depends on its batch: those of the test phase come in batches of "
        f"{batch} only": batch is not None,
    }
    return [line for line, applies in found.items() if applies]
