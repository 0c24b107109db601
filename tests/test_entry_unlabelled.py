"""A whole run on pairs without labels."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from entry import small_backbone
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gch
from gch.evaluation.codes import coded_items
from gch.evaluation.own_half import own_half
from gch.job import run_job
from gch.settings import make_settings
from gch.training.summaries import Summaries

ITEMS, QUERIES, VALIDATION = 400, 60, 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures' features and words that show the same eight hidden numbers."""
    folder = tmp_path_factory.mktemp("unlabelled")
    random = np.random.default_rng(0)
    hidden = random.normal(size=(ITEMS, 8))
    features = hidden @ random.normal(size=(8, 24)) + 2 * random.normal(size=(ITEMS, 24))
    words = hidden @ random.normal(size=(8, 40)) + random.normal(size=(ITEMS, 40)) > 1
    np.savez(folder / "any.npz", features=features.astype(np.float32), texts=words.astype(np.uint8))
    return folder


def settings_of(data: Path, folder: Path, **changes) -> dict:
    return {
        "dataset_dir": "files",
        "DATA_DIR": str(data),
        "checkpoint_dir": str(folder / "runs"),
        "log_dir": str(folder / "logs"),
        "run_name": "a",
        "bit": 32,
        "batch_size": 60,
        "Epoch": 3,
        "MAX_ITER": 8,
        "k_gph": 1,
        "QUERY_SIZE": QUERIES,
        "VERIFICATION_SIZE": VALIDATION,
        "panel_queries": 3,
        "histograms": False,
    } | changes


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = settings_of(data, folder)
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
    names = {"Qi", "Qt", "Qu", "Di", "Dt", "Du"}
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
    assert {name for name in names if name.startswith("loss")} == {
        f"loss graph/{direction}" for direction in ("I->T", "T->I", "I->pair", "T->pair")
    }
    assert not [name for name in names if "mAP" in name or ("->pair" in name and "loss" not in name)]
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


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_exported_model_and_its_tflite_encoders_give_the_codes_of_the_run(finished, data):
    run, arrays = finished / "runs" / "a", np.load(data / "any.npz")
    rows, codes = np.load(run / "split.npz")["query"], scipy.io.loadmat(run / "files_32.mat")
    features, texts = arrays["features"][rows], arrays["texts"][rows].astype(np.float32)
    model, signatures = gch.load(run / "export"), tf.saved_model.load(run / "export").signatures
    pairs = signatures["encode_pair"](features=tf.constant(features), texts=tf.constant(texts))
    packed = {
        "Qi": model.encode_image_vectors(features),
        "Qt": model.encode_text_vectors(texts),
        "Qu": pairs["codes"].numpy(),
    }
    for name, found in packed.items():
        differ = (np.unpackbits(found, axis=1) > 0) != (codes[name] > 0)
        assert differ.mean() < 1e-3  # a relaxed code of nearly 0
    for name, given, inputs in (("image", "features", features), ("text", "texts", texts)):
        lite = tf.lite.Interpreter(str(run / "export" / "lite" / f"{name}.tflite")).get_signature_runner()
        found = np.concatenate([lite(**{given: one[None]})["relaxed"] for one in inputs])
        expected = model.vector_outputs(name, inputs).relaxed
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_stopped_and_killed_run_ends_with_the_same_codes(finished, data, tmp_path, monkeypatch):
    """Stopped in the first outer epoch after some steps; killed in the second, whose steps are lost."""
    settings = make_settings(settings_of(data, tmp_path, plots=False, panel_queries=0))
    losses = Summaries.losses

    def interrupt(how: Callable[[], object], epoch: int):
        def interrupted(self, stage, step, *parts):
            losses(self, stage, step, *parts)
            if step > 8 * epoch + 2:
                how()

        monkeypatch.setattr(Summaries, "losses", interrupted)

    class Killed(Exception):
        pass

    def kill():
        raise Killed

    interrupt(lambda: signal.raise_signal(signal.SIGINT), 0)
    with pytest.raises(KeyboardInterrupt, match=r"outer epoch 1, stage graph, step [3-7]"):
        run_job(settings)
    interrupt(kill, 1)
    with pytest.raises(Killed):
        run_job(settings)
    monkeypatch.setattr(Summaries, "losses", losses)
    run_job(settings)
    one, other = (scipy.io.loadmat(folder / "runs" / "a" / "files_32.mat") for folder in (finished, tmp_path))
    for name in ("Qi", "Qt", "Qu", "Di", "Dt", "Du"):
        np.testing.assert_array_equal(one[name], other[name])


COLOURS = {"red": (230, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (240, 240, 240)}


def collection(folder: Path) -> list[set[str]]:
    """Pictures of two colours, with a caption for each; returns the colours."""
    random, found, rows = np.random.default_rng(3), [], ["path,text"]
    for row in range(120):
        names = [str(name) for name in random.choice(list(COLOURS), 2, replace=False)]
        pixels = np.repeat([COLOURS[name] for name in names], 16, axis=0)[None].repeat(32, axis=0)
        pixels = pixels + random.normal(scale=10, size=pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{row}.png")
        rows.append(f'{row}.png,"a {names[0]} field\na {names[1]} field"')
        found.append(set(names))
    (folder / "captions.csv").write_text("\n".join(rows))
    return found


def test_words_find_the_things_of_a_collection_of_pictures_with_captions(tmp_path):
    """By a backbone and an encoder of texts of the user's, all of which the exported model holds."""
    for name in ("pictures", "models"):
        (tmp_path / name).mkdir()
    colours = collection(tmp_path / "pictures")
    small_backbone().save(tmp_path / "models" / "pictures.keras")
    strings = keras.Input((), dtype="string")
    counts = keras.layers.TextVectorization(output_mode="count", vocabulary=["field", *COLOURS])(strings)
    start = keras.initializers.Orthogonal(seed=0)
    vectors = keras.layers.Dense(8, kernel_initializer=start)(counts)
    keras.Model(strings, vectors).save(tmp_path / "models" / "texts.keras")
    changes = {
        "dataset_dir": "collection",
        "image_size": 64,
        "netStr": str(tmp_path / "models" / "pictures.keras"),
        "txtStr": str(tmp_path / "models" / "texts.keras"),
        "Epoch": 1,
        "MAX_ITER": 60,
        "QUERY_SIZE": 20,
        "VERIFICATION_SIZE": 10,
        "plots": False,
        "panel_queries": 0,
    }
    run = gch.train(**settings_of(tmp_path / "pictures", tmp_path, **changes))
    model = gch.load(run.export())
    shutil.rmtree(tmp_path / "models")
    pictures = [tmp_path / "pictures" / f"{row}.png" for row in range(120)]
    codes = model.encode_images(pictures)
    for colour in COLOURS:
        query = model.encode_texts([f"a {colour} field"])
        nearest = np.bitwise_count(codes ^ query).sum(axis=1).argsort(kind="stable")[:10]
        found = sum(colour in colours[row] for row in nearest)
        assert found >= 8  # by chance 5
    captions = [tuple(f"a {colour} field" for colour in sorted(one)) for one in colours]
    away = np.bitwise_count(model.encode_pairs(pictures, captions) ^ model.encode_texts(["a red field"]))
    assert all("red" in colours[row] for row in away.sum(axis=1).argsort(kind="stable")[:10])
