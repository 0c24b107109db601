"""A whole run: data, training, test.

TensorFlow is loaded only when settings, data and run folder are known to be sound.
"""

from pathlib import Path

from gch.data.catalog import open_pairs
from gch.data.pairs import Pairs, SplitSizes
from gch.data.split import Split, load_split, make_split, resolve_sizes, save_split
from gch.errors import SettingError, WeightsError
from gch.networks.matconvnet import require_weights
from gch.networks.names import canonical_backbone
from gch.quiet import native_stderr_held
from gch.run import RunFolder, run_name
from gch.settings import Settings


def run_job(settings: Settings) -> None:
    """Does what `settings.phase` says.

    Raises:
      GCHError: something that the user can mend.
    """
    _require_backbone_files(settings)
    data_dir = Path(settings.DATA_DIR)
    pairs = open_pairs(settings.dataset_dir, data_dir, settings.image_size, settings.seed)
    sizes = _split_sizes(settings, pairs)
    name = run_name(settings, pairs.name)
    run = RunFolder(Path(settings.checkpoint_dir) / name)
    if settings.phase == "test":
        run.open(settings, pairs.digest)
    else:
        run.start(settings, pairs.digest)
    split = _split(run, sizes, len(pairs.labels), settings.seed)
    words, labels = pairs.texts.shape[1], pairs.labels.shape[1]
    parts = ", ".join(f"{size} {part}" for part, size in sizes._asdict().items())
    print(f"{pairs.name}: {len(pairs.labels)} pairs, {words} words, {labels} labels; {parts}")
    cache = (data_dir.parent if data_dir.is_file() else data_dir) / "cache"

    with native_stderr_held():
        from gch.session import Session  # loads TensorFlow

    session = Session(settings, pairs, split, run, cache, Path(settings.log_dir) / name)
    if settings.phase == "train":
        session.train()
    session.test()


def _require_backbone_files(settings: Settings) -> None:
    name = canonical_backbone(settings.netStr)
    if name == "vggf" and settings.backbone_start == "pretrained":
        require_weights(settings.MODEL_DIR)
    if name.endswith(".keras") and not Path(name).is_file():
        raise WeightsError(f"{name}: not found; netStr expects a Keras model there")


def _split_sizes(settings: Settings, pairs: Pairs) -> SplitSizes:
    requested = SplitSizes(
        settings.QUERY_SIZE, settings.DATABASE_SIZE, settings.TRAINING_SIZE, settings.VERIFICATION_SIZE
    )
    sizes = resolve_sizes(requested, pairs.default_sizes, len(pairs.labels))
    if settings.batch_size > sizes.training:
        raise SettingError(
            f"batch_size is {settings.batch_size}, the training set has {sizes.training} items; "
            "expected a batch no larger than it"
        )
    return sizes


def _split(run: RunFolder, sizes: SplitSizes, total: int, seed: int) -> Split:
    """The run's own split, drawn once."""
    if not run.split.exists():
        save_split(run.split, make_split(total, sizes, seed))
    return load_split(run.split, total)
