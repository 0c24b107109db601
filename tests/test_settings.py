import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gch.errors import SettingError
from gch.settings import Settings, describe
from gch.settings_file import known_presets, load_settings, meaning, read_assignments


@pytest.fixture(scope="module")
def shipped(repository):
    return repository / "setting.py"


def test_the_shipped_file_gives_every_setting(shipped):
    values = read_assignments(shipped)
    assert list(values) == [field.name for field in dataclasses.fields(Settings)]


def test_a_flag_wins_over_the_preset_and_the_preset_over_the_file(shipped):
    assert load_settings(shipped, {}).pair_loss == "likelihood"
    reference = load_settings(shipped, {"preset": "reference"})
    assert (reference.pair_loss, reference.start, reference.decay) == ("squared", "normal", 0.5)
    assert reference.bit == load_settings(shipped, {}).bit
    assert load_settings(shipped, {"preset": "reference", "decay": 0.9}).decay == 0.9


@pytest.mark.parametrize(("preset", "dataset"), [("flickr25k", "FLICKR"), ("openmoji", "OpenMoji")])
def test_the_preset_of_a_data_set_changes_nothing_else(shipped, preset, dataset):
    plain = dataclasses.asdict(load_settings(shipped, {}))
    changed = dataclasses.asdict(load_settings(shipped, {"preset": preset}))
    assert changed == plain | {"preset": preset, "dataset_dir": dataset}


def test_the_preset_of_gchs_original_has_its_schedule(shipped):
    values = dataclasses.asdict(load_settings(shipped, {"preset": "reference"}))
    schedule = {"Epoch": 500, "batch_size": 128, "MAX_ITER": 100, "decay": 0.5, "decay_steps": 1}
    rounds = {"k_lab": 10, "k_txt": 5, "k_img": 5, "k_gph": 5, "k_txt_g": 5, "k_img_g": 5}
    rates = {"lr_lab": 1e-2, "lr_txt": 1e-2, "lr_img": 1e-4, "lr_backbone": 1e-4, "lr_gph": 1e-3}
    expected = schedule | rounds | rates
    assert {name: values[name] for name in expected} == expected


ORIGINAL_OPTIONS = {  # of AGAH, as its help prints them, by the names of settings
    "dataset_dir": "FLICKR",
    "DATABASE_SIZE": 18015,
    "num_label": 24,
    "tag_dim": 1386,
    "QUERY_SIZE": 2000,
    "TRAINING_SIZE": 10000,
    "batch_size": 128,
    "SEMANTIC_EMBED": 512,
    "valid": True,
    "valid_freq": 2,
    "Epoch": 300,
    "bit": 64,
    "lr": 1e-4,
    "alpha": 1.0,
    "beta": 0.0,
    "gamma": 1e-3,
    "eta": 1.0,
    "mu": 1.0,
    "delta": 0.5,
    "lambd": 0.8,
    "margin": 0.3,
    "data_enhance": False,
    "load_model_path": "",
}


def test_the_presets_of_agah_have_the_originals_options(shipped):
    for preset in ("agah_paper", "agah_reference"):
        values = dataclasses.asdict(load_settings(shipped, {"preset": preset}))
        assert values["method"] == "agah"
        assert {name: values[name] for name in ORIGINAL_OPTIONS} == ORIGINAL_OPTIONS


def test_only_the_reference_of_agah_keeps_the_originals_faults(shipped):
    mended, reference = (
        dataclasses.asdict(load_settings(shipped, {"preset": preset}))
        for preset in ("agah_paper", "agah_reference")
    )
    differ = {name: (mended[name], reference[name]) for name in mended if mended[name] != reference[name]}
    assert differ == {
        "preset": ("agah_paper", "agah_reference"),
        "netStr": ("vggf", "vggf-agah"),
        "feature_norm": ("item", "batch"),
        "decay_early": (False, True),
        "best_on": ("validation", "query"),
        "VERIFICATION_SIZE": (-1, 0),
    }


def test_settings_are_frozen(shipped):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings(shipped, {}).bit = 16


def test_every_setting_has_a_meaning_and_a_section():
    assert all(section and meaning(field) for section, field in describe())


def test_presets_change_only_what_differs_between_methods(repository):
    for preset in known_presets():
        values = read_assignments(repository / "gch" / "presets" / f"{preset}.py")
        assert "seed" not in values
        assert "bit" not in values


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"bit": 12}, ["bit is 12", "multiple of 8"]),
        ({"bit": 0}, ["bit is 0", "at least 8"]),
        ({"bit": "16"}, ["bit is '16'", "expected a int"]),
        ({"bits": 16}, ["unknown setting bits", "bit?"]),
        ({"phase": "tain"}, ["'tain'", "'train', 'test'"]),
        ({"lr_img": 0.0}, ["lr_img is 0.0", "more than 0"]),
        ({"lr_img": float("nan")}, ["finite"]),
        ({"decay": 1.5}, ["at most 1"]),
        ({"histograms": 1}, ["histograms is 1", "bool"]),
        ({"graph": "tree"}, ["'tree'", "'label'"]),
        ({"teacher": False, "graph": "none"}, ["teacher is False", "'none'"]),
        ({"seed": True}, ["seed is True", "int"]),
        ({"preset": "other"}, ["'other'", "'reference'"]),
        ({"dataset_dir": "wiki"}, ["'wiki'", "OpenMoji, FLICKR, NUS-WIDE-TC21"]),
        ({"netStr": "resnet"}, ["'resnet'", "efficientnet-lite0, vggf"]),
        ({"QUERY_SIZE": 0}, ["QUERY_SIZE", "positive"]),
        ({"num_label": 0}, ["num_label", "positive"]),
        ({"lambd": 1.5}, ["lambd is 1.5", "at most 1"]),
        ({"txt_widths": "8192,"}, ["txt_widths is '8192,'", "8192,4096"]),
        ({"max_epoch": 3}, ["unknown setting max_epoch", "Epoch?"]),
        ({"method": "agah", "preset": "reference"}, ["'reference'", "method gch", "'agah'"]),
        ({"valid_freq": 0}, ["valid_freq is 0", "at least 1"]),
        ({"TRAINING_SIZE": 10, "batch_size": 11}, ["batch_size is 11", "TRAINING_SIZE 10"]),
        ({"run_name": "../other"}, ["run_name", "plain name"]),
        ({"select_gpu": "first"}, ["select_gpu is 'first'"]),
    ],
)
def test_wrong_values_are_named_in_one_line(shipped, flags, words):
    with pytest.raises(SettingError) as error:
        load_settings(shipped, flags)
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("bit = 16\n", ["phase is missing"]),
        ("bit = = 16\n", ["line 1", "SyntaxError"]),
        ("bit = undefined\n", ["NameError"]),
        ("bitt = 16\n", ["unknown setting bitt", "bit?"]),
        ("bit = 'many'\n", ["bit is 'many'", "expected a int"]),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, words):
    path = tmp_path / "setting.py"
    path.write_text(content)
    with pytest.raises(SettingError) as error:
        load_settings(path, {})
    assert str(path) in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match="no such file"):
        load_settings(tmp_path / "setting.py", {})


@given(bit=st.integers(-100, 400))
def test_only_positive_multiples_of_8_are_code_lengths(shipped, bit):
    if bit > 0 and bit % 8 == 0:
        assert load_settings(shipped, {"bit": bit}).bit == bit
    else:
        with pytest.raises(SettingError, match="bit is"):
            load_settings(shipped, {"bit": bit})
