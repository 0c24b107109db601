"""Kills, damaged input and requests, at random: what is lost, what hangs, and what ends in a traceback.

    python benchmarks/campaign.py --kills=200 --inputs=1000 --requests=10000 --seed=0

Kills: a command is stopped at a random moment by SIGKILL, SIGINT or SIGTERM, started again, and what it has
written is compared with what the undisturbed command writes. Inputs: a file of every kind that is read is
damaged, and a command reads it. Requests: valid and invalid ones to a server. --hostile=SECONDS also plays
each hostile client of hostile_clients.py. One seed tries the same things, but a kill falls on what the
machine happens to do. What went wrong is kept under --out. Commands with TensorFlow run in forks of a process
that has loaded it; one in five kills takes a process of its own. Unix only.
"""

import argparse
import collections
import contextlib
import importlib
import json
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaign_base import COMMANDS, DATA, TRAIN, Process, damaged, fresh, result_of, warm, whole
from campaign_requests import requests

Result = dict[str, Any]
SIGNALS = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}  # to the status
LIMIT_S, LARGE = 60.0, 2**31  # of a command that reads damaged input: seconds, and bytes of memory
AGAIN = f"test --bit=16 {TRAIN} {DATA} --checkpoint_dir=run --run_name=small"
OWN = ("new", "new.html", "inspect.png", "cache", ".lock", "logs")  # which commands may write
READS = {  # a file, and what reads it
    "data/items.csv": "inspect data --dataset_dir=collection --image_size=64",
    "data/0.png": "prepare data --out=new --image_size=64",
    "data/1.jpg": "prepare data --out=new --image_size=64",
    "data/2.gif": "prepare data --out=new --image_size=64",
    "data/3.bmp": "prepare data --out=new --image_size=64",
    "data/items.jsonl": "inspect data --dataset_dir=collection --image_size=64",
    "texts.jsonl": "encode model --texts=texts.jsonl --out=new",
    "data.npz": "inspect data.npz",
    "npy/images.npy": "inspect npy",
    "npy/LAll.npy": "inspect npy",
    "data.mat": "inspect data.mat",
    "data.h5": "inspect data.h5",
    "split.npz": "inspect data.npz --split=split.npz",
    "settings.py": "inspect data --settings=settings.py",
    "run/small/collection_16.mat": "eval run/small --out=new --plots=False",
    "eval/results.json": "eval run/small --out=eval --plots=False",
    "run/small/split.npz": AGAIN,
    "run/small/settings.json": "export run/small --out=new",
    "run/small/vocabulary.json": "export run/small --out=new",
    "run/small/best/checkpoint": "export run/small --out=new",
    "run/small/best/ckpt-1.index": "export run/small --out=new",
    "run/small/best/ckpt-1.data-00000-of-00001": "export run/small --out=new",
    "run/small/history.json": AGAIN,
    "run/small/latest/checkpoint": AGAIN,
    "run/small/results.json": "report run/small --out=new.html",
    "prepared/index.json": "inspect prepared",
    "prepared/places.npy": "prepare data --out=prepared --image_size=64",
    "prepared/texts.npy": "inspect prepared",
    "prepared/pictures.bin": "inspect prepared",
    "model/assets.extra/model.json": "search model index red",
    "model/saved_model.pb": "search model index red",
    "model/variables/variables.index": "search model index red",
    "model/assets/tags.tsv": "search model index red",
    "codes/codes.json": "index codes --out=new",
    "codes/00000.items": "search model codes red",
    "codes/00000.codes": "encode model --texts=texts.jsonl --out=codes --batch=64",
    "codes/skipped.jsonl": "encode model --texts=texts.jsonl --out=codes --batch=64",
    "index/index.json": "search model index red",
    "index/text.items": "search model index red",
    "hashed/text.faiss": "search model hashed red",
    "hashed/text.equal": "search model hashed red",
    "small.keras": AGAIN,
}


def kills(base: Path, out: Path, count: int, draw: random.Random) -> Iterator[Result]:
    """Stops commands; yields what came of each. One that ends before its signal does not count."""
    order = [name for name, command in COMMANDS.items() for _ in range(command.share)]
    draw.shuffle(order)
    whole_s: dict[str, float] = {}
    expected = {name: result_of(fresh(base, out / "work"), name) for name in COMMANDS}
    number = 0
    while number < count:
        command = order[number % len(order)]
        folder, words = fresh(base, out / "work"), COMMANDS[command].words.split()
        for written in (COMMANDS[command].written, "logs", "sweeps"):
            shutil.rmtree(folder / written, ignore_errors=True)
        own = draw.random() < 0.2 or command in ("prepare", "index", "sweep")
        kind = draw.choice(list(SIGNALS))
        started = time.monotonic()
        process = Process(folder, words, own)
        stopped = process.wait(
            draw.uniform(0.0, 1.0) * whole_s.get(f"{command}{own}", COMMANDS[command].seconds)
        )
        if stopped is not None:
            whole_s[f"{command}{own}"] = 0.8 * stopped.seconds
            continue
        number, sent = number + 1, time.monotonic()
        process.send(kind)
        stopped = process.wait(sent - started + 30)
        waited = time.monotonic() - sent
        faults = []
        if stopped is None:
            faults.append("hang: it did not end within 30 s of the signal")
            process.send(signal.SIGKILL)
            process.wait()
        else:
            # 0: it was just done; the signal's own: Python, or the fork, had only begun.
            if stopped.status not in (SIGNALS[kind], 0, -kind if stopped.seconds < 0.5 else 0):
                faults.append(f"status {stopped.status} after {kind.name}")
            if stopped.traceback:
                faults.append("traceback of the stopped one")
        resumed = Process(folder, words, own).wait(300)
        if resumed is None or resumed.status or resumed.traceback:
            faults.append(f"resuming ended with {resumed and resumed.status}")
        elif result_of(folder, command) != expected[command]:
            faults.append("lost: another result")
        left = [str(file.relative_to(folder)) for file in folder.rglob("*") if unfinished(file)]
        if left:
            faults.append(f"left behind: {', '.join(left[:3])}")
        said = f"{stopped.error if stopped else ''}\n{resumed.error if resumed else ''}"
        if faults:
            (out / f"kill-{number}.txt").write_text(f"{command} {kind.name} own={own}\n{faults}\n{said}")
        yield {"what": command, "signal": kind.name, "waited": waited, "faults": faults}


def unfinished(file: Path) -> bool:
    """Whether a file is a temporary one that a command left."""
    return file.name.startswith(".") and file.name != ".lock" and "cache" not in file.parts


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """What must not change: all files but those that commands may write."""
    found = {}
    for path in folder.rglob("*"):
        if not set(path.relative_to(folder).parts) & set(OWN):
            with contextlib.suppress(OSError):
                found[str(path)] = path.stat().st_size, path.stat().st_mtime_ns * path.is_file()
    return found


def inputs(base: Path, out: Path, count: int, draw: random.Random) -> Iterator[Result]:
    """Damages files; yields what came of each. In a first round the files are whole, and must be read."""
    folder = fresh(base, out / "work")
    names = list(READS)
    for number in range(-len(names) if count else 0, count):
        name = names[number % len(names)]
        file, words = folder / name, READS[name]
        hidden = folder / "data" / "items.csv"
        if name == "data/items.jsonl":  # in place of the table
            shutil.copy(folder / "items.jsonl", file)
            hidden.unlink()
        content = file.read_bytes()
        other = content if number < 0 else damaged(content, draw)
        file.write_bytes(other)
        before = state(folder)
        process = Process(folder, words.split())
        ended, faults = process.wait(LIMIT_S), []
        if ended is None:
            process.send(signal.SIGKILL)
            ended = process.wait()
            faults.append(f"hang: longer than {LIMIT_S:.0f} s")
        elif ended.traceback:
            faults.append("traceback")
        elif ended.status not in (0, 1, 2):
            faults.append(f"status {ended.status}")
        elif ended.status and len(ended.error.strip().splitlines()) != 1:
            faults.append(f"{len(ended.error.splitlines())} lines of errors")
        if number < 0 and ended and ended.status:
            faults.append("refused, but whole")
        if ended and ended.memory > LARGE:
            faults.append(f"memory: {ended.memory / 2**30:.1f} GiB")
        changed = [path for path, one in state(folder).items() if before.get(path, one) != one]
        lost = [path for path in before if not Path(path).exists()]
        if (changed or lost) and not (ended and ended.status == 0):
            faults.append(f"overwritten or lost: {(changed + lost)[:3]}")
        if faults:
            kept = out / f"input-{number}"
            kept.write_bytes(other)
            kept.with_suffix(".txt").write_text(f"{name}: {words}\n{faults}\n{ended and ended.error}")
        if changed or lost or (folder / "new").exists() or (folder / "new.html").exists():
            fresh(base, folder)
        else:
            file.write_bytes(content)
            if name == "data/items.jsonl":
                file.unlink()
                shutil.copy(base / "data" / "items.csv", hidden)
        if number >= 0 or faults:
            yield {"what": name, "refused": bool(ended and ended.status), "faults": faults}


def summary(title: str, found: list[Result]) -> None:
    """Prints a line for each kind of thing that was tried, and what went wrong with it."""
    print(f"\n{title}: {len(found)}, of them with faults: {sum(bool(one['faults']) for one in found)}")
    for what in sorted({one["what"] for one in found}):
        mine = [one for one in found if one["what"] == what]
        faults = collections.Counter(fault for one in mine for fault in one["faults"])
        extra = f"{sum(one['refused'] for one in mine)} refused" if "refused" in mine[0] else ""
        if "waited" in mine[0]:
            signals = collections.Counter(one["signal"] for one in mine)
            slow = max(one["waited"] for one in mine)
            extra = (
                f"{', '.join(f'{n} {name}' for name, n in sorted(signals.items()))}; slowest end {slow:.1f} s"
            )
        print(
            f"  {what:44} {len(mine):4}  {extra}  {'; '.join(f'{n} x {text}' for text, n in faults.items())}"
        )


def main() -> None:
    """Runs the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("kills", 20), ("inputs", 100), ("requests", 1000), ("hostile", 0), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="folder that keeps what went wrong; default: a new one")
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp(prefix="campaign-"))).resolve()
    out.mkdir(parents=True, exist_ok=True)
    base = out / "base"
    warm()
    if not base.exists():
        (out / "work").mkdir()
        whole(out / "work")
        shutil.copytree(out / "work", base)
    for title, act, count in (("Inputs", inputs, given.inputs), ("Kills", kills, given.kills)):
        found: list[Result] = []
        started = time.monotonic()
        for one in act(base, out, count, random.Random(given.seed)):
            found.append(one)
            if one["faults"] or len(found) % 50 == 0:
                print(f"{title} {len(found)} of {count}: {one}", flush=True)
        if found:
            summary(f"{title} in {time.monotonic() - started:.0f} s", found)
    if given.requests:
        print(
            "\nRequests:",
            json.dumps(requests(base, out, given.requests, random.Random(given.seed)), indent=2),
        )
    if given.hostile:
        print(
            "\nHostile clients:",
            json.dumps(importlib.import_module("hostile_clients").run(given.hostile), indent=2, default=str),
        )
    print(f"\nWhat went wrong is in {out}")


if __name__ == "__main__":
    main()
