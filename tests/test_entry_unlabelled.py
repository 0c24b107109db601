"""A whole run on pairs without labels."""

import json

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from entry import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gch.evaluation.codes import coded_items
from gch.evaluation.own_half import own_half
from gch.job import run_job
from gch.methods import METHODS
from gch.settings import make_settings

ITEMS, QUERIES, VALIDATION = 400, 60, 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures' features and words that show the same eight hidden numbers."""
    folder = tmp_path_factory.mktemp("unlabelled")
    random = np.random.default_rng(0)
    hidden = random.normal(size=(ITEMS, 8))
    features = hidden @ random.normal(size=(8, 24)) + 0.3 * random.normal(size=(ITEMS, 24))
    words = hidden @ random.normal(size=(8, 40)) + 0.3 * random.normal(size=(ITEMS, 40)) > 1
    np.savez(folder / "any.npz", features=features.astype(np.float32), texts=words.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "dcmh", "aligned")  # under a name that settings take
        settings = {
            "method": "dcmh",
            "dataset_dir": "files",
            "DATA_DIR": str(data),
            "checkpoint_dir": str(folder / "runs"),
            "log_dir": str(folder / "logs"),
            "run_name": "a",
            "bit": 32,
            "batch_size": 60,
            "Epoch": 3,
            "QUERY_SIZE": QUERIES,
            "VERIFICATION_SIZE": VALIDATION,
            "panel_queries": 3,
        }
        run_job(make_settings(settings))
        run_job(make_settings(settings | {"phase": "export"}), lite=True)
    return folder


@pytest.fixture(scope="module")
def results(finished):
    return json.loads((finished / "runs" / "a" / "results.json").read_text())


def test_the_results_are_of_own_halves_alone(finished, results):
    assert not [key for key in results if "mAP" in key or "evaluation" in key or "relevant" in key]
    assert set(results["own_half"]) == {"I->T", "T->I"}
    codes = scipy.io.loadmat(finished / "runs" / "a" / "files_32.mat")
    names = {"Qi", "Qt", "Di", "Dt"}
    assert {name for name in codes if not name.startswith("__")} == names
    items = {name: coded_items(codes[name], np.zeros((len(codes[name]), 0))) for name in names}
    for direction, one, other in (("I->T", "Qi", "Qt"), ("T->I", "Qt", "Qi")):
        measured = results["own_half"][direction]
        assert measured["queries"] == QUERIES
        expected = own_half(items[one], items[other]).means()
        for name, value in expected.items():
            assert measured["measures"][name]["mean"] == pytest.approx(value)
        recall = measured["measures"]["recall@10"]
        assert 0.5 < recall["low"] <= recall["mean"]  # by chance: 10 of 60
        assert measured["measures"]["recall_asymmetric@10"]["mean"] > 0.5


def test_the_best_epoch_is_that_of_the_highest_recall(results):
    epochs = results["training"]["epochs"]
    for epoch in epochs:
        assert not [key for key in epoch if "mAP" in key]
        assert epoch["score"] == pytest.approx(np.mean(list(epoch["recall@10"].values())))
        # Among the validation items alone, they are found more easily than among all.
        for direction, recall in epoch["recall@10_not_trained_on"].items():
            assert recall > epoch["recall@10"][direction]
    scores = [epoch["score"] for epoch in epochs]
    assert results["training"]["best_epoch"] == 1 + int(np.argmax(scores))
    assert scores[0] < max(scores) < 1


def test_tensorboard_plots_and_panels_show_own_halves(finished):
    events = EventAccumulator(str(finished / "logs" / "a"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    names = set(tags["tensors"]) | set(tags["scalars"]) | set(tags["images"])
    assert {
        "own halves of the query set/recall@10 I->T",
        "own halves of the query set/median_rank_asymmetric T->I",
        "recall@10 of the validation set's own halves/I->T",
        "recall@10 of the validation set's own halves/T->I, new items",
        "plots of the query set/own_half",
        "query set/T->I",
        "validation set/I->T",
    } <= names
    assert not [name for name in names if "mAP" in name or "->pair" in name]
    run = finished / "runs" / "a"
    assert {path.name for path in (run / "plots").iterdir()} == {"own_half.png", "own_half.svg"}
    assert {path.name for path in (run / "panels").iterdir()} == {"I-T.png", "T-I.png"}


def test_eval_report_and_export_work_without_labels(finished, results, command, tmp_path):
    run, out = finished / "runs" / "a", tmp_path / "out"
    status, output, error = command("eval", run, f"--out={out}")
    assert (status, error) == (0, "")
    recall = results["own_half"]["T->I"]["measures"]["recall@10"]["mean"]
    assert f"{recall:.4f}" in output
    assert "mAP" not in output
    status, output, error = command("report", run, f"--out={tmp_path / 'report.html'}")
    assert (status, error) == (0, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{recall:.4f}" in page
    assert "Recall of a pair's own half among the first n" in page
    exported = tf.saved_model.load(run / "export")
    outputs = exported.signatures["encode_image_features"](features=tf.zeros((3, 24)))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "codes": (3, 4),
        "relaxed": (3, 32),
        "labels": (3, 0),
    }
    assert (run / "export" / "lite" / "image.tflite").is_file()


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"method": "agah"}, "method is 'agah', but files has no labels; expected data with labels, or"),
        ({"method": "dcmh"}, "method is 'dcmh', but files has no labels"),
        ({"affinity": "labels"}, "affinity is 'labels', but files has no labels"),
        ({"affinity": "both"}, "affinity is 'both', but files has no labels"),
        ({"graph": "batch"}, "graph is 'batch', but files has no labels"),
        ({"graph": "batch", "affinity": "pairs"}, "affinity is 'pairs' and graph is 'batch'; the paper's"),
        ({"num_label": 4, "method": "gch"}, "num_label is 4; files has 0 labels"),
    ],
)
def test_what_needs_labels_is_refused_before_anything_is_written(repository, tmp_path, data, flags, fault):
    sizes = ("QUERY_SIZE", "DATABASE_SIZE", "TRAINING_SIZE", "VERIFICATION_SIZE")
    command = Command(repository, tmp_path, data, leave_out=sizes)
    contradictory = "affinity" in flags and "graph" in flags  # whatever the data
    _, error = command.run(dataset_dir="files", expect=2 if contradictory else 1, **flags)
    assert fault in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
