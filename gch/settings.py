"""The settings of a run: their meaning, their rules, and the one frozen object that holds them.

Values come from three layers, each over the one before: setting.py, a preset (a file like setting.py
that names only what it changes), and the flags of the command line.
"""

import dataclasses
import difflib
import math
import runpy
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from gch.data.names import canonical_dataset, known_datasets
from gch.errors import SettingError
from gch.networks.names import canonical_backbone, known_backbones

METHODS = ("gch",)


def _setting(meaning: str, *, section: str = "", choices: tuple = (), minimum=None, above=None, maximum=None):
    rules = {
        "meaning": meaning,
        "section": section,
        "choices": choices,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
    }
    return dataclasses.field(metadata=rules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One run's settings; the metadata of a field holds its meaning and its rules."""

    phase: str = _setting(
        "train (and then test), or test the best checkpoint of the run",
        section="The job",
        choices=("train", "test"),
    )
    method: str = _setting("hashing method", choices=METHODS)
    preset: str = _setting("named group of settings laid over setting.py, '' for none: " + "%(presets)s")
    seed: int = _setting(
        "seed of the split, the weights, the batches and dropout", minimum=0, maximum=2**31 - 1
    )
    bit: int = _setting("length K of a code in bits, a positive multiple of 8", minimum=8)

    dataset_dir: str = _setting("data set: " + ", ".join(known_datasets()), section="Data")
    DATA_DIR: str = _setting("folder of the data files (or one of the files) and of the caches")
    image_size: int = _setting("height and width of the images in pixels", minimum=8)
    image_axes: str = _setting(
        "which comes first in files of pixels, width or height; auto: W where the channels come before "
        "them, as MATLAB writes, else H",
        choices=("auto", "WH", "HW"),
    )
    fit: str = _setting(
        "pictures in files of their own: short side scaled to image_size and centre cropped, or long side "
        "scaled and the rest filled",
        choices=("crop", "letterbox"),
    )
    broken: str = _setting(
        "pictures that cannot be read are reported and left out, or end the run", choices=("skip", "stop")
    )
    annotations: str = _setting("collection: its CSV or JSON-lines file; '': the only one in the folder")
    vocabulary_size: int = _setting("raw texts: most words of the vocabulary", minimum=1)
    vocabulary_minimum: int = _setting("raw texts: training items that must have a word", minimum=1)
    ngrams: int = _setting("free texts: longest run of words that counts as a word", minimum=1, maximum=5)
    stop_words: str = _setting("free texts: words left out: english, a file of one a line, '' for none")
    split: str = _setting(
        "random by seed, sequential (AGAH's: queries first), or an index file (.npz, .mat); '': the one that "
        "the files bring, else random"
    )
    QUERY_SIZE: int = _setting("number of query items; -1: the data set's own", minimum=-1)
    DATABASE_SIZE: int = _setting("number of items in the retrieval set; -1: the data set's own", minimum=-1)
    TRAINING_SIZE: int = _setting("number of retrieval items to train on; -1: the data set's own", minimum=-1)
    VERIFICATION_SIZE: int = _setting(
        "number of retrieval items kept from training as validation queries, on which the best epoch is "
        "chosen; 0: none, the last epoch counts as the best; -1: the data set's own",
        minimum=-1,
    )

    netStr: str = _setting(
        "image backbone: efficientnet-lite0, vggf, vggf-agah (normalised and pooled as AGAH does), a "
        "model of keras.applications by name, or a .keras file",
        section="Image backbone",
    )
    backbone: str = _setting(
        "train the backbone, or keep it frozen and cache its features", choices=("frozen", "trained")
    )
    backbone_start: str = _setting("start of the backbone", choices=("pretrained", "random"))
    MODEL_DIR: str = _setting("file of the VGG-F weights, imagenet-vgg-f.mat")
    meanpath: str = _setting("file of the mean image for VGG-F, Mean.h5; '': the one in the weights file")

    checkpoint_dir: str = _setting("folder of the runs", section="Where a run is kept")
    log_dir: str = _setting("folder of the TensorBoard logs")
    run_name: str = _setting("name of the run; '': made of data set, method, backbone, bit and seed")
    checkpoint_minutes: float = _setting("minutes between checkpoints within an outer epoch", minimum=0)

    Epoch: int = _setting("number of outer epochs", section="Schedule", minimum=1)
    batch_size: int = _setting("items in a training batch", minimum=2)
    MAX_ITER: int = _setting("steps in a round of the label and graph stages", minimum=1)
    k_lab: int = _setting("rounds of the label stage in an outer epoch", minimum=1)
    k_txt: int = _setting("passes over the training items of the text network's label stage", minimum=0)
    k_img: int = _setting("passes over the training items of the image network's label stage", minimum=0)
    k_gph: int = _setting("rounds of the graph stage", minimum=1)
    k_txt_g: int = _setting(
        "passes of the text network towards the codes of a batch graph; without graph, more of its label "
        "stage",
        minimum=0,
    )
    k_img_g: int = _setting("passes of the image network, likewise", minimum=0)
    lr_lab: float = _setting("learning rate of the label network", above=0)
    lr_txt: float = _setting("learning rate of the text network", above=0)
    lr_img: float = _setting("learning rate of the image network", above=0)
    lr_gph: float = _setting("learning rate of the graph network", above=0)
    lr_backbone: float = _setting("learning rate of a trained backbone", above=0)
    decay: float = _setting("factor on every learning rate each decay_steps outer epochs", above=0, maximum=1)
    decay_steps: int = _setting("outer epochs between two decays", minimum=1)

    SEMANTIC_EMBED: int = _setting(
        "size of the features that the graph network fuses", section="The method GCH", minimum=1
    )
    graph: str = _setting(
        "graph of the graph half: of items and labels, the paper's of the items of a batch, or no graph half",
        choices=("label", "batch", "none"),
    )
    graph_neighbours: int = _setting(
        "label graph: nearest training items by which an item is tied to their labels; 0: only to the labels "
        "that its network predicts",
        minimum=0,
    )
    graph_text_queries: float = _setting(
        "label graph: weight of the queries by text, those by image weigh 1", above=0
    )
    graph_balance: float = _setting(
        "label graph: weight of the bits' imbalance; more gives bits that halve the items, and less mAP",
        minimum=0,
    )
    graph_tie: float = _setting(
        "label graph: weight of the squared distance between the image and the text code of a pair; more "
        "gives codes that agree in more bits, and less mAP",
        minimum=0,
    )
    teacher: bool = _setting(
        "label network, whose codes image and text network learn; without it they learn labels alone"
    )
    start: str = _setting("distribution of the initial weights", choices=("glorot", "normal"))
    dropout_txt: float = _setting("dropout rate in the text network", minimum=0, maximum=0.95)
    dropout_words: float = _setting("dropout rate on the words of a text", minimum=0, maximum=0.95)
    dropout_img: float = _setting("dropout rate in the image network", minimum=0, maximum=0.95)
    pair_loss: str = _setting("loss of a pair's similarity", choices=("likelihood", "squared"))
    pair_scale: float = _setting(
        "sharpness of the pair likelihood: theta = pair_scale / bit * code . code; 0: the paper's 1/2",
        minimum=0,
    )
    memory: str = _setting(
        "what the pair loss compares a batch with: signs of the code memory, its relaxed codes, or the codes "
        "of the batch itself",
        choices=("sign", "relaxed", "batch"),
    )
    label_loss: str = _setting("loss of the predicted labels", choices=("cross_entropy", "squared"))
    pair_items: int = _setting(
        "items of the code memory that the pair loss compares a batch with, drawn anew for each; 0: all",
        minimum=0,
    )
    student_pair: float = _setting(
        "weight of the image and text network's pair loss against the code memory", minimum=0
    )
    graph_input: str = _setting(
        "unit features into a batch-normalised graph network, or raw ones into a plain one",
        choices=("normalized", "raw"),
    )
    unified: str = _setting(
        "codes that the image and text network learn in the graph half: the teacher's, the graph network's, "
        "the signs of both together, or both apart",
        choices=("teacher", "graph", "both", "apart"),
    )

    ties: str = _setting(
        "policy for ties of Hamming distance: the expectation over their orders, the order of the database, "
        "items that share most labels first, or last; validation is tie-aware",
        section="Evaluation",
        choices=("tie-aware", "stable", "optimistic", "pessimistic"),
    )
    cutoffs: str = _setting(
        "ranks n of precision, recall, NDCG, ACG and both kinds of mAP@n, such as 10,100,1000"
    )
    without_relevant: str = _setting(
        "queries without a relevant item count 0, or are left out of the means", choices=("zero", "skip")
    )

    plots: bool = _setting("plots of what was measured, where matplotlib is installed (the extra plots)")

    panel_queries: int = _setting(
        "queries on the panels of pictures; 0: no panels", section="TensorBoard", minimum=0, maximum=32
    )
    histograms: bool = _setting("histograms of weights and relaxed codes after every outer epoch")

    select_gpu: str = _setting("number of the GPU to use, several as 0,1, '' for none", section="Device")
    per_process_gpu_memory_fraction: float = _setting("share of a GPU's memory to take", above=0, maximum=1)
    precision: str = _setting(
        "precision of the networks", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    jit_compile: bool = _setting("compile the training steps with XLA, which was slower on the CPU measured")


def cutoff_ranks(settings: Settings) -> tuple[int, ...]:
    """The setting `cutoffs` as numbers, ascending."""
    return tuple(sorted({int(rank) for rank in settings.cutoffs.split(",")}))


def known_presets() -> tuple[str, ...]:
    """Names of the presets: the files of gch/presets."""
    files = resources.files("gch").joinpath("presets").iterdir()
    return tuple(
        sorted(
            Path(file.name).stem for file in files if file.name.endswith(".py") and file.name != "__init__.py"
        )
    )


def describe() -> list[tuple[str, dataclasses.Field]]:
    """All settings in order, each with the section of --help that it belongs to."""
    section, listed = "", []
    for field in dataclasses.fields(Settings):
        section = field.metadata["section"] or section
        listed.append((section, field))
    return listed


def meaning(field: dataclasses.Field) -> str:
    """What --help says of a setting."""
    text = field.metadata["meaning"].replace("%(presets)s", ", ".join(known_presets()))
    choices = field.metadata["choices"]
    return f"{text}: {' | '.join(choices)}" if choices else text


def read_assignments(path: Path) -> dict[str, object]:
    """The values of a file of plain assignments, checked one by one.

    Raises:
      SettingError: the file is missing or not Python, or it names an unknown setting or gives a value of
        the wrong type or out of range.
    """
    if not path.is_file():
        raise SettingError(f"{path}: no such file; expected a file of settings, one assignment each")
    try:
        found = runpy.run_path(str(path))
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f"{path}, line {line}" if line else str(path)
        raise SettingError(f"{where}: {type(error).__name__}: {error}; expected plain assignments") from error
    values = {name: value for name, value in found.items() if not name.startswith("_")}
    return {name: check_value(name, value, where=str(path)) for name, value in values.items()}


def check_value(name: str, value: object, *, where: str) -> object:
    """Returns `value` as the type of setting `name`.

    Raises:
      SettingError: there is no such setting, or the value has the wrong type or is out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    if name not in fields:
        close = difflib.get_close_matches(name, fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; --help lists all settings"
        raise SettingError(f"{where}: unknown setting {name}{hint}")
    field = fields[name]
    if field.type is float and type(value) is int:
        value = float(value)
    if type(value) is not field.type:
        raise SettingError(
            f"{where}: {name} is {value!r}, a {type(value).__name__}; expected a {field.type.__name__}"
        )
    if field.type is float and not math.isfinite(value):
        raise SettingError(f"{where}: {name} is {value!r}; expected a finite number")
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise SettingError(
            f"{where}: {name} is {value!r}; expected one of {', '.join(map(repr, rules['choices']))}"
        )
    for rule, broken, words in (
        ("minimum", lambda bound: value < bound, "at least"),
        ("above", lambda bound: value <= bound, "more than"),
        ("maximum", lambda bound: value > bound, "at most"),
    ):
        if rules[rule] is not None and broken(rules[rule]):
            raise SettingError(f"{where}: {name} is {value!r}; expected {words} {rules[rule]}")
    return value


def load_settings(path: Path, flags: Mapping[str, object]) -> Settings:
    """Lays preset and flags over the settings file.

    Args:
      path: the settings file, setting.py.
      flags: values of the flags that were given, by name.

    Raises:
      SettingError: a value is wrong, the file lacks a setting, or settings contradict each other.
    """
    values = read_assignments(path)
    missing = [field.name for field in dataclasses.fields(Settings) if field.name not in values]
    if missing:
        raise SettingError(f"{path}: {missing[0]} is missing; --help tells what it means")
    flags = {name: check_value(name, value, where="flag") for name, value in flags.items()}
    preset = flags.get("preset", values["preset"])
    if preset:
        if preset not in known_presets():
            raise SettingError(
                f"preset is {preset!r}; expected one of {', '.join(map(repr, known_presets()))}"
            )
        with resources.as_file(resources.files("gch").joinpath("presets", f"{preset}.py")) as file:
            values |= read_assignments(file)
    settings = Settings(**(values | flags | {"preset": preset}))
    _check_combinations(settings)
    return settings


def _check_combinations(settings: Settings) -> None:
    if settings.bit % 8:
        raise SettingError(
            f"bit is {settings.bit}; expected a positive multiple of 8, so that codes pack into bytes"
        )
    if canonical_dataset(settings.dataset_dir) is None:
        known = ", ".join(known_datasets())
        raise SettingError(f"dataset_dir is {settings.dataset_dir!r}; expected one of {known}")
    if canonical_backbone(settings.netStr) is None:
        known = ", ".join(known_backbones()[:5])
        raise SettingError(
            f"netStr is {settings.netStr!r}; expected {known} ... (keras.applications), or a .keras file"
        )
    if not settings.teacher and settings.graph != "label":
        raise SettingError(
            f"teacher is False and graph is {settings.graph!r}; without a teacher codes come from the graph "
            "'label' only"
        )
    if not all(rank.isdigit() and int(rank) > 0 for rank in settings.cutoffs.split(",")):
        raise SettingError(
            f"cutoffs is {settings.cutoffs!r}; expected positive whole numbers such as '10,100,1000'"
        )
    if settings.QUERY_SIZE == 0 or settings.TRAINING_SIZE == 0 or settings.DATABASE_SIZE == 0:
        raise SettingError(
            "QUERY_SIZE, DATABASE_SIZE and TRAINING_SIZE must be positive, or -1 for the data set's own"
        )
    if 0 < settings.TRAINING_SIZE < settings.batch_size:
        raise SettingError(
            f"batch_size is {settings.batch_size}, TRAINING_SIZE {settings.TRAINING_SIZE}; "
            "expected a batch no larger than the training set"
        )
    if any(separator in settings.run_name for separator in ("/", "\\")) or settings.run_name in (".", ".."):
        raise SettingError(f"run_name is {settings.run_name!r}; expected a plain name, without a path")
    if not all(part.isdigit() for part in settings.select_gpu.split(",")) and settings.select_gpu:
        raise SettingError(
            f"select_gpu is {settings.select_gpu!r}; expected numbers such as '0' or '0,1', or ''"
        )
