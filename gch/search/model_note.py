"""The description of an exported model, a file in its folder."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from gch.data.pictures import FITS
from gch.data.sentences import require_encoder
from gch.data.text_files import shown
from gch.errors import DataError, RunError
from gch.search.note_file import read_note_file, require_bits
from gch.storage import require_place

NOTE = Path("assets.extra") / "model.json"
VOCABULARY = NOTE.with_name("vocabulary.json")  # of an encoder of texts outside of the model
STAND_INS = NOTE.with_name("words.npz")  # of these texts, words that stand in for unknown ones
EXPECTED = "expected a folder that `export` wrote"
OF_PAIRS = ("encode_image", "encode_text_string", "encode_pair")  # what coding pairs and halves needs
_MOST_SIDE = 2**14  # of a picture, as of image_size
_EARLIER = {"image": "encode_image_features", "text": "encode_text"}  # signatures of vectors
_NEEDED = {
    "encode_image": "{dataset} has no pictures",
    "encode_text_string": "{dataset} has no words",
    "encode_pair": "{method} has no unified codes, or an earlier version exported it",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelNote:
    """The description of an exported model, readable without loading it."""

    bits: int  # length of a code K, a multiple of 8
    image_size: int  # side that pictures are scaled to before `encode_image`; 0 if it takes features
    fit: str  # how, 'crop' or 'letterbox'
    digest: str  # of the networks' weights; codes of models of different digests do not compare
    dataset: str  # what it was trained on
    method: str  # such as 'gch'
    run: str  # name of the run that it was exported from
    label_names: tuple[str, ...]  # C, or none where the data set does not name them
    signatures: tuple[str, ...]  # names of its functions
    encoding_batch: int | None  # items encoded together where a code depends on its batch
    # SHA-256 of what TensorFlow reads, by the path in the folder; none of earlier versions
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    vectors: tuple[str, ...] = ()  # 'image', 'text': of which modalities the data set has vectors
    image_width: int = 0  # of the vectors that the image network takes; 0 in models of earlier versions
    text_width: int = 0  # the same of texts
    text_encoder: str = ""  # package and version that encode texts, outside of the model; '': none

    def __post_init__(self) -> None:
        require_bits(self.bits)
        if self.image_size > _MOST_SIDE or self.fit not in FITS or self.encoding_batch == 0:
            expected = f"at most {_MOST_SIDE}, {' or '.join(FITS)}, from 1 on or null"
            raise ValueError(
                f"found image_size {self.image_size}, fit {shown(self.fit)}, encoding_batch "
                f"{self.encoding_batch}; expected {expected}"
            )

    def vector_signature(self, modality: str) -> str:
        """The signature that takes vectors of a modality, bags of words included; raises DataError."""
        known = (f"encode_{modality}_vector", _EARLIER[modality])
        found = next((name for name in known if name in self.signatures), None)
        if found is None:
            raise DataError(
                f"the model has no {known[0]}, because {self.dataset} has no vectors of {modality}s; "
                f"found {', '.join(self.signatures)}"
            )
        return found

    def vector_width(self, modality: str) -> int:
        """The width F of vectors of a modality, 0 for any; raises DataError as `vector_signature` does."""
        self.vector_signature(modality)
        return getattr(self, f"{modality}_width")

    def batch_size(self, most: int) -> int:
        """The number of queries encoded together: `most`, or one where a code depends on its batch."""
        return most if self.encoding_batch is None else 1

    @property
    def takes_texts(self) -> bool:
        """Whether strings can be encoded, by the model or by its encoder of texts."""
        return "encode_text_string" in self.signatures or self.text_encoder != ""

    def require(self, *signatures: str) -> None:
        """Raises DataError unless the model has `signatures`, some of those for pictures and strings. For
        strings it may have an encoder of texts instead; raises SettingError where that is not installed.
        """
        for name in signatures:
            if name == "encode_text_string" and self.text_encoder:
                require_encoder(self.text_encoder)
            elif name not in self.signatures:
                reason = _NEEDED[name].format(dataset=self.dataset, method=self.method)
                found = ", ".join(self.signatures)
                raise DataError(f"the model has no {name}, because {reason}; found {found}")


def read_model_note(path: Path) -> ModelNote:
    """The description of the model in a folder; raises DataError if there is none of this project."""
    if not (path / "saved_model.pb").is_file() or not (path / NOTE).is_file():
        raise DataError(f"{path}: no saved_model.pb with {NOTE} in it; {EXPECTED}")
    return read_note_file(path / NOTE, ModelNote, EXPECTED)


def require_replaceable(out: Path) -> ModelNote | None:
    """The note of the model in a folder that is to be written, None where there is nothing; raises RunError
    where it holds something else, or cannot be written.
    """
    require_place(out.parent)
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return read_model_note(out)
    except DataError as error:
        raise RunError(f"{out}: holds something other than a model; expected a new folder") from error
