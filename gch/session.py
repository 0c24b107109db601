"""Training, testing and exporting one method on one data set in one run folder."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gch.data.pairs import Pairs, Split
from gch.data.split import items_digest
from gch.errors import SettingError
from gch.evaluation.codes import EncodedPairs, bit_agreement, code_statistics
from gch.evaluation.codes_file import save_codes
from gch.evaluation.encoding import encode
from gch.evaluation.evaluate import ASYMMETRIC, CROSS, NEW_ITEMS, UNIFIED, directions, map_by_direction
from gch.evaluation.own_half import MEDIAN, RANKS, RECALL
from gch.evaluation.panel import retrieval_panel, save_panel
from gch.evaluation.results import (
    map_over_new,
    measured_figures,
    recall_among,
    save_results,
    weights_digest_parts,
)
from gch.export.save import describe, exported_backbone, known_words, remarks, save_model, words_of_texts
from gch.methods.items import training_items
from gch.methods.method import build_method
from gch.networks.backbone import Backbone, load_backbone
from gch.networks.inference import backbone_features
from gch.networks.parts import synchronize_batch_norms
from gch.networks.text_encoder import load_text_encoder, with_encoded_texts
from gch.reporting import plots, tables
from gch.reporting.record import Record
from gch.run import RunFolder
from gch.settings import Settings
from gch.storage import digest
from gch.terminal import Progress
from gch.training.cluster import Cluster
from gch.training.device import any_worker, configure_device, require_alike, require_same_settings
from gch.training.summaries import Summaries
from gch.training.train import Trainer

QUERY_MAP, VALIDATION_MAP = "mAP of the query set", "mAP of the validation set"
QUERY_ASYMMETRIC = f"{ASYMMETRIC} of the query set"
QUERY_OWN_HALF = "own halves of the query set"
VALIDATION_RECALL = f"{RECALL} of the validation set's own halves"
QUERY_PLOTS = "plots of the query set"
OVER_NEW = ", new items"
MAP = Mapping[str, float | None]
MOST_VALIDATED = 2**15  # items that validation queries rank: a choice among epochs needs no more


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
        cluster: Cluster,
    ):
        self._settings, self._split, self._run = settings, split, run
        self._device = device = configure_device(settings, cluster)
        print(f"Device: {device.name}")
        require_same_settings(device, settings)
        self._text_encoder = load_text_encoder(settings, pairs, split.training, run)
        self._pairs = pairs = with_encoded_texts(pairs, self._text_encoder, run, cache)
        require_alike(device, "data or split", pairs.digest, split.digest)
        self._backbone: Backbone | None = None
        self._features = pairs.features
        if pairs.features is not None:
            print(f"{pairs.name} comes with image features of {pairs.features.shape[1]} dimensions")
        else:
            self._backbone = self._open_backbone(cache)
        # Every machine reads its items itself; creating them together would send them over the network.
        with device.strategy.scope() if cluster.workers == 1 else contextlib.nullcontext():
            items = training_items(
                pairs, split.training, self._features, device.keeps_pixels, split.validation
            )
        with device.strategy.scope():
            self._method = build_method(settings, items, self._backbone)
        self._summaries = Summaries(log if cluster.chief else None)
        self._trainer = Trainer(settings, self._method, run, self._summaries, self._validate, device)

    def train(self) -> None:
        """Trains to the last outer epoch, and keeps the best by validation."""
        if not self._trainer.resume():
            if self._run.begun:  # and killed before its first checkpoint
                self._summaries.purge(lambda tag, step: False)
            if self._settings.load_model_path:
                self._trainer.start_from(Path(self._settings.load_model_path))
            every = directions(self._method.encoders) if self._labelled else {}
            shown = [f"{QUERY_MAP}/{direction}{kind}" for direction in every for kind in ("", OVER_NEW)]
            shown += [f"{QUERY_OWN_HALF}/{RECALL} {direction}" for direction in CROSS]
            self._summaries.settings(self._settings, shown)
            self._summaries.graph(self._method)
        self._trainer.train()

    def test(self) -> None:
        """Encodes and ranks with the best weights; the only use of the query set."""
        settings, best = self._settings, self._trainer.restore_best()
        history = self._run.read_history(best)
        queries = self._encode(self._split.query)
        left_out = None if settings.own_neighbour else self._split.training
        database = self._encode(self._split.retrieval, left_out)
        names = self._pairs.label_names
        figures = measured_figures(queries, database, self._split.training, names, **settings.ranking)
        codes = self._run.path / f"{self._pairs.name}_{settings.bit}.mat"
        save_codes(codes, queries, database)
        training = {
            "best_epoch": best,
            "best_epoch_chosen_on": self._chosen_on,
            "seconds": sum(epoch["seconds"] for epoch in history),
            "compiling": sum(epoch.get("compiling", 0.0) for epoch in history),
            "epochs": history,
        }
        digests = {
            "data": self._pairs.digest,
            "split": self._split.digest,
            "items": items_digest(self._pairs.ids) if self._pairs.ids else None,
            "backbone": self._backbone.digest if self._backbone else None,
            "weights": digest(*weights_digest_parts(self._method.encoders)),
        }
        trained = settings.replace(Epoch=len(history))
        save_results(self._run.results, figures, trained, digests, training)
        again = [QUERY_MAP, QUERY_ASYMMETRIC, QUERY_OWN_HALF]
        again += ["query set"] if settings.panel_queries else []
        again += [QUERY_PLOTS] if self._plots else []
        self._summaries.purge(lambda tag, step: step != best or tag.partition("/")[0] not in again)
        lines = [_own_half_in_words(figures["own_half"])]
        if self._labelled:
            found, relaxed = (
                (figures[name], figures[f"{name}_not_trained_on"]) for name in ("mAP", ASYMMETRIC)
            )
            self._show(QUERY_MAP, *found, best)
            self._show(QUERY_ASYMMETRIC, *relaxed, best)
            first, *others = [*_in_words("mAP", *found), *_in_words(ASYMMETRIC, *relaxed)]
            lines += [*others, first]
        of_own_half = {
            f"{measure} {direction}": value["mean"]
            for direction, one in figures["own_half"].items()
            for measure, value in one["measures"].items()
        }
        self._summaries.scalars(QUERY_OWN_HALF, of_own_half, best)
        self._draw_panels(queries, database, best, "query set", save=True)
        self._draw_plots(figures, best)
        if self._labelled:
            print(NEW_ITEMS)
        if left_out is not None and self._method.encoders_without_own:
            print("Training items were coded without their own entries in the neighbour table.")
        print(f"Codes in {codes}, figures in {self._run.results}")
        warning = ", chosen on this same set" if self._chosen_on == "query" else ""
        for line in lines:
            print(f"Query set, weights of outer epoch {best}{warning}: {line}")

    def export(self, out: Path | None, lite: bool) -> None:
        """Writes the best weights as a SavedModel that also prepares its inputs and packs its codes, to
        `out`, or to `export` in the run's folder, in place of an earlier one; `lite` for TensorFlow Lite too.
        """
        settings, pairs, encoder = self._settings, self._pairs, self._text_encoder
        best, started = self._trainer.restore_best(), time.monotonic()
        place = out or self._run.path / "export"
        networks = dict(self._method.encoders)
        backbone = exported_backbone(settings, pairs, self._backbone)
        if backbone and settings.backbone == "frozen":
            networks["backbone"] = backbone.model
        note = save_model(
            place,
            networks,
            known_words(pairs, encoder, self._run.vocabulary),
            describe(settings, pairs, self._method, backbone, encoder, self._run.path.name),
            replace=out is None,
            lite=lite,
            stand_ins=words_of_texts(settings, pairs, self._split.training, encoder),
        )
        print(f"SavedModel of outer epoch {best} in {place}, {time.monotonic() - started:.0f} s")
        for line in [f"signatures: {', '.join(note.signatures)}", *remarks(note)]:
            print(f"  {line}")
        if lite:
            print(f"  the encoders for TensorFlow Lite in {place / 'lite'}")

    def close(self) -> None:
        """Ends the session; of several workers, each waits here until all are done."""
        self._summaries.close()
        any_worker(self._device, False)

    def _open_backbone(self, cache: Path) -> Backbone:
        """Loads the backbone; of a frozen one, reads the features too."""
        settings, device = self._settings, self._device
        trained = settings.backbone == "trained"
        if trained and settings.batch_size % device.replicas:
            raise SettingError(
                f"batch_size: found {settings.batch_size}, expected a multiple of {device.replicas}, the "
                f"number of replicas that share a batch when the backbone is trained"
            )
        with device.strategy.scope() if trained else contextlib.nullcontext():
            backbone = load_backbone(settings)
        self._run.bind("backbone", backbone.digest)
        if trained and device.replicas > 1:
            synchronize_batch_norms(backbone.model)
        if not trained:
            progress = Progress(title=f"Features of {backbone.name}, computed once:")
            self._features = backbone_features(backbone, self._pairs, cache, progress)
        return backbone

    def _validate(self, epoch: int) -> dict:
        """Measures, prints and logs an outer epoch; its score is the mean over I->T and T->I of what the
        method is chosen by, without labels of recall@10.
        """
        relaxed = self._method.relaxed_codes()
        statistics = {name: code_statistics(codes) for name, codes in relaxed.items()}
        agreement = {}
        if "graph" in relaxed:
            agreement["graph and teacher"] = bit_agreement(relaxed["graph"], relaxed["teacher"])
        if self._chosen_on == "last":
            self._log_codes(statistics, agreement, relaxed, epoch)
            return {"score": float(epoch), "codes": statistics}
        on_validation = self._chosen_on == "validation"
        queries = self._encode(self._split.validation if on_validation else self._split.query)
        others = np.setdiff1d(self._split.retrieval, queries.rows)
        if len(others) > MOST_VALIDATED:
            print(f"  validation ranks {MOST_VALIDATED:,} of {len(others):,} items, evenly spaced")
            others = others[np.linspace(0, len(others) - 1, MOST_VALIDATED).astype(np.int64)]
        database = self._encode(others)
        new = database.only(~np.isin(database.rows, self._split.training))
        measured: dict[str, tuple[MAP, MAP | None]] = {
            RECALL: (recall_among(queries, database), recall_among(queries, new))
        }
        if self._labelled:
            whole = map_by_direction(queries.coded(), database.coded())
            over_new = map_over_new(queries, database, self._split.training, joins=on_validation)
            measured["mAP"] = whole, over_new
        relaxed = relaxed | dict(queries.codes)
        statistics |= {kind: code_statistics(codes) for kind, codes in queries.codes.items()}
        agreement["image and text"] = bit_agreement(queries.codes["image"], queries.codes["text"])
        self._log_codes(statistics, agreement, relaxed, epoch)
        self._draw_panels(queries, database, epoch, "validation set")
        figures: dict = {}
        for measure, found in measured.items():
            self._show(VALIDATION_MAP if measure == "mAP" else VALIDATION_RECALL, *found, epoch)
            figures |= {measure: found[0], f"{measure}_not_trained_on": found[1]}
        chosen_by = [measure for measure in self._method.chosen_by if measure in measured] or [RECALL]
        for measure in chosen_by:
            for line in _in_words(measure, *measured[measure]):
                print(f"  validation {line}")
        scores = [figures[measure][direction] for measure in chosen_by for direction in CROSS]
        return {"score": sum(scores) / len(scores), **figures, "codes": statistics, "agreement": agreement}

    @property
    def _chosen_on(self) -> str:
        """The set that the best outer epoch is chosen on: 'validation' or 'query'; 'last': none."""
        if not self._settings.valid:
            return "last"
        validates = self._settings.best_on == "query" or len(self._split.validation)
        return self._settings.best_on if validates else "last"

    @property
    def _labelled(self) -> bool:
        return self._pairs.labels.shape[1] > 0

    @property
    def _plots(self) -> bool:
        return self._settings.plots and plots.available()

    def _encode(self, rows: np.ndarray, left_out: np.ndarray | None = None) -> EncodedPairs:
        return encode(self._method, self._pairs, self._features, rows, left_out)

    def _show(self, group: str, whole: MAP, over_new: MAP | None, epoch: int) -> None:
        """Logs a measure over all items and over the new ones."""
        of_new = {f"{direction}{OVER_NEW}": value for direction, value in (over_new or {}).items()}
        shown = {name: value for name, value in {**whole, **of_new}.items() if value is not None}
        self._summaries.scalars(group, shown, epoch)

    def _log_codes(self, statistics: dict, agreement: dict, relaxed: dict, epoch: int) -> None:
        for name, figures in statistics.items():
            self._summaries.scalars(f"codes of {name}", figures, epoch)
        self._summaries.scalars("bits that agree", agreement, epoch)
        if self._settings.histograms:
            self._summaries.histograms(self._method, relaxed, epoch)

    def _draw_plots(self, figures: dict, epoch: int) -> None:
        if not self._plots:
            return
        for name, drawn in plots.draw_all([Record(self._run.path.name, figures)]):
            shown = plots.save(drawn, self._run.path / "plots" / name)
            self._summaries.picture(f"{QUERY_PLOTS}/{name}", shown, epoch)

    def _draw_panels(
        self, queries: EncodedPairs, database: EncodedPairs, epoch: int, name: str, save: bool = False
    ) -> None:
        every = directions(queries.codes)
        if not self._labelled:  # only the queries' own halves are relevant to them
            every, database = {direction: every[direction] for direction in CROSS}, queries
        drawn = [direction for direction in (*CROSS, *UNIFIED) if direction in every]
        for direction in drawn if self._settings.panel_queries else ():
            kinds = every[direction]
            panel = retrieval_panel(self._pairs, queries, database, *kinds, self._settings.panel_queries)
            self._summaries.picture(f"{name}/{direction}", panel, epoch)
            if save:
                save_panel(self._run.path / "panels", direction, panel)


def _in_words(measure: str, whole: MAP, over_new: MAP | None) -> list[str]:
    """A measure by direction, over all items and over the new ones; that of pairs in a line of its own."""
    said = {
        direction: f"{direction} {tables.figure(value)} / {tables.figure((over_new or {}).get(direction))}"
        for direction, value in whole.items()
    }
    of_pairs = [said.pop(direction) for direction in UNIFIED if direction in said]
    lines = [f"{measure} over all items / new items: {'  '.join(said.values())}"]
    if of_pairs:
        title = f"{tables.OF_PAIRS.lower()}, {measure} over all items / new items"
        lines.append(f"{title}: {'  '.join(of_pairs)}")
    return lines


def _own_half_in_words(figures: dict[str, dict]) -> str:
    """The ranks of own halves by direction."""
    said = []
    for direction, one in figures.items():
        means = {name: value["mean"] for name, value in one["measures"].items()}
        recalls = " / ".join(tables.figure(means[f"recall@{rank}"]) for rank in RANKS)
        said.append(f"{direction} {recalls}, median rank {means[MEDIAN]:.1f}")
    among = figures[CROSS[0]]["queries"]
    ranks = ", ".join(map(str, RANKS))
    return f"recall@{ranks} of own halves among {among}: {'  '.join(said)}"
