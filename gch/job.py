"""A whole run: data, training, test, export.

TensorFlow loads only after the settings, the data and the run folder have been checked.
"""

import contextlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from gch.data.catalog import cache_folder, choose_split, open_pairs
from gch.data.generated import GENERATED
from gch.data.names import canonical_dataset
from gch.data.pairs import Pairs, oddities
from gch.data.split import Split, split_oddities
from gch.data.split_file import export_split, load_split, save_split
from gch.data.vocabulary import with_vocabulary
from gch.errors import SettingError, WeightsError
from gch.networks.matconvnet import require_weights
from gch.networks.settings import VGGF, canonical_backbone
from gch.run import RunFolder, require_checkpoint, run_name
from gch.settings import Settings
from gch.terminal import Progress, quiet_stderr
from gch.training.cluster import read_cluster


def run_job(settings: Settings, export_to: Path | None = None, lite: bool = False) -> Path:
    """Runs the phase `settings.phase`, and returns the folder of the run.

    Args:
      settings: the settings of the run.
      export_to: where the phase 'export' writes; `export` in the folder of the run by default.
      lite: whether 'export' also writes the encoders for TensorFlow Lite.

    Raises:
      GCHError: an error that the user can fix.
    """
    cluster = read_cluster(os.environ)
    with contextlib.ExitStack() as stack:
        if not cluster.chief:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        # The pixels of a picture, float32; or of all that are generated, uint8.
        sizes = 3 * GENERATED if canonical_dataset(settings.dataset_dir) == "generated" else 12
        _require_memory({"image_size": sizes * settings.image_size**2})
        pairs = open_pairs(settings, Progress())
        _require_memory(_least_memory(settings, pairs))
        _require_backbone(settings, pairs)
        split = choose_split(settings, pairs)
        run = RunFolder(Path(settings.checkpoint_dir) / run_name(settings, pairs.name), cluster.chief)
        if settings.phase != "train" and not cluster.chief:
            return run.path  # the chief tests and exports alone
        stack.callback(run.close)
        if settings.phase != "train":
            run.open(settings, pairs.digest)
        else:
            if settings.load_model_path:
                require_checkpoint(Path(settings.load_model_path))
            run.start(settings, pairs.digest)
        split, cache = _kept_split(run, split, len(pairs.labels)), cache_folder(settings)
        pairs = with_vocabulary(pairs, split.training, settings, run.vocabulary, cache, run.writes)
        _require_sizes(settings, pairs)
        _print_sizes(pairs, split)
        _prepare_tensorflow(cache)
        with quiet_stderr():
            import keras

            from gch.session import Session  # loads TensorFlow
            from gch.training.device import lost_workers

        stack.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        with lost_workers(cluster):
            session = Session(
                settings, pairs, split, run, cache, Path(settings.log_dir) / run.path.name, cluster
            )
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
    flag = f"--tf_xla_persistent_cache_directory={(cache / 'xla').resolve()}"
    os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} {flag}".strip()


def _require_backbone(settings: Settings, pairs: Pairs) -> None:
    """Checks that the backbone's files exist, if the data need a backbone."""
    if pairs.features is not None:
        if settings.backbone == "trained":
            raise SettingError(
                f"backbone is 'trained', but {pairs.name} has features in place of pixels; expected 'frozen'"
            )
        return
    name = canonical_backbone(settings.netStr) or ""
    if name in VGGF and settings.backbone_start == "pretrained":
        require_weights(settings.MODEL_DIR)
    if name.endswith(".keras") and not Path(name).is_file():
        raise WeightsError(f"{name}: not found; netStr expects a Keras model there")


def _require_sizes(settings: Settings, pairs: Pairs) -> None:
    """Checks num_label and tag_dim."""
    for setting, found, what in (
        ("num_label", pairs.labels.shape[1], "labels"),
        ("tag_dim", pairs.texts.shape[1], "words"),
    ):
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
    widths = getattr(settings.options, "txt_widths", None)
    if widths:
        sizes = [words, *map(int, widths.split(","))]
        needs["txt_widths"] = 16 * sum(one * other for one, other in itertools.pairwise(sizes))
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
    words, labels = pairs.texts.shape[1], pairs.labels.shape[1]
    print(f"{pairs.name}: {len(pairs.labels)} pairs, {words} words, {labels} labels; {parts}")
    for line in (*split_oddities(split), *oddities(pairs)):
        print(f"  {line}")


def _kept_split(run: RunFolder, chosen: Split, total: int) -> Split:
    """The split stored in the run; the first call stores `chosen`."""
    if not run.split.exists():
        if not run.writes:
            return chosen
        export_split(run.split_for_matlab, chosen)
        save_split(run.split, chosen)
    return load_split(run.split, total)
