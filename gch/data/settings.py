"""Settings of the data."""

import dataclasses

from gch.data.names import canonical_dataset, known_datasets
from gch.errors import SettingError
from gch.rules import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which pairs are read, how, and how they are split."""

    dataset_dir: str = setting("OpenMoji", "data set: " + ", ".join(known_datasets()), aliases=["dataset"])
    DATA_DIR: str = setting(
        "data", "folder of the data files, or one of the files", aliases=["data_path"], free=True
    )
    CACHE_DIR: str = setting(
        "",
        "folder of caches, such as features and decoded pictures, that runs may share; '': the folder "
        "cache/ beside the data files",
        free=True,
    )
    image_size: int = setting(224, "height and width of the images in pixels", minimum=8, maximum=2**14)
    split: str = setting(
        "",
        "random by seed, sequential (AGAH's: queries first), or an index file (.npz, .mat); '': the split "
        "in the data files, else random",
    )
    QUERY_SIZE: int = setting(
        -1, "number of query items; -1: the data set's own", minimum=-1, aliases=["query_size"]
    )
    DATABASE_SIZE: int = setting(
        -1,
        "number of items in the retrieval set, of which training and validation items are a part; -1: the "
        "data set's own",
        minimum=-1,
        aliases=["db_size"],
    )
    TRAINING_SIZE: int = setting(
        -1,
        "number of retrieval items to train on; -1: the data set's own",
        minimum=-1,
        aliases=["training_size"],
    )
    VERIFICATION_SIZE: int = setting(
        -1,
        "number of retrieval items kept from training as validation queries, on which the best epoch is "
        "chosen; 0: none, the last epoch counts as the best; -1: the data set's own",
        minimum=-1,
    )
    num_label: int = setting(-1, "number of labels that the data must have; -1: any", minimum=-1, free=True)
    tag_dim: int = setting(-1, "number of words that the data must have; -1: any", minimum=-1, free=True)
    annotations: str = setting(
        "", "collection: its CSV or JSON-lines file; '': the only one in the folder", free=True
    )
    broken: str = setting(
        "skip",
        "pictures that cannot be read are reported and left out, or end the run",
        choices=["skip", "stop"],
        free=True,
    )
    fit: str = setting(
        "crop",
        "picture files: scale the short side to image_size and crop the centre, or scale the long side "
        "and fill the rest",
        choices=["crop", "letterbox"],
    )
    image_axes: str = setting(
        "auto",
        "which comes first in files of pixels, width or height; auto: W where the channels come before "
        "them in MATLAB's HDF5, else H",
        choices=["auto", "WH", "HW"],
    )
    vocabulary_size: int = setting(2000, "raw texts: largest size of the vocabulary", minimum=1)
    vocabulary_minimum: int = setting(2, "raw texts: training items that a word must occur in", minimum=1)
    ngrams: int = setting(1, "free texts: longest n-gram that counts as a word", minimum=1, maximum=5)
    stop_words: str = setting(
        "english", "stop words of free texts: english, a file with one a line, or '' for none"
    )

    def check_data(self) -> None:
        """Raises SettingError where values are impossible."""
        if canonical_dataset(self.dataset_dir) is None:
            known = ", ".join(known_datasets())
            raise SettingError(f"dataset_dir is {self.dataset_dir!r}; expected one of {known}")
        for name in ("QUERY_SIZE", "DATABASE_SIZE", "TRAINING_SIZE", "num_label", "tag_dim"):
            if getattr(self, name) == 0:
                raise SettingError(f"{name} is 0; expected a positive number, or -1 for what the data have")
