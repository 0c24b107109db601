"""Training, testing and exporting one method on one data set in one run folder."""

import contextlib
import time
from pathlib import Path

import numpy as np

from gch.codes import bit_agreement, code_statistics
from gch.data.pairs import Pairs
from gch.data.split import Split
from gch.errors import SettingError
from gch.evaluation.directions import CROSS, DIRECTIONS, NEW_ITEMS, map_by_direction
from gch.evaluation.encoding import Encoded, encode
from gch.evaluation.panel import panel_name, retrieval_panel, save_panel
from gch.evaluation.results import (
    map_over_new,
    save_codes,
    save_results,
    test_figures,
    weights_digest_parts,
)
from gch.export.describe import describe, known_words, remarks
from gch.export.save import save_model
from gch.methods.catalog import build_method
from gch.methods.items import training_items
from gch.networks.backbone import Backbone, load_backbone
from gch.networks.inference import backbone_features
from gch.networks.parts import synchronize_batch_norms
from gch.progress import Progress
from gch.reporting import plots, tables
from gch.reporting.record import Record
from gch.run import RunFolder
from gch.settings import Settings, cutoff_ranks
from gch.storage import digest
from gch.training.cluster import ALONE, Cluster
from gch.training.device import any_worker, configure_device, require_alike
from gch.training.summaries import Summaries
from gch.training.train import Trainer

QUERY_MAP, VALIDATION_MAP = "mAP of the query set", "mAP of the validation set"
OVER_NEW = ", new items"


class Session:
    """One method with its data, ready to train or to test."""

    def __init__(
        self,
        settings: Settings,
        pairs: Pairs,
        split: Split,
        run: RunFolder,
        cache: Path,
        log: Path,
        cluster: Cluster = ALONE,
    ):
        self._settings, self._pairs, self._split, self._run = settings, pairs, split, run
        self._device = device = configure_device(settings, cluster)
        print(f"Device: {device.name}")
        require_alike(device, "data or split", pairs.digest, split.digest)
        trained = settings.backbone == "trained" and pairs.features is None
        if trained and settings.batch_size % device.replicas:
            raise SettingError(
                f"batch_size: found {settings.batch_size}, expected a multiple of {device.replicas}: so many "
                f"replicas share a batch for a trained backbone"
            )
        with device.scope() if trained else contextlib.nullcontext():
            self._backbone = None if pairs.features is not None else self._load_backbone()
        if trained and device.replicas > 1:
            synchronize_batch_norms(self._backbone.model)
        self._features = pairs.features
        if self._backbone is None:
            print(f"Image features of {pairs.features.shape[1]} dimensions come with {pairs.name}")
        elif settings.backbone == "frozen":
            self._features = self._read_features(cache)
        # Every machine reads its items itself; creating them together would send them over the network.
        with device.scope() if cluster.workers == 1 else contextlib.nullcontext():
            items = training_items(pairs, split.training, self._features, keep_pixels=device.keeps_pixels)
        with device.scope():
            self._method = build_method(settings, items, self._backbone)
        self._summaries = Summaries(log if cluster.chief else None)
        self._trainer = Trainer(settings, self._method, items, run, self._summaries, self._validate, device)

    def train(self) -> None:
        """Trains to the last outer epoch, and keeps the best by validation."""
        if not self._trainer.resume():
            if self._settings.load_model_path:
                self._trainer.start_from(Path(self._settings.load_model_path))
            shown = [f"{direction}{kind}" for direction in DIRECTIONS for kind in ("", OVER_NEW)]
            self._summaries.settings(self._settings, [f"{QUERY_MAP}/{name}" for name in shown])
            self._summaries.graph(self._method)
        self._trainer.train()

    def test(self) -> None:
        """Encodes and ranks with the best weights; the only use of the query set."""
        best = self._trainer.restore_best()
        history = self._run.read_history()
        queries = self._encode(self._split.query)
        left_out = None if self._settings.own_neighbour else self._split.training
        database = self._encode(self._split.retrieval, left_out)
        figures = test_figures(
            queries,
            database,
            self._split.training,
            self._pairs.label_names,
            cutoffs=cutoff_ranks(self._settings),
            ties=self._settings.ties,
            without_relevant=self._settings.without_relevant,
        )
        codes = self._run.path / f"{self._pairs.name}_{self._settings.bit}.mat"
        save_codes(codes, queries, database)
        digests = {
            "data": self._pairs.digest,
            "split": self._split.digest,
            "backbone": self._backbone.digest if self._backbone else None,
            "weights": digest(*weights_digest_parts(self._method.encoders)),
        }
        training = {
            "best_epoch": best,
            "best_epoch_chosen_on": self._chosen_on,
            "seconds": sum(record["seconds"] for record in history),
            "compiling": sum(record.get("compiling", 0.0) for record in history),
            "epochs": history,
        }
        save_results(self._run.results, figures, self._settings, digests, training)
        precision = figures["mAP"], figures["mAP_not_trained_on"]
        self._show_map(QUERY_MAP, *precision, best)
        self._draw_panels(queries, database, best, "query set", save=True)
        self._draw_plots(figures, best)
        warning = ", chosen on this very set" if self._chosen_on == "query" else ""
        print(NEW_ITEMS)
        if left_out is not None and self._method.encoders_without_own:
            print("Training items were coded without their own entries in the neighbour table.")
        print(f"Codes in {codes}, figures in {self._run.results}")
        print(f"Query set, weights of outer epoch {best}{warning}: {_words(*precision)}")

    def export(self, out: Path | None, lite: bool) -> None:
        """Writes the best weights as a SavedModel, with all that comes before and after the networks.

        Args:
          out: its folder; None: `export` in the folder of the run, where an earlier one makes way.
          lite: whether the encoders are also written for TensorFlow Lite.
        """
        best = self._trainer.restore_best()
        place = out or self._run.path / "export"
        started = time.monotonic()
        networks = dict(self._method.encoders)
        if self._backbone and self._settings.backbone == "frozen":
            networks["backbone"] = self._backbone.model
        note = save_model(
            place,
            networks,
            known_words(self._pairs, self._run.vocabulary),
            describe(self._settings, self._pairs, self._method, self._backbone, self._run.path.name),
            replace=out is None,
            lite=lite,
        )
        print(f"SavedModel of outer epoch {best} in {place}, {time.monotonic() - started:.0f} s")
        for line in [f"takes {', '.join(note.signatures)}", *remarks(note)]:
            print(f"  {line}")
        if lite:
            print(f"  the encoders for TensorFlow Lite in {place / 'lite'}")

    def close(self) -> None:
        """Ends the session; of several workers, each waits here until all are done."""
        self._summaries.close()
        any_worker(self._device, False)

    def _validate(self, epoch: int) -> dict:
        """Figures after an outer epoch, shown and logged; the score is the mean of I->T and T->I."""
        relaxed = self._method.relaxed_codes()
        statistics = {name: code_statistics(codes) for name, codes in relaxed.items()}
        agreement = {}
        if "graph" in relaxed:
            agreement["graph and teacher"] = bit_agreement(relaxed["graph"], relaxed["teacher"])
        if self._chosen_on == "last":
            self._log_codes(statistics, agreement, relaxed, epoch)
            return {"score": float(epoch), "codes": statistics}
        if self._chosen_on == "query":
            queries, database = self._encode(self._split.query), self._encode(self._split.retrieval)
        else:
            queries = self._encode(self._split.validation)
            database = self._encode(np.setdiff1d(self._split.retrieval, self._split.validation))
        precision = map_by_direction(queries.coded(), database.coded())
        joins = self._chosen_on == "validation"
        over_new = map_over_new(queries, database, self._split.training, joins=joins)
        statistics |= {"image": code_statistics(queries.image), "text": code_statistics(queries.text)}
        agreement["image and text"] = bit_agreement(queries.image, queries.text)
        self._log_codes(
            statistics, agreement, relaxed | {"image": queries.image, "text": queries.text}, epoch
        )
        self._show_map(VALIDATION_MAP, precision, over_new, epoch)
        self._draw_panels(queries, database, epoch, "validation set")
        print(f"  validation {_words(precision, over_new)}")
        score = (precision["I->T"] + precision["T->I"]) / 2
        return {
            "score": score,
            "mAP": precision,
            "mAP_not_trained_on": over_new,
            "codes": statistics,
            "agreement": agreement,
        }

    def _show_map(
        self, group: str, whole: dict[str, float], over_new: dict[str, float] | None, epoch: int
    ) -> None:
        """Logs mAP over all items and over the new ones, side by side."""
        told = {f"{direction}{OVER_NEW}": value for direction, value in (over_new or {}).items()}
        shown = {name: value for name, value in (whole | told).items() if value is not None}
        self._summaries.scalars(group, shown, epoch)

    @property
    def _chosen_on(self) -> str:
        """Where the best outer epoch comes from: 'validation', 'query', or 'last', without choosing."""
        if not self._settings.valid:
            return "last"
        if self._settings.best_on == "query":
            return "query"
        return "validation" if len(self._split.validation) else "last"

    def _log_codes(
        self, statistics: dict, agreement: dict, relaxed: dict[str, np.ndarray], epoch: int
    ) -> None:
        for name, figures in statistics.items():
            self._summaries.scalars(f"codes of {name}", figures, epoch)
        self._summaries.scalars("bits that agree", agreement, epoch)
        if self._settings.histograms:
            self._summaries.histograms(self._method, relaxed, epoch)

    def _draw_plots(self, figures: dict, epoch: int) -> None:
        if not self._settings.plots or not plots.available():
            return
        new = figures["evaluation_not_trained_on"] or {}
        record = Record(self._run.path.name, figures["evaluation"], new, results=figures)
        for name, drawn in plots.draw_all([record]):
            plots.save(drawn, self._run.path / "plots" / name)
            self._summaries.picture(f"plots of the query set/{name}", plots.pixels(drawn), epoch)

    def _draw_panels(self, queries, database, epoch: int, name: str, save: bool = False) -> None:
        if not self._settings.panel_queries:
            return
        for direction in CROSS:
            asked, answered = DIRECTIONS[direction]
            panel = retrieval_panel(
                self._pairs, queries, database, asked, answered, self._settings.panel_queries
            )
            self._summaries.picture(f"{name}/{direction}", panel, epoch)
            if save:
                save_panel(self._run.path / "panels" / panel_name(direction), panel)

    def _encode(self, rows: np.ndarray, left_out: np.ndarray | None = None) -> Encoded:
        return encode(self._method, self._pairs, self._features, rows, left_out)

    def _load_backbone(self) -> Backbone:
        settings = self._settings
        backbone = load_backbone(
            settings.netStr,
            image_size=settings.image_size,
            start=settings.backbone_start,
            weights_path=Path(settings.MODEL_DIR),
            mean_path=settings.meanpath,
            seed=settings.seed,
        )
        self._run.bind("backbone", backbone.digest)
        return backbone

    def _read_features(self, cache: Path) -> np.ndarray:
        progress = Progress(title=f"Features of {self._backbone.name}, computed once:")
        return backbone_features(self._backbone, self._pairs, cache, progress)


def _words(whole: dict[str, float], over_new: dict[str, float] | None) -> str:
    """Says mAP by direction, over all items and over the new ones."""
    pairs = [
        f"{direction} {tables.figure(value)} / {tables.figure((over_new or {}).get(direction))}"
        for direction, value in whole.items()
    ]
    return "mAP over all items / new items: " + "  ".join(pairs)
