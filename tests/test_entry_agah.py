"""AGAH by the real entry point, on generated pairs."""

import numpy as np
import pytest
from entry import Command, uncompiled

AGAH = {"method": "agah", "Epoch": 1, "k_agah": 6, "txt_widths": "128,64", "SEMANTIC_EMBED": 128, "lr": 1e-3}
CUTOFFS = (1, *range(100, 1001, 100))


@pytest.fixture
def command(repository, tmp_path, data):
    return Command(repository, tmp_path, data, **AGAH)


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory, data):
    """A run, and what it printed."""
    command = Command(repository, tmp_path_factory.mktemp("finished"), data, **AGAH)
    return command, command.run()[0]


def test_training_retrieves_better_than_chance_and_leaves_what_gch_leaves(finished):
    command, output = finished
    assert command.run_folder.name == "generated_agah_small_16_seed5"
    codes, results = command.codes(), command.results
    assert codes["Qi"].shape == (100, 16)
    for direction in ("I->T", "T->I"):
        assert results["mAP"][direction] > 1.5 * command.chance(), direction
        assert f"{direction} {results['mAP'][direction]:.4f}" in output
    assert results["training"]["best_epoch_chosen_on"] == "validation"
    assert list(results["training"]["epochs"][0]["stages"]) == ["pairs"]
    names = {path.name for path in command.run_folder.iterdir()}
    assert {"best", "latest", "settings.json", "history.json", "split.npz", "generated_16.mat"} <= names


def test_reference_mode_says_what_the_best_epoch_was_chosen_on(command):
    places = {"dataset": "generated", "dataset_dir": None, "backbone": "frozen", "split": "random"}
    expected = {"num_label": 8, "tag_dim": 40, "Epoch": 3, "k_agah": 1}
    output, _ = command.run(preset="agah_reference", **places, **expected)
    assert "chosen on this same set" in output
    results = command.results
    assert results["training"]["best_epoch_chosen_on"] == "query"
    assert ["score" in epoch for epoch in results["training"]["epochs"]] == [False, True, True]
    assert {f"precision@{rank}" for rank in CUTOFFS} <= set(results["evaluation"]["I->T"]["measures"])
    assert command.run_folder.name.startswith("generated_agah-reference_small")


def test_a_run_starts_from_the_weights_of_another(finished, command):
    first, _ = finished
    with uncompiled():
        output, _ = command.run(load_model_path=first.run_folder, k_agah=1, lr=1e-9)
    assert f"weights of {first.run_folder}" in output
    # It goes nowhere at that rate: but for bits next to 0, the codes are those of the other run.
    agreement = (command.codes()["Di"] == first.codes()["Di"]).mean()
    assert agreement > 0.98
    _, error = command.run(expect=1, load_model_path=command.folder, k_agah=1, lr=1e-9)
    assert "this run was started with load_model_path = " in error  # it needs no other run any more
    _, error = command.run(expect=1, load_model_path=command.folder, run_name="other")
    assert "load_model_path" in error
    assert error.count("\n") == 1
    _, error = command.run(expect=1, load_model_path=first.run_folder, run_name="wide", txt_widths="128,65")
    assert "a run with txt_widths = '128,64'; load_model_path expects one with '128,65'" in error
    assert error.count("\n") == 1


def test_a_trained_backbone_learns_in_mixed_precision_from_mixed_pairs(command):
    settings = {"backbone": "trained", "precision": "mixed_float16", "data_enhance": True}
    settings |= {"valid": False, "k_agah": 8}
    output, _ = command.run(**settings)
    assert command.results["mAP"]["T->I"] > 1.3 * command.chance()
    assert "validation" not in output.split("Outer epoch")[1]
    assert command.results["training"]["best_epoch_chosen_on"] == "last"
    codes, digests = command.codes(), command.results["digests"]
    command.run("test", **settings)
    assert command.results["digests"] == digests
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])
