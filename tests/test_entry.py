"""The real entry point on real pairs: OpenMoji, small."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest
from entry import LONGEST, Command, interrupted, read_until, save_small_backbone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gch.evaluation.codes import coded_items
from gch.evaluation.evaluate import mean_average_precision
from gch.evaluation.own_half import own_half


@pytest.fixture
def command(repository, tmp_path, data):
    return Command(repository, tmp_path, data)


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory, data):
    """A run that was never interrupted, and what it printed."""
    command = Command(repository, tmp_path_factory.mktemp("finished"), data)
    return command, command.run(plots=True)[0]


def test_training_leaves_codes_figures_and_checkpoints(finished):
    command, output = finished
    codes = command.codes()
    assert {name: array.shape for name, array in codes.items()} == {
        "Qi": (100, 16),
        "Qt": (100, 16),
        "Di": (600, 16),
        "Dt": (600, 16),
        "Qu": (100, 16),
        "Du": (600, 16),
        "query_L": (100, 47),
        "retrieval_L": (600, 47),
    }
    assert all(set(np.unique(codes[name])) == {-1, 1} for name in ("Qi", "Qt", "Qu", "Di", "Dt", "Du"))
    results = json.loads((command.run_folder / "results.json").read_text())
    relevant = (codes["query_L"].astype(int) @ codes["retrieval_L"].T.astype(int) > 0).mean()
    for direction, precision in results["mAP"].items():
        # Two outer epochs on 400 pairs already retrieve far better than chance.
        assert precision > 1.5 * relevant, direction
        assert f"{direction} {precision:.4f}" in output
        assert f"{direction} {results['mAP_asymmetric'][direction]:.4f}" in output
    new = ~np.isin(
        np.load(command.run_folder / "split.npz")["retrieval"],
        np.load(command.run_folder / "split.npz")["training"],
    )
    assert results["retrieval_not_trained_on"] == 200
    over_new = mean_average_precision(
        coded_items(codes["Qi"], codes["query_L"]), coded_items(codes["Dt"][new], codes["retrieval_L"][new])
    )
    assert results["mAP_not_trained_on"]["I->T"] == pytest.approx(over_new)
    own = own_half(*(coded_items(codes[name], codes["query_L"]) for name in ("Qi", "Qt"))).means()
    for name, value in own.items():
        assert results["own_half"]["I->T"]["measures"][name]["mean"] == pytest.approx(value)
    told = f"I->T {results['mAP']['I->T']:.4f} / {over_new:.4f}  T->I"
    assert told in output.strip().splitlines()[-1]
    for epoch in results["training"]["epochs"]:
        # 120 items are neither trained on nor validation queries; those rank each other as well.
        assert 0 < epoch["mAP_not_trained_on"]["T->I"] < 1
    assert 0 < results["codes"]["retrieval"]["text"]["bit_balance"] < 0.5
    assert results["settings"]["bit"] == 16
    assert results["versions"]["tensorflow"]
    assert set(results["digests"]) == {"data", "split", "items", "backbone", "weights"}
    assert [epoch["epoch"] for epoch in results["training"]["epochs"]] == [1, 2]
    scores = [epoch["score"] for epoch in results["training"]["epochs"]]
    assert results["training"]["best_epoch"] == 1 + int(np.argmax(scores))
    for ring in ("latest", "best"):
        assert (command.run_folder / ring / "checkpoint").is_file()


def test_the_split_is_saved_and_disjoint(finished):
    command, _ = finished
    split = np.load(command.run_folder / "split.npz")
    assert {name: len(split[name]) for name in split} == {
        "query": 100,
        "retrieval": 600,
        "training": 400,
        "validation": 80,
    }
    assert not np.intersect1d(split["query"], split["retrieval"]).size


def test_the_test_phase_repeats_the_figures(finished):
    command, _ = finished
    before, codes = json.loads((command.run_folder / "results.json").read_text()), command.codes()
    command.run("test")
    after = json.loads((command.run_folder / "results.json").read_text())
    assert {key: value for key, value in after.items() if key != "settings"} == {
        key: value for key, value in before.items() if key != "settings"
    }
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])


def test_a_run_can_be_tested_without_the_own_entries_of_training_items(finished, repository, tmp_path, data):
    command, _ = finished
    before, codes = json.loads((command.run_folder / "results.json").read_text()), command.codes()
    shutil.copytree(command.folder / "runs", tmp_path / "runs")
    again = Command(repository, tmp_path, data)
    path = again.run_folder / "settings.json"
    started = json.loads(path.read_text())
    del started["settings"]["own_neighbour"]  # as a version without that setting left it
    path.write_text(json.dumps(started))
    output, _ = again.run("test", own_neighbour=False)
    assert "without their own entries" in output
    after, others = json.loads((again.run_folder / "results.json").read_text()), again.codes()
    assert after["mAP_not_trained_on"] == before["mAP_not_trained_on"]
    for direction in ("I->T", "T->I"):
        assert after["mAP"][direction] < before["mAP"][direction]
    split = np.load(again.run_folder / "split.npz")
    trained = np.isin(split["retrieval"], split["training"])
    for name in ("Qi", "Qt"):
        np.testing.assert_array_equal(others[name], codes[name])
    for name in ("Di", "Dt"):
        np.testing.assert_array_equal(others[name][~trained], codes[name][~trained])
        assert (others[name][trained] != codes[name][trained]).any()


def test_tensorboard_finds_everything(finished):
    command, _ = finished
    (log,) = (command.folder / "logs").iterdir()
    events = EventAccumulator(str(log), size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    names = set(tags["tensors"]) | set(tags["scalars"]) | set(tags["images"])
    assert {
        "loss label/pair",
        "loss text/label/code",
        "loss image/label/pair",
        "loss graph/I->T",
        "loss graph/I->pair",
        "learning rate/graph",
        "mAP of the validation set/I->T",
        "mAP of the validation set/I->T, new items",
        "mAP of the query set/T->I",
        "mAP of the query set/T->I, new items",
        "mAP of the query set/pair->pair, new items",
        "mAP of the validation set/I->pair",
        "mAP_asymmetric of the query set/T->pair",
        "own halves of the query set/recall@10 I->T",
        "own halves of the query set/median_rank_asymmetric T->I",
        "recall@10 of the validation set's own halves/I->T, new items",
        "plots of the query set/own_half",
        "seconds/label",
        "codes of teacher/bit_balance",
        "codes of image/quantization_error",
        "bits that agree/image and text",
        "settings",
        "relaxed codes/text",
        "validation set/I->T",
        "plots of the query set/precision_recall",
        "plots of the query set/map_by_label",
        "query set/T->I",
        "query set/pair->pair",
        "validation set/I->pair",
        "plots of the query set/precision_recall_pairs",
        "_hparams_/session_start_info",
    } <= names, names
    assert tags["graph"]


def test_a_finished_run_is_not_trained_again(finished):
    command, _ = finished
    codes = command.codes()
    output, _ = command.run()
    assert "Outer epoch" not in output
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])


def test_another_setting_does_not_touch_the_run(finished):
    command, _ = finished
    before = sorted(
        (path, path.stat().st_mtime_ns) for path in command.run_folder.rglob("*") if path.is_file()
    )
    _, error = command.run(expect=1, lr_txt=0.5, run_name=command.run_folder.name)
    assert "lr_txt = 0.003" in error
    assert "0.5" in error
    after = sorted(
        (path, path.stat().st_mtime_ns) for path in command.run_folder.rglob("*") if path.is_file()
    )
    assert before == after


def test_a_run_that_was_stopped_and_killed_ends_with_the_same_codes(finished, command):
    """Stopped by Ctrl-C within a stage of the first outer epoch, and killed within the second."""
    stop = interrupted("text/label", 2, lambda: signal.raise_signal(signal.SIGINT))
    plain = {"checkpoint_minutes": 0, "panel_queries": 0, "histograms": False}
    with stop, pytest.raises(KeyboardInterrupt, match=r" in outer epoch 1, stage text/label, step \d"):
        command.run(**plain)
    process = command.start(**plain)
    read_until(process, "Outer epoch 2/2")
    time.sleep(0.2)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    output, _ = command.run(**plain)
    # Starting over would give the same codes too: it must have gone on.
    assert "Resuming" in output
    assert "outer epoch 2, stage" in output
    assert "Outer epoch 1/2" not in output
    reference, _ = finished
    for name, array in reference.codes().items():
        np.testing.assert_array_equal(command.codes()[name], array)
    digests = [
        json.loads((one.run_folder / "results.json").read_text())["digests"] for one in (reference, command)
    ]
    assert digests[0] == digests[1]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_stage(command):
    _, error = command.run(expect=1, lr_txt=1e38)
    assert "stage text/label" in error
    assert error.count("\n") == 1


def test_a_graph_of_a_batch_runs_all_its_stages(command):
    output, _ = command.run(graph="batch", Epoch=1)
    results = json.loads((command.run_folder / "results.json").read_text())
    stages = results["training"]["epochs"][0]["stages"]
    assert list(stages) == ["label", "text/label", "image/label", "graph", "text/graph", "image/graph"]
    assert "graph and teacher" in results["training"]["epochs"][0]["agreement"]
    assert "Query set" in output


def test_reference_mode_runs_and_no_validation_means_the_last_epoch(command):
    output, _ = command.run(preset="reference", MAX_ITER=2, k_lab=1, k_gph=1, VERIFICATION_SIZE=0)
    assert "Query set, weights of outer epoch 2" in output


def test_mixed_precision_learns_too(command):
    # Small: without float16 in the processor a step of the full width takes a second.
    small = command.folder / "small.keras"
    save_small_backbone(small)
    output, _ = command.run(netStr=small, precision="mixed_float16", Epoch=1, SEMANTIC_EMBED=64, MAX_ITER=10)
    assert float(re.search(r"Query set.*: mAP over.*T->T (0\.\d+)", output)[1]) > 0.3


def test_a_trained_backbone_streams_its_pixels(command):
    small = command.folder / "small.keras"
    save_small_backbone(small)
    settings = {"TRAINING_SIZE": 60, "batch_size": 20, "k_img": 1, "k_img_g": 1, "DATABASE_SIZE": 150}
    settings["netStr"] = small
    output, _ = command.run(backbone="trained", Epoch=1, **settings)
    assert "image/label" in output
    assert "Query set" in output
    # The neighbours are found with the trained features, which a checkpoint must hold.
    codes = command.codes()
    command.run("test", backbone="trained", Epoch=1, **settings)
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])


def test_a_killed_sweep_goes_on_where_it_was(repository, tmp_path, data):
    command = Command(repository, tmp_path, data, leave_out=("bit", "seed"))
    flags = {"bits": "8,16", "seeds": "5", "out": tmp_path / "sweep", "Epoch": 1, "graph": "none"}
    sweep = command.start("sweep", **flags)
    while not sweep.stdout.readline().endswith("finished\n"):
        assert sweep.poll() is None
    (first,) = (tmp_path / "runs").glob("*_8_seed5/results.json")
    written = first.stat().st_mtime_ns
    sweep.kill()  # alone: the run that it has begun ends with it
    sweep.communicate(timeout=LONGEST)
    output, _ = command.run("sweep", **flags)
    assert "Sweep of 2 runs, 1 of them finished before" in output
    assert first.stat().st_mtime_ns == written
    lines = (tmp_path / "sweep" / "sweep.md").read_text().splitlines()[2:4]
    for bit, line in zip((8, 16), lines, strict=True):
        (path,) = (tmp_path / "runs").glob(f"*_{bit}_seed5/results.json")
        precision = json.loads(path.read_text())["mAP"]["I->T"]
        assert f"| {bit} | {precision:.4f} ± 0.0000 |" in line


def test_eval_of_a_run_finds_what_its_test_found(finished, tmp_path):
    command, _ = finished
    output, _ = command.run("eval", str(command.run_folder), out=tmp_path / "evaluation")
    results = json.loads((command.run_folder / "results.json").read_text())
    assert f"{results['mAP']['I->T']:.4f}" in output
    found = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    for key in ("evaluation", "evaluation_not_trained_on"):
        (evaluation,) = found[key.replace("evaluation", "evaluations", 1)].values()
        for direction in results[key].values():
            del direction["measures"]["mAP_asymmetric"]  # the file holds signs
        assert evaluation == results[key]
    assert f"{results['mAP_not_trained_on']['I->T']:.4f}" in output
