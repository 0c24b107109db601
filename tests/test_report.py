import functools
import html
import json
import re

import numpy as np
import pytest
from PIL import Image
from records import undrawn, write_run

from gch.errors import RunError
from gch.evaluation.evaluate import DIRECTIONS, NEW_ITEMS, UNIFIED
from gch.reporting import plots, record, tables
from gch.reporting.record import read_run
from gch.settings import load_settings


@pytest.fixture
def runs(repository, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second <b>"]
    for folder, changes in zip(folders, ({"seed": 0}, {"seed": 1, "lr_img": 0.5}), strict=True):
        write_run(folder, load_settings(repository / "setting.py", changes), ("sky", "sea", "tree", "dog"))
    (folders[0] / "panels").mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folders[0] / "panels" / "I-T.png")
    return folders


@pytest.fixture
def report(command, tmp_path):
    """Writes a page of empty pictures; returns it."""

    def written(*folders) -> str:
        with undrawn():
            status, _, error = command("report", *folders, f"--out={tmp_path / 'page.html'}")
        assert (status, error) == (0, "")
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return written


def test_the_page_holds_all_and_needs_nothing_else(command, runs, tmp_path):
    status, output, _ = command("report", *runs, f"--out={tmp_path / 'page.html'}")
    assert status == 0
    assert "runs: 2" in output
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert not re.search(r"url\(|@import|<script", text)
    # Five plots and a panel of pictures; all have one length of codes.
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', text)) == 6
    for run in runs:
        results = json.loads((run / "results.json").read_text())
        for key in ("evaluation", "evaluation_not_trained_on"):
            precision = results[key]["I->T"]["measures"]["mAP"]
            assert f"<td>{precision['mean']:.4f}</td>" in text
            assert f"{precision['low']:.4f} to {precision['high']:.4f}" in text
    assert html.escape(NEW_ITEMS) in text
    assert "second &lt;b&gt;" in text
    assert "<b>" not in text
    short, every = text.split('id="settings"')[1].split("<details>")
    assert "<td>lr_img</td><td>0.003</td><td>0.5</td>" in short
    assert "<td>batch_size</td>" not in short
    assert "<td>batch_size</td><td>128</td><td>128</td>" in every


def test_runs_may_be_named_by_a_pattern(command, runs, tmp_path):
    """As by Windows, whose shells do not match patterns."""
    with undrawn():
        status, output, _ = command("report", tmp_path / "[fs]*", f"--out={tmp_path / 'page.html'}")
    assert (status, output.count("runs: 2")) == (0, 1)


def test_one_run_makes_a_page_too(report, runs):
    results = json.loads((runs[1] / "results.json").read_text())
    del results["evaluation_not_trained_on"]
    (runs[1] / "results.json").write_text(json.dumps(results))
    text = report(runs[1])
    assert "1 run<" in text
    assert "<td>-</td><td>-</td>" in text  # mAP over new items and its interval
    assert "Mean over the seeds" not in text
    assert "Queries and what they retrieve" not in text  # no panels were kept


def test_runs_with_and_without_unified_codes_share_a_page_and_their_directions_are_apart(
    report, repository, runs, tmp_path
):
    folders = [tmp_path / name for name in ("unified", "again")]
    for seed, folder in enumerate(folders, 2):
        write_run(folder, load_settings(repository / "setting.py", {"seed": seed}), pairs=True)
    panels = ("I-T", "T-I", "I-pair", "T-pair", "pair-pair")
    (folders[0] / "panels").mkdir()
    for name in panels:
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folders[0] / "panels" / f"{name}.png")
    text = report(runs[0], *folders)
    _, seeds, measures, drawn, gallery, codes, _ = text.split("<h2 ")
    for part in (seeds, measures):
        papers, others = part.split(f"<h3>{tables.OF_PAIRS}</h3>")
        assert ("pair→pair" in papers, "I→T" in others) == (False, False)
        assert ("pair→pair" in others, "I→T" in papers) == (True, True)
    run = read_run(folders[0])
    for direction in ("I->T", "pair->pair"):
        for new in (False, True):
            assert f"<td>{run.mean(direction, 'mAP_asymmetric', new):.4f}</td>" in measures
    assert drawn.count("(unified codes of pairs)</h3>") == drawn.count("</h3>") / 2 == 5
    shown = re.findall(r"<h3>(.*?)</h3>", gallery.split("unified<")[1])
    assert [title.split(" (")[0] for title in shown] == [name.replace("-", " → ") for name in panels]
    assert codes.count("<td>pair</td>") == 2


def test_runs_without_labels_share_a_page_with_others(report, repository, runs, tmp_path):
    folders = [tmp_path / name for name in ("bare", "again")]
    for seed, folder in enumerate(folders):
        write_run(folder, load_settings(repository / "setting.py", {"seed": seed}), labels=False)
    recall = read_run(folders[0]).own_half_mean("T->I", "recall@5")
    for others in ([], runs):
        text = report(*folders, *others)
        assert text.count(f"<h3>{tables.OF_OWN_HALVES}</h3>") == 2  # over the seeds, and of every run
        assert f"<td>{recall:.4f}</td>" in text
        assert ("mAP" in text, "counted 0" in text) == (bool(others),) * 2


def test_runs_of_one_name_are_distinguished_by_their_folders(report, repository, tmp_path):
    for place, changes in (("old", {}), ("new", {"lr_img": 0.5})):
        write_run(tmp_path / place / "run", load_settings(repository / "setting.py", changes))
    text = report(tmp_path / "old" / "run", tmp_path / "new" / "run")
    assert "<th>old/run</th><th>new/run</th>" in text.split('id="settings"')[1]


def test_runs_stand_in_the_order_of_data_method_settings_length_and_seed(report, repository, tmp_path):
    ordered = [
        {"dataset_dir": "FLICKR", "bit": 128},
        {"method": "agah", "bit": 16},
        {"bit": 16, "lr_img": 0.5},
        {"bit": 128, "lr_img": 0.5, "seed": 2},
        {"bit": 128, "lr_img": 0.5, "seed": 10},
        {"bit": 8},
    ]
    folders = [tmp_path / f"run{number}" for number in range(len(ordered))]
    for folder, changes in zip(folders, ordered, strict=True):
        write_run(folder, load_settings(repository / "setting.py", changes))
    text = report(*(folders[number] for number in (3, 1, 5, 2, 4, 0)))
    assert "".join(f"<th>run{number}</th>" for number in range(6)) in text.split('id="settings"')[1]


def test_a_report_may_be_written_again_but_nothing_else_is_replaced(command, report, runs, tmp_path):
    page = tmp_path / "page.html"
    assert report(runs[0]) == report(runs[0])
    page.write_text("my own page")
    status, _, error = command("report", runs[0], f"--out={page}")
    assert status == 1
    assert "exists and is not a report" in error
    assert page.read_text() == "my own page"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not found; expected the folder of a tested run"),
        ("{", "cannot be read as JSON"),
        ('{"mAP": {"I->T": 0.5}}', "evaluation is missing, expected a JSON object; test the run again"),
        ("[]", "found [], expected a JSON object"),
    ],
)
def test_folders_without_a_tested_run_are_refused(command, tmp_path, content, words):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    status, _, error = command("report", tmp_path, f"--out={tmp_path / 'page.html'}")
    assert (status, words in error, str(tmp_path) in error) == (1, True, True)
    assert not (tmp_path / "page.html").exists()


def test_runs_of_other_labels_are_compared_too(report, runs):
    results = json.loads((runs[1] / "results.json").read_text())
    del results["label_names"]
    for key in ("evaluation", "evaluation_not_trained_on"):
        for direction in results[key].values():
            direction["mAP_by_label"].append(0.5)
    (runs[1] / "results.json").write_text(json.dumps(results))
    report(*runs)


def test_a_run_of_which_no_query_counts_is_compared_too(report, runs):
    results = json.loads((runs[0] / "results.json").read_text())
    for direction in results["evaluation"].values():  # with without_relevant = 'skip'
        direction["measures"] = {name: dict.fromkeys(one) for name, one in direction["measures"].items()}
    (runs[0] / "results.json").write_text(json.dumps(results))
    assert "<td>-</td>" in report(*runs)


def test_an_unknown_direction_of_own_halves_is_refused(repository, tmp_path):
    folder = tmp_path / "run"
    write_run(folder, load_settings(repository / "setting.py", {}), labels=False)
    results = json.loads((folder / "results.json").read_text())
    results["own_half"]["I->I"] = {}
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(RunError, match="json: own_half has 'I->I', expected I->T, T->I; test the run"):
        read_run(folder)


def places(value, path=()):
    """The paths of all parts of a value of JSON, of lists those of the first and the last."""
    parts = value.items() if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        parts = [(0, value[0]), (len(value) - 1, value[-1])]
    for name, part in parts:
        if name in ("T->I", "I->I", "T->T", "I->pair", "T->pair"):  # as I->T and pair->pair
            continue
        yield (*path, name)
        yield from places(part, (*path, name))


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("other", [None, {}, "text", "gone"])
def test_damaged_results_are_refused_or_do_no_harm(repository, tmp_path, monkeypatch, other, labels):
    settings, folder, refusals = load_settings(repository / "setting.py", {"bit": 8}), tmp_path / "run", 0
    write_run(folder, settings, tuple("abcd") if labels else (), pairs=labels, labels=labels)
    results = json.loads((folder / "results.json").read_text())
    monkeypatch.setattr(record, "read_json", lambda path: results)
    for *path, last in list(places(results)):
        part = functools.reduce(lambda value, name: value[name], path, results)
        whole = part.copy()
        if other == "gone":
            del part[last]
        else:
            part[last] = other
        refusal, records = "", []
        try:
            records = [read_run(folder)]
        except RunError as error:
            refusal = str(error)
        if refusal:
            assert str(folder / "results.json") in refusal
            assert "test the run again" in refusal
            refusals += 1
        else:
            tables.all_means(records)
            tables.all_measures(records)
            tables.comma_separated(records)
            tables.rows(records, (*DIRECTIONS, *UNIFIED))
            tables.notes(records)
            if not labels:
                list(plots.draw_all(records))
        part.clear()
        (part.extend if isinstance(part, list) else part.update)(whole)
    assert refusals > 10
