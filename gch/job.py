"""A whole run: data, training, test, export.

TensorFlow loads only after the settings, the data and the run folder have been checked.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

from gch.data.catalog import cache_folder, choose_split, open_pairs
from gch.data.generated import GENERATED
from gch.data.names import canonical_dataset, file_name
from gch.data.pairs import Pairs, Split, oddities
from gch.data.sentences import SIZE, require_sentences
from gch.data.split import ORDERS, digest_line, split_oddities
from gch.data.split_file import export_split, load_split, save_split
from gch.data.text_files import require_file
from gch.data.text_parts import require_raw_texts
from gch.data.vocabulary import used_vocabulary, with_vocabulary
from gch.errors import RunError, SettingError
from gch.networks.matconvnet import read_vggf
from gch.networks.settings import (
    TEXT_ENCODERS,
    VGGF,
    canonical_backbone,
    least_image_size,
    require_keras_file,
)
from gch.run import RunFolder, require_checkpoint, require_same, run_name
from gch.search.model_note import require_replaceable
from gch.settings import Settings
from gch.storage import digest, require_place
from gch.terminal import Progress, quiet_stderr
from gch.training.cluster import read_cluster


def run_job(settings: Settings, export_to: Path | None = None, lite: bool = False) -> Path:
    """Runs the phase `settings.phase`, and returns the folder of the run; raises GCHError. The phase 'export'
    writes to `export_to`, by default `export` in that folder, with `lite` also for TensorFlow Lite.
    """
    cluster = read_cluster(os.environ)
    with contextlib.ExitStack() as stack:
        if not cluster.chief:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        # The pixels of a picture, float32; or of all that are generated, uint8.
        sizes = 3 * GENERATED if canonical_dataset(settings.dataset_dir) == "generated" else 12
        _require_memory({"image_size": sizes * settings.image_size**2})
        _require_places(settings, export_to, cluster.chief)
        pairs = open_pairs(settings, Progress())
        _require_labels(settings, pairs)
        _require_backbone(settings, pairs)
        _require_text_encoder(settings, pairs)
        place = Path(settings.checkpoint_dir) / run_name(settings, pairs.name)
        # An export elsewhere only reads the run of another user.
        run = RunFolder(place, cluster.chief and (export_to is None or os.access(place, os.W_OK)))
        settings = run.adopt(settings)
        log = Path(settings.log_dir) / run.path.name
        if settings.phase != "train" and not cluster.chief:
            return run.path  # the chief tests and exports alone
        stack.callback(run.close)
        if cluster.chief and settings.phase != "export":
            require_place(log)
        if settings.phase != "train":
            run.open(settings, pairs.digest)
        elif run.exists():
            run.start(settings, pairs.digest)
        split = _split(settings, pairs, run)
        cache = cache_folder(settings)
        pairs = with_vocabulary(pairs, split.training, settings, run.vocabulary, cache)
        _require_sizes(settings, pairs)
        _require_memory(_least_memory(settings, pairs))
        if settings.phase == "train" and not run.begun:  # nothing is refused any more
            run.start(settings, pairs.digest)
        _keep(run, split, pairs, settings)
        _print_sizes(pairs, split)
        _prepare_tensorflow(cache)
        with quiet_stderr():
            import keras

            from gch.session import Session  # loads TensorFlow
            from gch.training.device import lost_workers

        stack.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        with lost_workers(cluster):
            session = Session(settings, pairs, split, run, cache, log, cluster)
            if settings.phase == "export":
                session.export(export_to, lite)
                return run.path
            if settings.phase == "train":
                session.train()
            if cluster.chief:
                session.test()
            session.close()
    return run.path


def _prepare_tensorflow(cache: Path) -> None:
    """Sets the environment that Keras and TensorFlow read on import. XLA caches its programs on disk."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow splits the flags at blanks, and reads a quoted one as JSON does.
    place = json.dumps(str((cache / "xla").resolve()), ensure_ascii=False)
    flag = f"--tf_xla_persistent_cache_directory={place}"
    others = os.environ.get("TF_XLA_FLAGS", "").replace(flag, "").strip()
    os.environ["TF_XLA_FLAGS"] = f"{others} {flag}".lstrip()


def _require_places(settings: Settings, export_to: Path | None, writes: bool) -> None:
    """Checks the files and folders that settings name, before anything is read or drawn; a run that has begun
    no longer needs those that it started from.
    """
    run = RunFolder(Path(settings.checkpoint_dir) / run_name(settings, file_name(settings.dataset_dir)))
    if settings.phase == "train" and settings.load_model_path and not run.exists():
        require_checkpoint(Path(settings.load_model_path))
        require_same(Path(settings.load_model_path), settings, ("method", "bit"))
    if settings.split not in ("", *ORDERS) and not run.split.exists():
        require_file(settings.split, f"expected {', '.join(ORDERS)} or a file of a split")
    if settings.phase == "export":
        if export_to:
            require_replaceable(export_to)
    elif writes:
        require_place(Path(settings.checkpoint_dir))
        require_place(Path(settings.log_dir))


def _split(settings: Settings, pairs: Pairs, run: RunFolder) -> Split:
    """The split that a run keeps; of a new run, the one that the settings name. Raises RunError where
    training would go on, but the file of the split has changed since the run began.
    """
    if not run.split.exists():
        return choose_split(settings, pairs)
    kept = load_split(run.split, len(pairs.labels))
    given = settings.phase == "train" and Path(settings.split).is_file()
    if given and choose_split(settings, pairs).digest != kept.digest:
        raise RunError(f"{settings.split}: not the split in {run.split}; set another run_name")
    return kept


def _require_labels(settings: Settings, pairs: Pairs) -> None:
    """Raises SettingError where the method needs labels, and the data have none."""
    if not pairs.labels.shape[1] and (needs := settings.options.needs_labels):
        raise SettingError(
            f"{needs}, but {pairs.name} has no labels; expected data with labels, or method 'gch' with "
            "affinity 'pairs'"
        )


def _require_backbone(settings: Settings, pairs: Pairs) -> None:
    """Checks the backbone's files and the size of its images, if the data need a backbone."""
    if pairs.features is not None:
        if settings.backbone == "trained":
            raise SettingError(
                f"backbone is 'trained', but {pairs.name} has features in place of pixels; expected 'frozen'"
            )
        if settings.netStr.endswith(".keras"):  # which the export holds, as what made the features
            require_keras_file(settings.netStr)
        return
    without = settings.options.ignores_labels if pairs.labels.shape[1] else f"{pairs.name} has no labels"
    if settings.backbone == "trained" and without:
        raise SettingError(f"backbone is 'trained', but {without}; only labels train it, expected 'frozen'")
    name = canonical_backbone(settings.netStr) or ""
    if name in VGGF:
        read_vggf(settings)
    elif name.endswith(".keras"):
        require_keras_file(name)
    elif settings.image_size < (least := least_image_size(name)):
        raise SettingError(f"image_size is {settings.image_size}; {name} expects at least {least}")


def _require_text_encoder(settings: Settings, pairs: Pairs) -> None:
    """Checks the encoder of texts, and that the data have texts for it."""
    name, width = settings.txtStr, pairs.texts.shape[1]
    if name == "words":
        return
    if name in TEXT_ENCODERS:
        require_sentences(f"txtStr is {name!r}")
        if pairs.text_vectors and name != "sentences":
            found = f"{pairs.name} has text vectors"
            raise SettingError(f"txtStr is {name!r}; {found}, expected words or captions")
        if pairs.text_vectors and width != SIZE:
            found = f"{pairs.name} has text vectors of {width} dimensions"
            raise SettingError(f"txtStr is 'sentences'; {found}, expected {SIZE}")
    elif name.endswith(".keras"):
        require_keras_file(name)
    if not pairs.text_vectors:
        require_raw_texts(pairs, name)


def _require_sizes(settings: Settings, pairs: Pairs) -> None:
    """Checks num_label and tag_dim."""
    texts = ("tag_dim", pairs.texts.shape[1], "dimensions of texts" if pairs.text_vectors else "words")
    encoded = settings.txtStr != "words" and not pairs.text_vectors  # their number is that of the encoder
    labels = ("num_label", pairs.labels.shape[1], "labels")
    for setting, found, what in (labels,) if encoded else (labels, texts):
        expected = getattr(settings, setting)
        if expected not in (-1, found):
            raise SettingError(f"{setting} is {expected}; {pairs.name} has {found} {what}")


def _least_memory(settings: Settings, pairs: Pairs) -> dict[str, int]:
    """Bytes that training surely takes for some settings: float32, and for weights also their gradients and
    the optimizer's two moments.
    """
    words, embedding = pairs.texts.shape[1], settings.SEMANTIC_EMBED
    needs = {
        "bit": 4 * len(pairs.labels) * settings.bit,
        "SEMANTIC_EMBED": 16 * embedding * (words + settings.bit),
        "batch_size": 4 * min(settings.batch_size, len(pairs.labels)) * (words + embedding),
    }
    features = 1 if pairs.features is None else pairs.features.shape[1]
    for name, inputs in (("txt_widths", words), ("img_widths", features)):
        widths = getattr(settings.options, name, "")
        sizes = [inputs, *map(int, filter(None, widths.split(","))), settings.bit]
        needs[name] = 16 * sum(one * other for one, other in itertools.pairwise(sizes))
    return needs


def _require_memory(needs: Mapping[str, int]) -> None:
    """Raises SettingError where a setting alone needs more bytes than the machine has."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):  # on Windows
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name, need in needs.items():
        if need > memory:
            raise SettingError(
                f"{name}: needs {need / 2**30:,.0f} GiB of memory or more; expected a value for the "
                f"{memory / 2**30:,.0f} GiB that this machine has"
            )


def _print_sizes(pairs: Pairs, split: Split) -> None:
    parts = ", ".join(f"{size} {part}" for part, size in split.sizes._asdict().items())
    labels = f"{pairs.labels.shape[1] or 'no'} labels"
    print(f"{pairs.name}: {len(pairs.labels)} pairs, {pairs.texts_in_words}, {labels}; {parts}")
    for line in (digest_line(split, pairs.ids), *split_oddities(split), *oddities(pairs)):
        print(f"  {line}")


def _keep(run: RunFolder, split: Split, pairs: Pairs, settings: Settings) -> None:
    """Stores the split and the vocabulary of raw texts in a run that lacks them. Raises RunError where the
    run was started with others.
    """
    run.bind("split", split.digest)
    if run.writes and not run.split.exists():
        export_split(run.split_for_matlab, split)
        save_split(run.split, split)
    if pairs.captions is None or settings.txtStr != "words":
        return
    run.bind("vocabulary", digest(*pairs.tag_names))
    if run.writes and not run.vocabulary.exists():
        used_vocabulary(pairs, settings).save(run.vocabulary)
