"""What is wrong without a doubt is refused in one line before TensorFlow loads, and changes nothing."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BIT, DATA = 16, ["--dataset_dir=generated", "--image_size=8"]
ENCODE, SEARCH = ["encode", "model", "--out=new"], ["search", "model", "codes"]
AGAH = ["train", "--method=agah", *DATA]
COLLECTION = ["train", "--dataset_dir=collection", "--DATA_DIR=pictured"]
CAPTIONED = [*COLLECTION, "--annotations=captions.csv"]
VGGF = [*COLLECTION, "--annotations=labels.csv", "--netStr=vggf"]
CACHE = ["--CACHE_DIR=../cache"]
WORDS, VECTORS = (["train", "--dataset_dir=files", f"--DATA_DIR={name}.npz"] for name in ("words", "vectors"))
PREPARE = ["prepare", "features.mat", "--out=new"]
NOTHING, NO_FILE, UNWRITABLE = "not found, ", "not a regular file, ", "cannot be written, "

ROWS = {
    "bit of 23 digits": (["train", "--bit=80000000000000000000000"], "bit is 80000.*at most 65536"),
    "image beyond memory": (["train", "--image_size=100000"], "image_size is 100000; expected at most"),
    "epochs with exponent": (["train", "--Epoch=1e20"], "Epoch"),
    "batch": (["train", "--batch_size=1000000000000"], "batch_size .* at most"),
    "embedding": (["train", "--emb_dim=1048576"], "SEMANTIC_EMBED is 1048576; expected at most 65536"),
    "widths": ([*AGAH, "--txt_widths=999999999"], "txt_widths: needs .* GiB"),
    "image widths": (["train", "--method=dcmh", "--img_widths=999999999", *DATA], "img_widths: needs .* GiB"),
    "many widths": ([*AGAH, f"--txt_widths={','.join(['1'] * 1000)}"], "lists 1000 numbers; expected 100"),
    "pictures beyond memory": (
        ["train", "--dataset_dir=generated", "--image_size=16384"],
        "error: image_size: needs ",
    ),
    "embedding beyond memory": (
        ["train", *DATA, "--SEMANTIC_EMBED=65536", "--bit=65536"],
        "error: SEMANTIC_EMBED: needs ",
    ),
    "training items": (["train", *DATA, "--TRAINING_SIZE=501"], "TRAINING_SIZE = 501.*500 items"),
    "batch of all items": (["train", *DATA, "--batch_size=501"], "batch_size is 501.*450 items"),
    "no data": (
        ["train", "--dataset_dir=FLICKR", "--DATA_DIR=empty"],
        "no data set found for FLICKR.*expected FLICKR-25K.mat",
    ),
    "no weights": ([*VGGF, "--MODEL_DIR=empty/vgg-f.mat"], "vgg-f.mat.*MatConvNet.*backbone_start='random'"),
    "labels": (["train", *DATA, "--num_label=3"], "num_label is 3; generated has 8 labels"),
    "words": (["train", *DATA, "--tag_dim=3"], "tag_dim is 3; generated has 40 words"),
    "long name": (["train", *DATA, f"--run_name={'a' * 300}"], "run_name is .* expected 200 bytes"),
    "log in a file": (["train", *DATA, "--log_dir=file"], f"file: {UNWRITABLE}"),
    "log under a file": (["train", *DATA, "--log_dir=file/logs"], f"file/logs: {UNWRITABLE}"),
    "runs in a file": (["train", *DATA, "--checkpoint_dir=file"], f"file: {UNWRITABLE}"),
    "no split": (["train", *DATA, "--split=gone.npz"], f"gone.npz: {NOTHING}"),
    "split of a pipe": (["train", *DATA, "--split=fifo"], f"fifo: {NO_FILE}"),
    "settings of a pipe": (["train", "--settings=fifo"], f"fifo: {NO_FILE}"),
    "no Keras file": (["train", *DATA, "--netStr=gone.keras"], f"gone.keras: {NOTHING}"),
    "no Keras model": (["train", *DATA, "--netStr=text.keras"], "text.keras: found File is not a zip file"),
    "random Keras file": (
        ["train", *DATA, "--netStr=text.keras", "--backbone_start=random"],
        "backbone_start: found 'random'",
    ),
    "small images": (["train", *DATA, "--netStr=InceptionV3"], "InceptionV3 expects at least 75"),
    "pairs without a graph": (
        ["train", *DATA, "--affinity=pairs", "--graph=none"],
        "affinity is 'pairs' and graph is 'none'; pairs are learned with graph 'label' only",
    ),
    "both by the paper's graph": (
        ["train", *DATA, "--affinity=both", "--graph=batch"],
        "affinity is 'both' and graph is 'batch'; pairs are learned with",
    ),
    "no graph and no labels": ([*CAPTIONED, "--graph=none"], "graph is 'none', but collection has no labels"),
    "the paper's graph without labels": (
        [*CAPTIONED, "--graph=batch"],
        "graph is 'batch', but collection has no labels",
    ),
    "AGAH without labels": (
        [*CAPTIONED, "--method=agah"],
        "method is 'agah', but collection has no labels; expected data with labels, or method 'gch' with",
    ),
    "DCMH without labels": ([*CAPTIONED, "--method=dcmh"], "method is 'dcmh', but collection has no labels"),
    "labels without labels": ([*CAPTIONED, "--affinity=labels"], "affinity is 'labels', but .* has no lab"),
    "both without labels": ([*CAPTIONED, "--affinity=both"], "affinity is 'both', but .* has no labels"),
    "a backbone trained by pairs": (
        ["train", *DATA, "--affinity=pairs", "--backbone=trained"],
        "backbone is 'trained', but affinity is 'pairs'; only labels train it, expected 'frozen'",
    ),
    "a backbone trained without labels": (
        [*CAPTIONED, "--backbone=trained"],
        "backbone is 'trained', but collection has no labels; only labels train it, expected 'frozen'",
    ),
    "images of VGG-F": (["train", *DATA, "--netStr=vggf"], "image_size: found 8, expected 224"),
    "weights of a pipe": ([*VGGF, "--MODEL_DIR=fifo"], f"fifo: {NO_FILE}"),
    "weights of text": ([*VGGF, "--MODEL_DIR=file"], "file: cannot be read as a MATLAB v5 file"),
    "no mean": ([*VGGF, "--backbone_start=random", "--meanpath=gone.h5"], "gone.h5: "),
    "start of no run": (["train", *DATA, "--load_model_path=file"], "file: no best checkpoint"),
    "start of other bits": (
        ["train", *DATA, "--load_model_path=run", "--bit=32"],
        "run: a run with bit = 16; load_model_path expects one with 32",
    ),
    "foreign file": (
        ["train", "--dataset_dir=FLICKR", "--DATA_DIR=foreign.mat"],
        "foreign.mat: begins with b'%PDF-1.7'; expected MATLAB v5 or v7.3, HDF5, .npz or .npy",
    ),
    "file that is cut off": (
        ["train", "--dataset_dir=FLICKR", "--DATA_DIR=cut"],
        "mirflickr25k-iall.mat: cannot be opened as HDF5, .*truncated",
    ),
    "pickled split": (
        ["train", "--dataset_dir=files", "--DATA_DIR=features.mat", *CACHE, "--split=pickled.npz"],
        "pickled.npz: query holds no numbers, expected",
    ),
    "broken picture": (
        ["train", "--dataset_dir=collection", "--DATA_DIR=broken", *CACHE, "--broken=stop"],
        "0.png: .*expected",
    ),
    "data of a pipe": (["train", "--dataset_dir=files", "--DATA_DIR=fifo"], f"fifo: {NO_FILE}"),
    "test of nothing": (["test", *DATA], "no checkpoint to test"),
    "export of nothing": (["export", "empty"], "empty: no settings.json in it; expected the folder of a run"),
    "export to a file": (["export", "run", "--out=file"], "file: holds something other than a model"),
    "export under a file": (["export", "run", "--out=file/model"], f"file: {UNWRITABLE}"),
    "encode by no model": (["encode", "empty", "--images=pictures", "--out=new"], "empty: no saved_model.pb"),
    "encode a pipe": ([*ENCODE, "--images=fifo"], f"fifo: {NO_FILE}"),
    "encode texts of a pipe": ([*ENCODE, "--texts=fifo"], f"fifo: {NO_FILE}"),
    "encode to other files": (["encode", "model", "--texts=file", "--out=empty/.."], "holds other files"),
    "encode by a wrong setting": ([*ENCODE, "--texts=file", "--bit=7"], "bit is 7; expected at least 8"),
    "index of nothing": (["index", "empty", "--out=new"], "empty: no codes.json"),
    "index to a file": (["index", "codes", "--out=file"], "file: holds something other"),
    "search nothing": (["search", "model", "empty", "dog"], "empty: no index.json or codes.json"),
    "search by a blank": ([*SEARCH, " "], "the query is blank"),
    "search a part that is not there": ([*SEARCH, "dog", "--find=images"], "the index holds no images"),
    "search by a pipe": ([*SEARCH, "--picture=fifo"], f"fifo: {NO_FILE}"),
    "serve nothing": (["serve", "model", "empty", "--port=0"], "empty: no index.json or codes.json"),
    "serve by another model": (["serve", "other", "codes", "--port=0"], "expected the one that encoded"),
    "eval of an empty argument": (["eval", ""], "argument 2 is empty; expected a word, a file or a folder"),
    "name of two lines": (["train", *DATA, "--run_name=a\nb"], r"run_name is 'a\\nb'; expected a plain name"),
    "eval of a pipe": (["eval", "fifo"], f"fifo: {NO_FILE}"),
    "eval to a file": (["eval", "codes.npz", "--out=file"], f"file: {UNWRITABLE}"),
    "an encoder of words without names": (
        [*WORDS, *CACHE, "--txtStr=sentences"],
        "files does not name its words; expected 'words'",
    ),
    "an encoder of vectors": (
        [*VECTORS, *CACHE, "--txtStr=sentences"],
        "files has text vectors of 8 dimensions, expected 512",
    ),
    "words beside vectors": (
        [*VECTORS, *CACHE, "--txtStr=sentences+words"],
        "files has text vectors, expected words or captions",
    ),
    "no Keras file of texts": ([*VECTORS, *CACHE, "--txtStr=gone.keras"], f"gone.keras: {NOTHING}expected a"),
    "no encoder": (
        [*VECTORS, *CACHE, "--txtStr=gone"],
        r"txtStr is 'gone'; expected words, sentences, sentences\+words, a .keras file or",
    ),
    "prepare to nowhere": (PREPARE[:-1], "out is missing; expected --out=FOLDER"),
    "prepare in another encoding": ([*PREPARE, "--encoding=gif"], "encoding is 'gif'; expected one of"),
    "prepare in no quality": ([*PREPARE, "--quality=0"], "quality is 0; expected at least 1"),
    "prepare by no thread": ([*PREPARE, "--jobs=-1"], "jobs is -1"),
    "prepare what has no files": (
        [*PREPARE, "--dataset_dir=generated"],
        "is 'generated'; expected a data set of files",
    ),
    "prepare a layout": ([*PREPARE, "--layout=index"], "layout is 'index'; expected --as=mat beside it"),
    "prepare as others": ([*PREPARE, "--as=mats"], "as is 'mats'; expected one of 'prepared', 'mat'"),
    "prepare a pipe": (["prepare", "fifo", "--out=new"], f"fifo: {NO_FILE}"),
    "inspect a device": (["inspect", "/dev/zero"], f"/dev/zero: {NO_FILE}"),
    "inspect a pipe of the right name": (
        ["inspect", "piped", "--dataset_dir=FLICKR"],
        r"the folder holds FLICKR-25K.mat \(not a regular file\)",
    ),
    "sweep of a power": (["sweep", "--bits=²"], "bits is '²'; expected whole numbers"),
    "sweep to a file": (["sweep", "--out=file"], f"file: {UNWRITABLE}"),
    "report of nothing": (["report", "empty"], f"results.json: {NOTHING.replace(',', ';')}"),
    "report to a pipe": (["report", "run", "--out=fifo"], "fifo: "),
    "report under a file": (["report", "run", "--out=file/page.html"], f"file: {UNWRITABLE}"),
}


def prepare(folder: Path) -> None:
    """What the rows name."""
    import exporting
    from coded import saved
    from PIL import Image
    from sources import opened
    from written import FEATURES, HOT, TEXTS, write_hdf5, write_separate

    from gch.run import RunFolder
    from gch.search.model_note import NOTE
    from gch.search.note_file import write_note_file
    from gch.settings import load_settings

    for name in ("empty", "pictures", "piped", "pictured", "broken", "cut"):
        (folder / name).mkdir()
    for row in range(8):
        Image.new("RGB", (224, 224), (30 * row, 0, 0)).save(folder / "pictured" / f"{row}.png")
        shutil.copy(folder / "pictured" / f"{row}.png", folder / "broken")
    for name, columns, values in (
        ("captions.csv", "path,text", "a red square"),
        ("labels.csv", "path,text,labels", "a red square,red"),
    ):
        lines = [columns, *(f"{row}.png,{values}" for row in range(8))]
        (folder / "pictured" / name).write_text("\n".join(lines))
        opened(folder / "pictured", "collection", annotations=name)  # prepares its pictures
    shutil.copy(folder / "pictured" / "labels.csv", folder / "broken")
    (folder / "file").write_text("a dog\n")
    (folder / "text.keras").write_text("no model")
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "piped" / "FLICKR-25K.mat")
    np.savez(folder / "codes.npz", Qi=np.ones((4, 8), np.int8))
    write_hdf5(folder / "features.mat", images=FEATURES, YAll=TEXTS, LAll=HOT)
    parts = dict.fromkeys(("query", "retrieval", "training"), np.array([{"rows": 1}]))
    np.savez(folder / "pickled.npz", **parts)
    for name, texts in (("words", np.tri(8, dtype=np.uint8)), ("vectors", np.tri(8) / 3)):
        np.savez(folder / f"{name}.npz", features=np.eye(8), texts=texts, labels=np.ones((8, 1)))
    (folder / "foreign.mat").write_bytes(b"%PDF-1.7")
    write_separate(folder / "cut", "mirflickr25k")
    for path in (folder / "cut" / "mirflickr25k-iall.mat", folder / "broken" / "0.png"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 3 // 5])
    for name in ("model", "other"):
        (folder / name / NOTE).parent.mkdir(parents=True)
        (folder / name / "saved_model.pb").touch()
        signatures = ("encode_image", "encode_text_string")
        note = dataclasses.replace(exporting.NOTE, digest=name, signatures=signatures)
        write_note_file(folder / name / NOTE, note)
    saved(folder / "codes", np.zeros((2, BIT // 8), np.uint8), "text", "model")
    run = RunFolder(folder / "run")
    run.start(load_settings(None, {"bit": BIT, "dataset_dir": "generated", "image_size": 32}), "data")
    run.close()
    (folder / "run" / "best").mkdir()
    for suffix in ("index", "data-00000-of-00001"):
        (folder / "run" / "best" / f"ckpt-1.{suffix}").touch()
    (folder / "run" / "best" / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')


def states(folder: Path) -> set[tuple[str, int]]:
    """The paths in a folder, and the dates of its files."""
    return {(str(path), path.stat().st_mtime_ns if path.is_file() else 0) for path in folder.rglob("*")}


def main(folder: Path) -> None:
    """Runs the rows where TensorFlow cannot be imported; prints what each did as JSON."""
    from gch.cli import main as command

    class Loaded(BaseException):
        pass

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("tensorflow", "keras"):
                raise Loaded(name)

    with contextlib.redirect_stdout(io.StringIO()):
        prepare(folder)
    assert not {"tensorflow", "keras"} & set(sys.modules)
    os.chdir(folder)
    sys.meta_path.insert(0, Blocker())
    found = {}
    for name, (words, _) in ROWS.items():
        before, error = states(folder), io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
            try:
                status = command(["gch", *words])
            except Loaded as module:
                status = f"loads {module}"
        found[name] = status, error.getvalue(), sorted(dict(states(folder) - before))
    print(json.dumps(found))


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    place = [sys.executable, __file__, str(tmp_path_factory.mktemp("refusals"))]
    return json.loads(subprocess.run(place, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.parametrize("name", ROWS)
def test_a_refusal_needs_no_tensorflow_and_leaves_nothing(name, refusals):
    status, error, left = refusals[name]
    assert status in (1, 2), error
    assert (error.count("\n"), len(error) < 1000) == (1, True)
    assert "Traceback" not in error
    assert not left
    assert re.search(ROWS[name][1], error), error


if __name__ == "__main__":
    main(Path(sys.argv[1]))
