"""DCMH: its loss by hand, that it learns, and that the registration is all it takes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from entry import small_backbone, uncompiled
from methods import OF_DCMH, PAIRS, build, opened, precision_at_10, stage, step

import gch
from gch import session
from gch.methods.method import Batch


def test_the_loss_by_hand():
    """Two items in the batch, four in all, codes of 8 bits whose first two are not 0."""
    method = build(OF_DCMH, bit=8, gamma=2.0, eta=0.5)
    labels = np.zeros(method.items.labels.shape, np.float32)
    labels[:4, 0] = [1, 1, 0, 0]  # items 0 and 1 are similar, and 2 and 3, which share the other label
    labels[:4, 1] = [0, 0, 1, 1]

    def codes(*rows: list[float]) -> tf.Tensor:
        return tf.pad(tf.constant(rows), [[0, 0], [0, 6]])

    # The method with only four training items: F and G before the step, B from both.
    method.items = dataclasses.replace(method.items, labels=tf.Variable(labels[:4]), rows=np.arange(4))
    method.memories["image"] = tf.Variable(codes([0.0, 0.0], [1.0, -1.0], [3.0, 1.0], [0.0, -2.0]))
    method.memories["text"] = tf.Variable(codes([1.0, 1.0], [2.0, 0.0], [-1.0, 1.0], [0.0, 0.0]))
    image = {"relaxed": codes([2.0, 0.0], [0.0, 2.0]), "label": tf.zeros((2, labels.shape[1]))}
    update = stage(method, "pairs").updates[0]
    found = update.loss(Batch(tf.constant([0, 1]), None), {"image": image})

    # theta = F G^T / 2: rows of the batch, columns of the four texts; S is 1 in the first two columns.
    theta = np.array([[1.0, 2.0, -1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    pair = (np.log1p(np.exp(theta)).sum() - (1 + 2 + 1 + 0)) / 8
    # B = sign of [1, 1] and [3, -1] in the first two bits, +1 in the others, whose F is 0.
    quantization = 2.0 * ((1 - 2) ** 2 + 1 + 1 + (-1 - 2) ** 2 + 2 * 6) / 8
    # Sums over F with the batch's new codes: 2 + 0 + 3 + 0 and 0 + 2 + 1 - 2.
    balance = 0.5 * (5**2 + 1**2) / 8
    expected = {"pair": pair, "quantization": quantization, "balance": balance, "label": np.log(2)}
    found = {part: float(value) for part, value in found.items()}
    assert found == pytest.approx({f"{part} image": value for part, value in expected.items()}, rel=1e-6)


def test_each_network_is_trained_against_the_codes_of_the_other_and_both_are_remembered():
    method = build(OF_DCMH)
    batch = tf.range(20)
    before = {name: memory.numpy() for name, memory in method.memories.items()}
    outputs = stage(method, "pairs").forward(Batch(batch, tf.gather(method.items.images, batch)))
    step(method, "pairs", batch, tf.gather(method.items.images, batch))
    for modality, memory in method.memories.items():
        np.testing.assert_allclose(memory[:20], outputs[modality]["relaxed"], atol=1e-6)
        np.testing.assert_array_equal(memory[20:], before[modality][20:])
    assert [len(update.trains) for update in stage(method, "pairs").updates] == [4, 6]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns(jit_compile):
    method = build(OF_DCMH, k_dcmh=40)
    run = opened(method, "pairs", jit_compile)
    first = run(5)
    run(110)
    last = run(5)
    for modality in ("image", "text"):
        assert last[f"pair {modality}"] < 0.7 * first[f"pair {modality}"]
        assert last[f"label {modality}"] < first[f"label {modality}"]
    assert precision_at_10(method.encoders) > 0.3


def test_codes_are_the_signs_of_what_is_learned():
    output = build(OF_DCMH).encoders["text"](PAIRS.texts[:5].astype(np.float32))
    np.testing.assert_allclose(output["code"], np.tanh(output["relaxed"]), rtol=1e-6)
    assert output["label"].shape == (5, PAIRS.labels.shape[1])


@uncompiled()
def test_the_registration_is_all_it_takes(tmp_path, monkeypatch, capsys):
    """Training, test and export, by the name alone. Validation ranks a part of the retrieval set."""
    monkeypatch.setattr(session, "MOST_VALIDATED", 40)
    ranked, encode = [], session.encode

    def encoded(method, pairs, features, rows, left_out=None):
        ranked.append(rows)
        return encode(method, pairs, features, rows, left_out)

    monkeypatch.setattr(session, "encode", encoded)
    small_backbone().save(tmp_path / "small.keras")
    run = gch.train(
        method="dcmh", dataset_dir="generated", netStr=str(tmp_path / "small.keras"), image_size=64, bit=16,
        Epoch=1, batch_size=20, k_dcmh=2, txt_widths="32", QUERY_SIZE=20, DATABASE_SIZE=80, TRAINING_SIZE=60,
        VERIFICATION_SIZE=20, plots=False, panel_queries=0, histograms=False,
        DATA_DIR=str(tmp_path), checkpoint_dir=str(tmp_path / "runs"), log_dir=str(tmp_path / "logs"),
    )  # fmt: skip
    assert set(run.results["mAP"]) == {"I->T", "T->I", "I->I", "T->T"}
    assert "validation ranks 40 of 60 items, evenly spaced" in capsys.readouterr().out
    queries, some, _, whole = ranked
    rest = np.setdiff1d(whole, queries)
    assert (len(queries), len(some), len(whole), len(rest)) == (20, 40, 80, 60)
    places = np.searchsorted(rest, some)
    np.testing.assert_array_equal(rest[places], some)
    assert (places[0], places[-1]) == (0, 59)
    assert set(np.diff(places)) == {1, 2}
    model = tf.saved_model.load(str(run.export()))
    assert model.encode_text(tf.zeros((3, 40)))["codes"].shape == (3, 2)
