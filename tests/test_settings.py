import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sources import refusal

from gch.errors import SettingError
from gch.settings import fields, known_presets, load_settings, read_assignments


@pytest.fixture(scope="module")
def shipped(repository):
    return repository / "setting.py"


def values(**given):
    return load_settings(None, given).values()


def test_the_shipped_file_gives_the_defaults(shipped):
    assert load_settings(shipped, {}) == load_settings(None, {})


def test_every_setting_has_a_default_that_it_may_have():
    for section, field in fields():
        assert section
        assert field.metadata["meaning"]
        assert values(**{field.name: field.default})


def test_a_flag_wins_over_the_preset_and_the_preset_over_the_file(tmp_path):
    path = tmp_path / "setting.py"
    path.write_text("bit = 32\nstart = 'uniform'\n")
    settings = load_settings(path, {"preset": "reference", "decay": 0.9})
    assert (settings.bit, settings.start, settings.decay) == (32, "normal", 0.9)
    assert settings.options.pair_loss == "squared"
    assert settings.decay_steps == 1  # its default


@pytest.mark.parametrize("name", ["DATA_DIR", "checkpoint_dir", "log_dir"])
def test_an_empty_folder_is_not_the_current_one(name):
    with pytest.raises(SettingError, match=rf"^{name} is ''; expected a folder, such as '\.'"):
        values(**{name: ""})
    assert values(**{name: "."})[name] == "."


def test_a_run_has_the_settings_of_its_method_alone():
    assert "margin" not in values()
    agah = values(method="agah", margin=0.5, graph="none")  # those of other methods may be given
    assert agah["margin"] == 0.5
    assert "graph" not in agah


def test_other_names_of_a_setting():
    settings = load_settings(None, {"max_epoch": 3, "data_path": "there", "graph_tie": 0.5})
    assert (settings.Epoch, settings.DATA_DIR, settings.options.graph_agreement) == (3, "there", 0.5)


def test_a_file_may_import_what_its_values_need(tmp_path):
    path = tmp_path / "setting.py"
    path.write_text("import os\nfrom pathlib import Path\nDATA_DIR = Path('there')\nbit = int('32')\n")
    settings = load_settings(path, {})
    assert (settings.DATA_DIR, settings.bit) == ("there", 32)
    path.write_text("bit = int")
    with refusal("bit is .*; expected a whole number", path, SettingError):
        load_settings(path, {})


def test_paths_and_numbers_of_numpy_are_taken():
    given = {"DATA_DIR": Path("there"), "bit": np.int64(32), "lr_txt": np.float32(0.5)}
    settings = values(**given, plots=np.bool_(False))
    for name, value in (("DATA_DIR", "there"), ("bit", 32), ("lr_txt", 0.5), ("plots", False)):
        assert (settings[name], type(settings[name])) == (value, type(value))


def test_a_setting_of_another_method_is_named(capsys):
    values(method="dcmh", lr_lab=0.5, lr_img=0.5)
    assert capsys.readouterr().out == "flag: lr_lab is a setting of another method; dcmh does not read it\n"


def test_a_retired_setting_is_accepted_with_a_notice(capsys):
    assert values(per_process_gpu_memory_fraction=0.5) == values()
    assert "per_process_gpu_memory_fraction is no longer used" in capsys.readouterr().out


def test_values_may_be_replaced_by_name_and_not_be_set():
    settings = load_settings(None, {}).replace(bit=8, graph="none")
    assert (settings.bit, settings.options.graph) == (8, "none")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.bit = 16


def test_the_preset_of_gchs_original_has_its_schedule():
    schedule = {"Epoch": 500, "batch_size": 128, "MAX_ITER": 100, "decay": 0.5, "decay_steps": 1}
    rounds = {"k_lab": 10, "k_txt": 5, "k_img": 5, "k_gph": 5, "k_txt_g": 5, "k_img_g": 5}
    rates = {"lr_lab": 1e-2, "lr_txt": 1e-2, "lr_img": 1e-4, "lr_backbone": 1e-4, "lr_gph": 1e-3}
    assert values(preset="reference").items() >= (schedule | rounds | rates).items()


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


def test_the_presets_of_agah_have_the_originals_options_and_only_the_reference_its_faults():
    ours, reference = values(preset="agah_paper"), values(preset="agah_reference")
    assert ours["method"] == "agah"
    assert ours.items() >= ORIGINAL_OPTIONS.items()
    differ = {name: (ours[name], reference[name]) for name in ours if ours[name] != reference[name]}
    assert differ == {
        "preset": ("agah_paper", "agah_reference"),
        "netStr": ("vggf", "vggf-agah"),
        "feature_norm": ("item", "batch"),
        "decay_early": (False, True),
        "best_on": ("validation", "query"),
        "VERIFICATION_SIZE": (-1, 0),
    }


def test_presets_leave_seed_and_length_alone(repository):
    for preset in known_presets():
        found = read_assignments(repository / "gch" / "presets" / f"{preset}.py")
        assert not {"seed", "bit"} & found.keys()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"bit": 12}, "bit is 12.*multiple of 8"),
        ({"bit": 0}, "bit is 0.*at least 8"),
        ({"bit": "16"}, "bit is '16'; expected a whole number"),
        ({"bits": 16}, r"unknown setting bits.*bit\?"),
        ({"phase": "tain"}, "'tain'.*'train', 'test'"),
        ({"lr_img": 0.0}, r"lr_img is 0\.0.*more than 0"),
        ({"lr_img": float("nan")}, "finite"),
        ({"histograms": 1}, "histograms is 1; expected True or False"),
        ({"graph": "tree"}, "'tree'.*'label'"),
        ({"teacher": False, "graph": "none"}, "teacher is False.*'none'"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"cutoffs": [5, 10]}, r"cutoffs is \[5, 10\]; expected a text"),
        ({"bit": np.array([16])}, r"bit is array\(\[16\]\); expected a whole number"),
        ({"preset": "other"}, "'other'.*'reference'"),
        ({"dataset_dir": "wiki"}, "'wiki'.*OpenMoji, FLICKR, NUS-WIDE-TC21"),
        ({"netStr": "resnet"}, "'resnet'.*efficientnet-lite0, vggf"),
        ({"QUERY_SIZE": 0}, "QUERY_SIZE.*positive"),
        ({"num_label": 0}, "num_label.*positive"),
        ({"lambd": 1.5}, r"lambd is 1\.5.*at most 1"),
        ({"method": "agah", "txt_widths": "8192,"}, "txt_widths is '8192,'.*8192,4096"),
        ({"cutoffs": "²"}, "cutoffs is '²'.*10,100,1000"),
        ({"max_epoch": 3, "Epoch": 3}, "Epoch is given twice"),
        ({"method": "agah", "preset": "reference"}, "'reference'.*method 'gch'.*'agah'"),
        ({"TRAINING_SIZE": 10, "batch_size": 11}, "batch_size is 11.*TRAINING_SIZE 10"),
        ({"run_name": "../other"}, "run_name.*plain name"),
        ({"select_gpu": "²"}, "select_gpu is '²'"),
        ({"select_gpu": "9" * 5000}, "select_gpu is"),
        ({"cutoffs": "٣"}, "cutoffs is '٣'"),
        ({"cutoffs": "9" * 5000}, "cutoffs is '99.*up to 9 digits"),
        ({"bit": 8 * 10**22}, "bit is 8000.*at most 65536"),
        ({"bit": 10**5000}, "bit is a number of thousands of digits.*at most 65536"),
        ({"Epoch": 10**20}, "Epoch is 1000.*at most 2147483647"),
        ({"Epoch": 1e20}, r"Epoch is 1e\+20; expected a whole number"),
        ({"decay": -(10**5000)}, "decay is a number of thousands.*at least -2147483647"),
        ({"lr_img": 10**400}, "lr_img is 1000.*at most"),
        ({"image_size": 100_000}, "image_size is 100000.*at most 16384"),
    ],
)
def test_wrong_values_are_named_in_one_line(flags, words):
    with refusal(words, fault=SettingError):
        load_settings(None, flags)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("bit = = 16\n", "line 1.*SyntaxError"),
        ("bit = undefined\n", "NameError"),
        ("bitt = 16\n", r"unknown setting bitt.*bit\?"),
        ("bit = 'many'\n", "bit is 'many'; expected a whole number"),
        (None, "not found"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, words):
    path = tmp_path / "setting.py"
    if content:
        path.write_text(content)
    with refusal(words, path, SettingError):
        load_settings(path, {})
