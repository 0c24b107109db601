"""The tables of QUALITY.md: runs every variant as a process of main_itpair.py, and prints what came out.

A run that is finished is not repeated, and one that was killed resumes, so the command may be given again at
any time. Nothing is chosen here: every run picks its outer epoch on its own validation queries, and the query
set is ranked once, by the run. Runs go side by side, each on its share of the processor's cores.

The tables show mAP over all of the retrieval set, the papers' protocol, and over its new items, which were
never trained on. The group main also tests each run of the whole method a second time, in a copy of its
folder, with its training items coded without their own entries in the neighbour table, and adds the row of
baseline.py.

    python benchmarks/quality.py main --dataset_dir FLICKR --DATA_DIR data    # whole method, without graph
    python benchmarks/quality.py reference --dataset_dir FLICKR --DATA_DIR data
    python benchmarks/quality.py strong --dataset_dir FLICKR --DATA_DIR data
    python benchmarks/quality.py ablations --dataset_dir FLICKR --DATA_DIR data --Epoch=2 --out runs/ablations
    python benchmarks/quality.py more_ablations ...                           # with the same flags
    python benchmarks/quality.py main                                         # OpenMoji
    python benchmarks/quality.py backbone --seeds 0                           # likewise
    python benchmarks/quality.py agah --dataset_dir FLICKR --DATA_DIR data
    python benchmarks/quality.py agah_ablations --dataset_dir FLICKR --DATA_DIR data --seeds 0
    python benchmarks/quality.py agah_long --dataset_dir FLICKR --DATA_DIR data --seeds 0
    python benchmarks/quality.py agah_reference --dataset_dir FLICKR --DATA_DIR data --seeds 0
    python benchmarks/quality.py dcmh                                         # OpenMoji
    python benchmarks/quality.py dcmh --dataset_dir FLICKR --DATA_DIR data --k_dcmh=4
    python benchmarks/quality.py agreement --dataset_dir FLICKR --DATA_DIR data
    python benchmarks/quality.py plot --dataset_dir FLICKR                    # needs matplotlib
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import scipy.io
from baseline import BASELINE, baseline
from measuring import HEADER, UNIFIED_HEADER, print_table, row, settings, unified_row

from gch.data.catalog import open_pairs
from gch.evaluation.evaluate import CROSS
from gch.storage import write_json

ENTRY = Path(__file__).parents[1] / "main_itpair.py"

WHOLE, NO_GRAPH = "whole method", "without graph"
WITHOUT_OWN = "whole method, database items without their own entries"
NO_DROPOUT = {"dropout_txt": 0.0, "dropout_words": 0.0, "dropout_img": 0.0}
STRONG_STUDENTS = "without graph, dropout .5/0/.3"
AGAH_SHORT, NARROW = "AGAH, a pass an outer epoch", "AGAH narrow"
AGAH_PARTS = {
    AGAH_SHORT: {},
    "AGAH, balance off": {"alpha": 0.0},
    "AGAH, code map off": {"gamma": 0.0},
    "AGAH, quantization off": {"eta": 0.0},
    "AGAH, adversaries off": {"mu": 0.0},
    "AGAH, attention off": {"lambd": 1.0},
    "AGAH, margin 0": {"margin": 0.0},
    "AGAH, label classifiers on": {"beta": 1.0},
    "AGAH, code map times 100": {"gamma": 0.1},
    "AGAH, mix-up": {"data_enhance": True},
    "AGAH, features by the batch": {"feature_norm": "batch"},
}
AGAH_LONG = {part.replace(AGAH_SHORT, NARROW).replace("AGAH, ", "AGAH narrow, "): part for part in AGAH_PARTS}
AGAH_DATA = {  # what the preset says of the data, undone
    "netStr": "efficientnet-lite0",
    "backbone": "frozen",
    "split": "random",
    "QUERY_SIZE": -1,
    "DATABASE_SIZE": -1,
    "TRAINING_SIZE": -1,
    "num_label": -1,
    "tag_dim": -1,
}
VARIANTS = {
    WHOLE: {},
    NO_GRAPH: {"graph": "none"},
    # Without the graph's memory of training items the students do better to learn them by heart.
    STRONG_STUDENTS: {"graph": "none", "dropout_txt": 0.5, "dropout_words": 0.0, "dropout_img": 0.3},
    "reference": {"preset": "reference", "Epoch": 4},  # as the others; the preset has the original's 500
    "graph of a batch": {"graph": "batch"},
    "graph of a batch: students learn its codes": {"graph": "batch", "unified": "graph"},
    "graph of a batch: students learn both apart": {"graph": "batch", "unified": "apart"},
    "labels predicted only, no neighbours": {"graph_neighbours": 0},
    "without teacher": {"teacher": False},
    "squared pair loss, without graph": {"pair_loss": "squared", "graph": "none"},
    "pairs within the batch, without graph": {"memory": "batch", "graph": "none"},
    "start N(0, 1)": {"start": "normal"},
    "start N(0, 1), without graph": {"start": "normal", "graph": "none"},
    "no dropout": NO_DROPOUT,
    "no dropout, without graph": {"graph": "none", **NO_DROPOUT},
    "no decay": {"decay": 1.0},
    "balance .1": {"graph_balance": 0.1},
    "agreement .05": {"graph_agreement": 0.05},
    "true labels alone are relevant": {"graph_expected": 0.0},
    "AGAH reference": {"preset": "agah_reference", "Epoch": 8, "valid_freq": 2, **AGAH_DATA},
    **{variant: {"method": "agah", "k_agah": 1, **changes} for variant, changes in AGAH_PARTS.items()},
    **{
        variant: {"method": "agah", "txt_widths": "1024,512", **AGAH_PARTS[part]}
        for variant, part in AGAH_LONG.items()
    },
    "DCMH": {"method": "dcmh"},
    "backbone frozen, 2 passes": {"Epoch": 1, "k_img": 2},
    "backbone trained, 2 passes": {"Epoch": 1, "k_img": 2, "backbone": "trained"},
}
ABLATIONS = (
    WHOLE,
    NO_GRAPH,
    "labels predicted only, no neighbours",
    "graph of a batch",
    "no dropout",
    "balance .1",
    "agreement .05",
    "true labels alone are relevant",
)
MORE_ABLATIONS = (
    "without teacher",
    "graph of a batch: students learn both apart",
    "graph of a batch: students learn its codes",
    "squared pair loss, without graph",
    "pairs within the batch, without graph",
    "start N(0, 1)",
    "start N(0, 1), without graph",
    "no dropout, without graph",
    "no decay",
)
TESTED_AGAIN = {WITHOUT_OWN: (WHOLE, {"own_neighbour": False})}
GROUPS = {
    "main": ((WHOLE, WITHOUT_OWN, NO_GRAPH, BASELINE), (16, 32, 64)),
    "strong": ((STRONG_STUDENTS,), (16, 32, 64)),
    "reference": (("reference",), (16, 32, 64)),
    "ablations": (ABLATIONS, (32,)),
    "more_ablations": (MORE_ABLATIONS, (32,)),
    "agah": ((NARROW,), (16, 32, 64)),
    "agah_reference": (("AGAH reference",), (16, 32, 64)),
    "agah_ablations": (tuple(AGAH_PARTS), (32,)),
    "agah_long": (tuple(AGAH_LONG), (32,)),
    "dcmh": (("DCMH",), (32,)),
    "backbone": (("backbone frozen, 2 passes", "backbone trained, 2 passes"), (64,)),
}


class Runs:
    """The runs of one data set, in one folder.

    Args:
      folder: for their run folders and logs.
      dataset: as in dataset_dir.
      flags: of main_itpair.py, for all runs.
    """

    def __init__(self, folder: Path, dataset: str, flags: list[str]):
        self._folder, self._dataset, self._flags = folder, dataset, flags

    def path(self, variant: str, bit: int, seed: int) -> Path:
        """Folder of a run."""
        plain = "".join(letter if letter.isalnum() else "-" for letter in variant)
        return self._folder / "runs" / f"{self._dataset}_{plain}_{bit}_seed{seed}"

    def run(self, variant: str, bit: int, seed: int, threads: int) -> None:
        """Trains and tests, or tests a trained run again, unless that is done."""
        path = self.path(variant, bit, seed)
        if (path / "results.json").exists():
            return
        words, trained = [], variant
        changes = VARIANTS.get(variant)
        if variant in TESTED_AGAIN:
            trained, tested = TESTED_AGAIN[variant]
            changes = VARIANTS[trained] | tested
            source = self.path(trained, bit, seed)
            if not (source / "results.json").exists():
                return  # it failed, and said so
            kept = shutil.ignore_patterns("results.json", "latest", "plots", "panels")
            shutil.copytree(source, path, ignore=kept, dirs_exist_ok=True)
            words = ["test"]
        settings = {
            "dataset_dir": self._dataset,
            "bit": bit,
            "seed": seed,
            "run_name": path.name,
            "checkpoint_dir": path.parent,
            "log_dir": self._folder / "logs",
            "panel_queries": 0,
            "histograms": False,
            **changes,
        }
        command = [sys.executable, ENTRY, *words, *(f"--{name}={value}" for name, value in settings.items())]
        # Read by TensorFlow when it starts.
        limits = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
        finished = subprocess.run(
            command + self._flags, capture_output=True, text=True, env=os.environ | limits, check=False
        )
        said = finished.stdout if finished.returncode == 0 else finished.stderr
        print(f"{path.name}: {said.strip().splitlines()[-1]}", flush=True)

    def run_baseline(self, bit: int, seed: int, data_dir: str) -> None:
        """Measures the baseline, unless that is done."""
        path = self.path(BASELINE, bit, seed) / "results.json"
        if not path.exists():
            write_json(
                path, baseline(settings(dataset_dir=self._dataset, DATA_DIR=data_dir, bit=bit, seed=seed))
            )

    def results(self, variant: str, bit: int, seeds: list[int]) -> list[dict]:
        """What the finished runs found."""
        paths = [self.path(variant, bit, seed) / "results.json" for seed in seeds]
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def gains(runs: Runs, bits: tuple[int, ...], seeds: list[int]) -> None:
    """What the graph adds, seed by seed, over all items and over new ones."""
    rows = []
    for bit in bits:
        whole, without = (runs.results(variant, bit, seeds) for variant in (WHOLE, NO_GRAPH))
        if len(whole) != len(without) or not whole:
            continue
        for direction in CROSS:
            cells = []
            for over in ("mAP", "mAP_not_trained_on"):
                pairs = zip(whole, without, strict=True)
                added = [one[over][direction] - two[over][direction] for one, two in pairs]
                cells += [f"{np.mean(added):+.3f}", f"{min(added):+.3f}"]
            rows.append([direction, str(bit), *cells])
    if rows:
        print()
        least = "smallest of the seeds"
        print_table(("gain of the graph", "bits", "all, mean", least, "new, mean", least), rows)


def graph_codes(found: list[tuple[str, int, list[dict]]]) -> None:
    """What became of the codes of a batch graph's network, in the outer epoch that was picked."""
    rows = []
    for variant, bit, results in found:
        picked = [result["training"]["epochs"][result["training"]["best_epoch"] - 1] for result in results]
        statistics = [epoch["codes"]["graph"] for epoch in picked if "graph" in epoch["codes"]]
        if statistics:
            names = ("bit_correlation", "bit_balance", "distinct_codes")
            means = [f"{np.mean([one[name] for one in statistics]):.3f}" for name in names]
            agree = np.mean([epoch["agreement"]["graph and teacher"] for epoch in picked])
            rows.append([variant, str(bit), *means, f"{agree:.2f}"])
    if rows:
        print()
        print_table(
            (
                "codes of the graph network",
                "bits",
                "correlation",
                "balance",
                "distinct",
                "agree with teacher",
            ),
            rows,
        )


def agreement(runs: Runs, dataset: str, data_dir: str, bits: list[int], seeds: list[int]) -> None:
    """Prints in how many bits the image and the text code of a pair agree, by what is known of the pair."""
    pairs = open_pairs(settings(dataset_dir=dataset, DATA_DIR=data_dir))
    words = np.count_nonzero(pairs.texts, axis=1)
    spans = ((1, 1), (2, 3), (4, 7), (8, words.max()))
    rows = []
    for bit in bits:
        shares = []
        for path in (runs.path(WHOLE, bit, seed) for seed in seeds):
            (file,) = path.glob(f"*_{bit}.mat")
            codes, split = scipy.io.loadmat(file), np.load(path / "split.npz")
            query = (codes["Qi"] == codes["Qt"]).mean(axis=1)
            trained = np.isin(split["retrieval"], split["training"])
            count = words[split["query"]]
            by_words = [query[(first <= count) & (count <= last)].mean() for first, last in spans]
            shares.append([(codes["Di"] == codes["Dt"])[trained].mean(), query.mean(), *by_words])
        rows.append([str(bit), *(f"{share:.2f}" for share in np.mean(shares, axis=0))])
    names = [f"{first} to {last} words" for first, last in spans]
    print_table(("bits", "pairs trained on", "query set", *names), rows)


def plot(runs: Runs, dataset: str, seeds: list[int], bit: int, target: Path) -> None:
    """Draws the mean of both directions on the validation queries against the seconds of training.

    One panel is over all retrieval items, one over the new ones.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = (WHOLE, NO_GRAPH, "graph of a batch", "reference")
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for variant in shown:
        histories = [result["training"]["epochs"] for result in runs.results(variant, bit, seeds)]
        if not histories:
            continue
        seconds = np.mean([np.cumsum([epoch["seconds"] for epoch in one]) for one in histories], axis=0)
        for axes, over in zip(panels, ("mAP", "mAP_not_trained_on"), strict=True):
            if over not in histories[0][0]:
                continue  # of a version that did not tell it
            found = [[[epoch[over][way] for way in CROSS] for epoch in one] for one in histories]
            score = np.mean(found, axis=2)
            (line,) = axes.plot(seconds, score.mean(axis=0), marker="o", label=variant)
            axes.fill_between(
                seconds, score.min(axis=0), score.max(axis=0), alpha=0.15, color=line.get_color()
            )
    for axes, items in zip(panels, ("all retrieval items", "new items"), strict=True):
        axes.set(xlabel="seconds of training, one core (features cached)", title=f"over {items}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("validation mAP, mean of I→T and T→I")
    panels[0].legend()
    figure.suptitle(f"{dataset}, {bit} bits, mean and range of the seeds; a dot an outer epoch")
    figure.savefig(target, dpi=130)
    print(f"Plot in {target}")


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", choices=(*GROUPS, "agreement", "plot"))
    parser.add_argument("--dataset_dir", default="OpenMoji", help="OpenMoji or FLICKR")
    parser.add_argument("--DATA_DIR", default="data", help="folder of the data files and caches")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="folder of the runs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--bits", default="", help="such as 16,32,64; the group's own otherwise")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side")
    given, flags = parser.parse_known_args()

    seeds = [int(seed) for seed in given.seeds.split(",")]
    runs = Runs(given.out.resolve(), given.dataset_dir, [f"--DATA_DIR={given.DATA_DIR}", *flags])
    if given.group == "plot":
        bit = int(given.bits or 64)
        plot(runs, given.dataset_dir, seeds, bit, Path("fig") / f"time_{given.dataset_dir.lower()}.png")
        return
    variants, bits = GROUPS.get(given.group, ((), (16, 32, 64)))
    bits = tuple(int(bit) for bit in given.bits.split(",")) if given.bits else bits
    if given.group == "agreement":
        agreement(runs, given.dataset_dir, given.DATA_DIR, bits, seeds)
        return
    threads = max(1, os.cpu_count() // given.jobs)
    trained = [variant for variant in variants if variant in VARIANTS]
    for some in (trained, [variant for variant in variants if variant in TESTED_AGAIN]):
        with ThreadPoolExecutor(given.jobs) as pool:
            jobs = [
                pool.submit(runs.run, variant, bit, seed, threads)
                for variant, bit, seed in itertools.product(some, bits, seeds)
            ]
        for job in jobs:
            job.result()
    for bit, seed in itertools.product(bits if BASELINE in variants else (), seeds):
        runs.run_baseline(bit, seed, given.DATA_DIR)
    found = [(variant, bit, runs.results(variant, bit, seeds)) for variant in variants for bit in bits]
    print()
    print_table(HEADER, [row(*one) for one in found if one[2]])
    unified = [one for one in found if one[2] and "I->pair" in one[2][0]["mAP"]]
    if unified:
        print_table(UNIFIED_HEADER, [unified_row(*one) for one in unified])
    gains(runs, bits, seeds)
    graph_codes([one for one in found if one[0] != BASELINE])


if __name__ == "__main__":
    main()
