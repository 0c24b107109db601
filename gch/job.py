"""A whole run: data, training, test, export.

TensorFlow is loaded only when settings, data and run folder are known to be sound.
"""

import contextlib
import os
from pathlib import Path

from gch.data.catalog import cache_folder, open_pairs
from gch.data.chosen_split import choose_split
from gch.data.pairs import Pairs
from gch.data.shortcomings import shortcomings
from gch.data.split import Split, load_split, save_split
from gch.data.split_file import export_split
from gch.data.texts import with_vocabulary
from gch.errors import SettingError, WeightsError
from gch.networks.matconvnet import require_weights
from gch.networks.names import VGGF, canonical_backbone
from gch.progress import Progress
from gch.quiet import native_stderr_held
from gch.run import RunFolder, require_checkpoint, run_name
from gch.settings import Settings
from gch.training.cluster import Cluster, read_cluster


def run_job(settings: Settings, export_to: Path | None = None, lite: bool = False) -> None:
    """Does what `settings.phase` says.

    Args:
      settings: of the run.
      export_to: where the phase 'export' writes; `export` in the folder of the run by default.
      lite: whether it also writes the encoders for TensorFlow Lite.

    Raises:
      GCHError: something that the user can mend.
    """
    cluster = read_cluster(os.environ)
    if cluster.chief:
        _run(settings, cluster, export_to, lite)
    elif settings.phase == "train":  # the rest is the chief's alone
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            _run(settings, cluster)


def _run(settings: Settings, cluster: Cluster, export_to: Path | None = None, lite: bool = False) -> None:
    pairs = open_pairs(settings, Progress())
    _require_backbone(settings, pairs)
    split = choose_split(settings, pairs)
    name = run_name(settings, pairs.name)
    run = RunFolder(Path(settings.checkpoint_dir) / name, writes=cluster.chief)
    if settings.phase == "train" and settings.load_model_path:
        require_checkpoint(Path(settings.load_model_path))
    if settings.phase != "train":
        run.open(settings, pairs.digest)
    else:
        run.start(settings, pairs.digest)
    split = _kept_split(run, split, len(pairs.labels))
    cache = cache_folder(settings)
    pairs = with_vocabulary(pairs, split.training, settings, run.vocabulary, cache, run.writes)
    words, labels = pairs.texts.shape[1], pairs.labels.shape[1]
    _require_sizes(settings, pairs.name, words, labels)
    parts = ", ".join(f"{size} {part}" for part, size in split.sizes._asdict().items())
    print(f"{pairs.name}: {len(pairs.labels)} pairs, {words} words, {labels} labels; {parts}")
    for line in shortcomings(pairs):
        print(f"  {line}")

    _keep_compiled(cache / "xla")
    with native_stderr_held():
        from gch.session import Session  # loads TensorFlow
        from gch.training.device import lost_workers

    with contextlib.closing(run), lost_workers(cluster):
        session = Session(settings, pairs, split, run, cache, Path(settings.log_dir) / name, cluster)
        if settings.phase == "export":
            session.export(export_to, lite)
            return
        if settings.phase == "train":
            session.train()
        if cluster.chief:
            session.test()
        session.close()


def _keep_compiled(folder: Path) -> None:
    """Has TensorFlow keep what XLA compiles for the next run; it reads the flag when it is loaded."""
    flag = f"--tf_xla_persistent_cache_directory={folder.resolve()}"
    os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} {flag}".strip()


def _require_backbone(settings: Settings, pairs: Pairs) -> None:
    """Checks that the backbone's files are there, or that features need none."""
    if pairs.features is not None:
        if settings.backbone == "trained":
            raise SettingError(
                f"backbone is 'trained', {pairs.name} has features in place of pixels; expected 'frozen'"
            )
        return
    name = canonical_backbone(settings.netStr)
    if name in VGGF and settings.backbone_start == "pretrained":
        require_weights(settings.MODEL_DIR)
    if name.endswith(".keras") and not Path(name).is_file():
        raise WeightsError(f"{name}: not found; netStr expects a Keras model there")


def _require_sizes(settings: Settings, name: str, words: int, labels: int) -> None:
    """Checks num_label and tag_dim."""
    for setting, found, what in (("num_label", labels, "labels"), ("tag_dim", words, "words")):
        expected = getattr(settings, setting)
        if expected not in (-1, found):
            raise SettingError(f"{setting} is {expected}; {name} has {found} {what}")


def _kept_split(run: RunFolder, chosen: Split, total: int) -> Split:
    """The run's own split, noted once."""
    if not run.split.exists():
        if not run.writes:
            return chosen
        export_split(run.split_for_matlab, chosen)
        save_split(run.split, chosen)
    return load_split(run.split, total)
