"""The real entry point: on real pairs, OpenMoji, with the networks of setting.py; and on generated ones."""

import json

import numpy as np
import pytest
import scipy.io
from entry import DCMH, LONGEST, Command, uncompiled, wait_for_checkpoint
from records import undrawn, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gch.cli import main
from gch.evaluation.codes import coded_items
from gch.evaluation.evaluate import mean_average_precision
from gch.evaluation.own_half import own_half
from gch.settings import load_settings
from gch.storage import lock

REAL = {"dataset_dir": None, "netStr": None, "image_size": 32}
REAL |= {"panel_queries": 2, "plots": True, "histograms": True}
REAL |= {"DATABASE_SIZE": 600, "TRAINING_SIZE": 400, "VERIFICATION_SIZE": 80}


@pytest.fixture
def command(repository, tmp_path, data):
    return Command(repository, tmp_path, data)


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory, data):
    """A run on real pairs, and what it printed."""
    command = Command(repository, tmp_path_factory.mktemp("finished"), data, **REAL)
    with undrawn():
        return command, command.run()[0]


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
    results = command.results
    for direction, precision in results["mAP"].items():
        # Two outer epochs on 400 pairs already retrieve far better than chance.
        assert precision > 1.5 * command.chance(), direction
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


def test_it_can_be_tested_without_own_entries_of_training_items_and_is_not_trained_again(finished, capsys):
    command, _ = finished
    before, codes = command.results, command.codes()
    path = command.run_folder / "settings.json"
    started = json.loads(path.read_text())
    del started["settings"]["own_neighbour"]  # as a version without that setting left it
    path.write_text(json.dumps(started))
    assert main(["gch", "test", str(command.run_folder), "--own_neighbour=False", "--plots=False"]) == 0
    assert "without their own entries" in capsys.readouterr().out
    after, others = command.results, command.codes()
    assert after["mAP_not_trained_on"] == before["mAP_not_trained_on"]
    for direction in ("I->T", "T->I"):
        assert after["mAP"][direction] < before["mAP"][direction]
    split = np.load(command.run_folder / "split.npz")
    trained = np.isin(split["retrieval"], split["training"])
    for name in ("Qi", "Qt"):
        np.testing.assert_array_equal(others[name], codes[name])
    for name in ("Di", "Dt", "Du"):
        np.testing.assert_array_equal(others[name][~trained], codes[name][~trained])
        assert (others[name][trained] != codes[name][trained]).any()

    output, _ = command.run(plots=False)
    assert "Outer epoch" not in output
    assert {**command.results, "settings": 0} == {**before, "settings": 0}
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])


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
    started = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert command.run_folder.name.encode() in started  # the name of the run in the table


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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_stage(command):
    with uncompiled():
        _, error = command.run(expect=1, lr_txt=1e38, **DCMH)
    assert "of stage pairs is" in error
    assert error.count("\n") == 1


def test_reference_mode_runs_all_stages_of_the_graph_of_a_batch(command):
    with uncompiled():
        output, _ = command.run(preset="reference", Epoch=1, MAX_ITER=2, k_lab=1, k_txt=1, k_img=1)
    (epoch,) = command.results["training"]["epochs"]
    names = ["label", "text/label", "image/label", "graph", "text/graph", "image/graph"]
    assert list(epoch["stages"]) == names
    assert "graph and teacher" in epoch["agreement"]
    assert "Query set, weights of outer epoch 1" in output


def test_a_trained_backbone_streams_its_pixels(command):
    settings = {"TRAINING_SIZE": 60, "batch_size": 20, "DATABASE_SIZE": 150, "Epoch": 1, "MAX_ITER": 2}
    settings |= {"backbone": "trained", "teacher": False, "k_txt": 0, "k_img": 1}
    command.run(**settings)
    (epoch,) = command.results["training"]["epochs"]
    assert list(epoch["stages"]) == ["image/label", "graph"]
    # The neighbours are found with the trained features, which a checkpoint must hold.
    codes = command.codes()
    command.run("test", **settings | {"Epoch": 3})
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])
    assert command.results["settings"]["Epoch"] == 1  # as many as it has


def test_a_killed_sweep_goes_on_where_it_was(repository, tmp_path, data, monkeypatch):
    """One of its two runs is finished, and it is killed within the other, which ends with the same codes."""
    flags = DCMH | {"k_dcmh": 30, "checkpoint_minutes": 0}
    alone = Command(repository, tmp_path / "alone", data, **flags)
    alone.run()
    flags |= {"bits": "8,16", "seeds": "5", "methods": "dcmh", "out": tmp_path / "tables"}
    sweep = Command(repository, tmp_path, data, **flags | dict.fromkeys(("bit", "seed", "method")))
    first, second = (tmp_path / "runs" / f"generated_dcmh_small_{bit}_seed5" for bit in (8, 16))
    write_run(first, load_settings(None, alone.results["settings"] | {"bit": 8}))
    written = (first / "results.json").stat().st_mtime_ns
    process = sweep.start("sweep")
    wait_for_checkpoint(second, process)
    process.kill()  # alone: the run that it has begun ends with it
    process.communicate(timeout=LONGEST)
    lock(second, "the killed run ends", wait=True).release()

    def run_here(arguments, environment):
        return main(["main_itpair.py", *arguments], repository / "setting.py"), ""

    monkeypatch.setattr("gch.commands.sweep.run_child", run_here)
    output, _ = sweep.run("sweep")
    assert "Runs of this sweep: 2; finished before: 1" in output
    assert f"Resuming {second}: outer epoch" in output
    assert (first / "results.json").stat().st_mtime_ns == written
    found = scipy.io.loadmat(second / "generated_16.mat")
    for name, array in alone.codes().items():
        np.testing.assert_array_equal(array, found[name])
    line = (tmp_path / "tables" / "sweep.md").read_text().splitlines()[3]
    assert f"| 16 | {alone.results['mAP']['I->T']:.4f} |" in line


def test_eval_of_a_run_finds_what_its_test_found(finished, tmp_path):
    command, _ = finished
    with undrawn():
        output, _ = command.run("eval", str(command.run_folder), out=tmp_path / "evaluation")
    results = command.results
    assert f"{results['mAP']['I->T']:.4f}" in output
    found = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    for key in ("evaluation", "evaluation_not_trained_on"):
        (evaluation,) = found[key.replace("evaluation", "evaluations", 1)].values()
        for direction in results[key].values():
            del direction["measures"]["mAP_asymmetric"]  # the file holds signs
        assert evaluation == results[key]
    assert f"{results['mAP_not_trained_on']['I->T']:.4f}" in output
