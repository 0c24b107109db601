"""What a run's model is, told to those who use it without the run."""

from pathlib import Path

from gch.data.pairs import Pairs
from gch.data.vocabulary import Vocabulary, load_vocabulary
from gch.evaluation.results import weights_digest_parts
from gch.methods.method import Method
from gch.networks.backbone import Backbone
from gch.search.exported import ModelNote
from gch.settings import Settings
from gch.storage import digest


def describe(
    settings: Settings, pairs: Pairs, method: Method, backbone: Backbone | None, run: str
) -> ModelNote:
    """The note of a model, whose signatures are still to be filled in.

    Args:
      settings: of the run.
      pairs: what it was trained on.
      method: the trained networks.
      backbone: of the pictures; None where the data set has features.
      run: the run's name.
    """
    size = settings.image_size if backbone else 0
    parts = ("model", backbone.digest if backbone else "", size, settings.fit, repr(tuple(pairs.tag_names)))
    return ModelNote(
        bits=settings.bit,
        image_size=size,
        fit=settings.fit,
        digest=digest(*parts, *weights_digest_parts(method.encoders)),
        dataset=pairs.name,
        method=settings.method,
        run=run,
        label_names=tuple(pairs.label_names),
        signatures=(),
        encoding_batch=method.encoding_batch,
    )


def known_words(pairs: Pairs, saved: Path) -> Vocabulary | None:
    """What the columns of a data set's texts mean.

    Args:
      pairs: the data set.
      saved: the file of the run's vocabulary, which is there where the data set has raw texts.

    Returns:
      The vocabulary; None where the data set does not tell its words.
    """
    if pairs.captions is not None:
        return load_vocabulary(saved)
    return Vocabulary(tuple(pairs.tag_names), 1, frozenset()) if pairs.tag_names else None


def remarks(note: ModelNote) -> list[str]:
    """What a user of the model should know."""
    lines = []
    if "encode_text_string" not in note.signatures:
        lines.append(
            f"{note.dataset} does not tell the words of its texts: encode_text takes vectors, there is no "
            "encode_text_string"
        )
    if not note.image_size:
        lines.append(
            f"{note.dataset} has features in place of pictures: encode_image_features takes such, there is "
            "no encode_image"
        )
    if note.encoding_batch is not None:
        lines.append(
            f"with feature_norm = 'batch' a code depends on its batch: those of the test phase come in "
            f"batches of {note.encoding_batch} only"
        )
    return lines
