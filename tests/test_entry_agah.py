"""AGAH by the real entry point, on real pairs: OpenMoji, small."""

import json

import numpy as np
import pytest
from entry import SCHEDULE, SIZES, Command, Killed, interrupted, kill, save_small_backbone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

AGAH = {"method": "agah", "k_agah": 3, "txt_widths": "512,256", "lr": 3e-4}
STEPS = AGAH["k_agah"] * SIZES["TRAINING_SIZE"] // SCHEDULE["batch_size"]  # in an outer epoch
CUTOFFS = (1, *range(100, 1001, 100))


class Agah(Command):
    """The command with AGAH's settings."""

    def flags(self, **settings):
        return super().flags(**(AGAH | settings))

    @property
    def results(self) -> dict:
        return json.loads((self.run_folder / "results.json").read_text())


@pytest.fixture
def command(repository, tmp_path, data):
    return Agah(repository, tmp_path, data)


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory, data):
    """A run that was never interrupted, and what it printed."""
    command = Agah(repository, tmp_path_factory.mktemp("finished"), data)
    return command, command.run()[0]


def test_training_retrieves_better_than_chance_and_leaves_what_gch_leaves(finished):
    command, output = finished
    assert command.run_folder.name == "openmoji_agah_efficientnet-lite0_16_seed5"
    codes, results = command.codes(), command.results
    assert codes["Qi"].shape == (100, 16)
    relevant = (codes["query_L"].astype(int) @ codes["retrieval_L"].T.astype(int) > 0).mean()
    for direction in ("I->T", "T->I"):
        assert results["mAP"][direction] > 1.5 * relevant, direction
        assert f"{direction} {results['mAP'][direction]:.4f}" in output
    assert results["training"]["best_epoch_chosen_on"] == "validation"
    assert list(results["training"]["epochs"][0]["stages"]) == ["pairs"]
    names = {path.name for path in command.run_folder.iterdir()}
    assert {"best", "latest", "settings.json", "history.json", "split.npz", "openmoji_16.mat"} <= names


def test_the_curves_of_the_original_are_saved(finished):
    command, _ = finished
    found = command.results["evaluation"]["T->I"]
    assert len(found["radius"]["precision"]) == len(found["radius"]["recall"]) == 17
    assert {rank for rank in CUTOFFS if rank <= 600} <= set(found["rank"]["rank"])


def test_tensorboard_shows_the_discriminators(finished):
    command, _ = finished
    (log,) = (command.folder / "logs").iterdir()
    events = EventAccumulator(str(log))
    events.Reload()
    tags = events.Tags()
    assert {
        "loss pairs/triplet I->T",
        "loss pairs/adversarial",
        "loss pairs/discriminator image",
        "loss pairs/penalty text",
        "learning rate/pairs",
        "mAP of the validation set/I->T",
    } <= set(tags["tensors"]) | set(tags["scalars"])
    assert tags["graph"]


def test_the_test_phase_repeats_the_figures(finished):
    command, _ = finished
    before = command.results
    command.run("test")
    after = command.results
    assert after["mAP"] == before["mAP"]
    assert after["digests"] == before["digests"]


def test_a_killed_run_ends_with_the_same_codes(finished, command):
    """Killed within a pass of the second outer epoch."""
    with interrupted("pairs", STEPS + 2, kill), pytest.raises(Killed):
        command.run(checkpoint_minutes=0)
    output, _ = command.run(checkpoint_minutes=0)
    assert "outer epoch 2, stage" in output
    assert "Outer epoch 1/2" not in output
    reference, _ = finished
    for name, array in reference.codes().items():
        np.testing.assert_array_equal(command.codes()[name], array)
    assert command.results["digests"] == reference.results["digests"]


def test_reference_mode_says_what_the_best_epoch_was_chosen_on(command):
    sizes = {"QUERY_SIZE": 100, "DATABASE_SIZE": 600, "TRAINING_SIZE": 400, "num_label": 47, "tag_dim": -1}
    output, _ = command.run(
        preset="agah_reference",
        dataset="OpenMoji",
        netStr="efficientnet-lite0",
        backbone="frozen",
        split="random",
        Epoch=3,
        **sizes,
    )
    assert "chosen on this same set" in output
    results = command.results
    assert results["training"]["best_epoch_chosen_on"] == "query"
    assert ["score" in epoch for epoch in results["training"]["epochs"]] == [False, True, True]
    assert {f"precision@{rank}" for rank in CUTOFFS} <= set(results["evaluation"]["I->T"]["measures"])
    assert command.run_folder.name.startswith("openmoji_agah-reference_efficientnet")


def test_a_run_starts_from_the_weights_of_another(finished, command):
    first, _ = finished
    output, _ = command.run(load_model_path=first.run_folder, Epoch=1, k_agah=1, lr=1e-9)
    assert f"weights of {first.run_folder}" in output
    # It goes nowhere at that rate: but for bits next to 0, the codes are those of the other run.
    agreement = (command.codes()["Di"] == first.codes()["Di"]).mean()
    assert agreement > 0.98
    _, error = command.run(expect=1, load_model_path=command.folder, run_name="other")
    assert "load_model_path" in error
    assert error.count("\n") == 1


def test_a_trained_backbone_and_mixed_pairs(command):
    small = command.folder / "small.keras"
    save_small_backbone(small)
    settings = {"TRAINING_SIZE": 60, "batch_size": 20, "DATABASE_SIZE": 150, "Epoch": 1, "k_agah": 1}
    settings |= {"netStr": small, "backbone": "trained", "data_enhance": True, "valid": False}
    output, _ = command.run(**settings)
    assert "validation" not in output.split("Outer epoch")[1]
    assert command.results["training"]["best_epoch_chosen_on"] == "last"
    codes = command.codes()
    command.run("test", **settings)
    for name, array in command.codes().items():
        np.testing.assert_array_equal(array, codes[name])


def test_mixed_precision_learns_too(command):
    small = command.folder / "small.keras"
    save_small_backbone(small)
    command.run(netStr=small, precision="mixed_float16", Epoch=1, SEMANTIC_EMBED=64, txt_widths="64,64")
    assert command.results["mAP"]["T->I"] > 0.2


@pytest.mark.parametrize(("name", "found"), [("num_label", "47 labels"), ("tag_dim", "words")])
def test_data_of_another_size_than_expected_end_the_run(command, name, found):
    _, error = command.run(expect=1, **{name: 24})
    assert f"{name} is 24" in error
    assert found in error
