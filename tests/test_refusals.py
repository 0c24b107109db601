"""What is wrong without a doubt is refused in one line before TensorFlow loads, and leaves nothing behind."""

import contextlib
import dataclasses
import io
import json
import os
import re
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
    "queries and training items": (
        ["train", *DATA, "--QUERY_SIZE=400", "--TRAINING_SIZE=300"],
        "TRAINING_SIZE = 300.*QUERY_SIZE.*200 items",
    ),
    "queries": (["train", *DATA, "--QUERY_SIZE=601"], "QUERY_SIZE = 601.*600 items"),
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
    "search by a pipe": ([*SEARCH, "--picture=fifo"], f"fifo: {NO_FILE}"),
    "serve nothing": (["serve", "model", "empty", "--port=0"], "empty: no index.json or codes.json"),
    "serve by another model": (["serve", "other", "codes", "--port=0"], "expected the one that encoded"),
    "eval of an empty argument": (["eval", ""], "argument 2 is empty; expected a word, a file or a folder"),
    "name of two lines": (["train", *DATA, "--run_name=a\nb"], r"run_name is 'a\\nb'; expected a plain name"),
    "eval of a pipe": (["eval", "fifo"], f"fifo: {NO_FILE}"),
    "eval to a file": (["eval", "codes.npz", "--out=file"], f"file: {UNWRITABLE}"),
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

CALLS = {  # a command line, its exit status, and what it says
    "--bits=16": (2, "'bits'.*bit"),
    "--bit=many": (2, "--bit is 'many'; expected a whole number"),
    "--bit=12": (2, "multiple of 8"),
    "--dataset=wiki": (2, "dataset_dir is 'wiki'"),
    "--graph=maybe": (2, "'maybe'.*'label', 'batch', 'none'"),
    "--teacher=maybe": (2, "--teacher is 'maybe'; expected True or False"),
    "tain": (2, "'tain'.*train, test, help"),
    "tain eval": (2, "'tain'.*train, test, help"),
    "train test": (2, "train and test"),
    "test one two": (2, "test: found one two; expected the folder of one run"),
    "test nowhere": (2, "nowhere: no settings.json in it; expected the folder of a run"),
    "--bit 16 eval": (2, "eval: no codes given; expected files"),
    "--Epoch": (2, "Epoch"),
    "--max_epoch=3 --Epoch=3": (2, "--max_epoch and --Epoch are one setting"),
    "--settings=nowhere.py": (2, "nowhere.py: not found"),
    "--method=agah train --lr=0": (2, "lr is 0.0"),
    "inspect a b": (2, "inspect: found a b; expected one folder or file"),
    "inspect nowhere": (1, "nowhere: not found, expected a folder"),
    "prepare pictured": (2, "out is missing; expected --out=FOLDER"),
    "prepare pictured --out=new --as=mats": (2, "prepare: as is 'mats'; expected one of 'prepared', 'mat'"),
    "prepare pictured --out=new --encoding=gif": (2, "encoding is 'gif'; expected one of"),
    "prepare pictured --out=new --quality=0": (2, "quality is 0; expected at least 1"),
    "prepare pictured --out=new --jobs=-1": (2, "jobs is -1"),
    "prepare --out=new --dataset_dir=generated": (2, "is 'generated'; expected a data set of files"),
    "prepare pictured --out=new --layout=index": (2, "layout is 'index'; expected --as=mat beside it"),
    "encode model --out=new": (2, "expected one of --images=FOLDER or LIST, --texts=FILE, --pairs=FILE"),
    "encode model --images=pictures --pairs=file --out=new": (2, "expected one of --images"),
    "encode model --images=pictures": (2, "out is missing"),
    "encode model --images=pictures --out=new --shard=4/3": (2, "shard is '4/3'; expected i/n"),
    "encode model --images=pictures --out=new --shard=half": (2, "shard is 'half'"),
    "encode model --images=pictures --out=new --batch=-1": (2, "batch is -1; expected at least 0"),
    "encode model more --images=pictures --out=new": (2, "expected one folder"),
    "encode model --images=nowhere --out=new": (1, "not found, expected a folder of pictures"),
    "encode model --images=pictured/0.png --out=new": (1, "is a picture, expected a folder"),
    "encode model --images=empty --out=new": (1, "nothing to encode there"),
    "encode model --texts=nowhere --out=new": (1, "not found, expected a text on each line"),
    "encode model --pairs=file --out=new": (1, "no encode_pair, because gch has no unified codes"),
    "encode other --pairs=pictures --out=new": (1, "pictures: found a folder, expected .csv"),
    "encode other --images=pictured --batch=4 --out=new": (2, "batch is 4; the model needs 8"),
    "encode vectors --image_vectors=v.npy --text_vectors=t.npy --out=new": (2, "expected one of --images"),
    "encode vectors --image_vectors=t.npy --out=new": (
        1,
        r"t.npy: t has shape \(9, 5\), expected vectors \(items, 6\)",
    ),
    "encode vectors --text_vectors=t.npy --names=file --out=new": (
        1,
        "file: 1 lines, expected 9, one for each",
    ),
    "encode vectors --text_vectors=nan.npy --out=new": (1, r"nan holds nan \(item 300000, column 2\)"),
    "encode vectors --text_vectors=no.npy --out=new": (1, "no.npy: not found, expected a file of arrays"),
    "encode vectors --text_vectors=file --out=new": (1, "file: begins with b'a"),
    "encode vectors --text_vectors=two.npz --out=new": (1, "two.npz: images not found|YAll not found"),
    "encode vectors --texts=file --names=file --out=new": (2, "names are those of vectors"),
    "encode vectors --images=pictured --out=new": (1, "no encode_image, because small has"),
    "encode vectors --texts=file --out=new": (1, "no encode_text_string"),
    "index --out=new": (2, "no codes given"),
    "index codes": (2, "out is missing"),
    "index codes --out=new --kind=hnsw --parameters=M": (2, "expected NAME=NUMBER"),
    "index codes --out=chdb://x --kind=hnsw": (2, "kind and parameters configure FAISS"),
    "search model": (2, "expected MODEL, INDEX and a query"),
    "search model codes": (2, "expected words after MODEL and INDEX"),
    "search model codes dog --find=sounds": (2, "find is 'sounds'; expected one of"),
    "search model codes dog --ranking=x": (2, "ranking is 'x'; expected one of 'asymmetric'"),
    "search model codes dog --count=0": (2, "count is 0; expected at least 1"),
    "search model codes dog --text=-": (2, "expected words after MODEL and INDEX"),
    "search model codes --text=- --picture=-": (2, "reads one file from standard input"),
    "search model codes --image=a --picture=b": (2, "--picture and --image are one option"),
    "search model codes --image=nowhere.png": (1, "nowhere.png: not found, expected a picture file"),
    "search model codes dog --find=pairs": (1, "the index holds no pairs; expected texts"),
    "search vectors codes dog --text_vectors=t.npy": (2, "expected no other query beside them"),
    "search model ftp://x dog": (2, "expected clickhouse://"),
    "serve model": (2, "1 folders given; expected two, MODEL and INDEX"),
    "serve model codes more": (2, "3 folders given; expected two, MODEL and INDEX"),
    "serve model codes --port=65536": (2, "port is 65536; expected at most 65535"),
    "serve model codes --port=-1": (2, "port is -1; expected at least 0"),
    "serve model codes --batch=0": (2, "batch is 0; expected at least 1"),
    "serve model codes --timeout_s=-3": (2, "timeout_s is -3; expected at least 1"),
    "report": (2, "no runs given; expected folders"),
    "sweep --bits=many": (2, "bits is 'many'"),
    "sweep --bits=12": (2, "multiple of 8"),
    "sweep --seeds=-1": (2, "seed is -1"),
    "sweep --methods=gch,magic": (2, "'magic'; expected some of gch"),
    "sweep --bit=8": (2, "--bit varies in a sweep"),
    "sweep --jobs=0": (2, "jobs is 0"),
    "sweep more": (2, "found 'more'; expected flags"),
}
ALL = {name: (words, (1, 2), line) for name, (words, line) in ROWS.items()}
ALL |= {call: (call.split(), (status,), line) for call, (status, line) in CALLS.items()}


def prepare(folder: Path) -> None:
    """What the rows name."""
    import exporting
    from coded import saved
    from PIL import Image
    from sources import opened

    from gch.run import RunFolder
    from gch.search.model_note import NOTE
    from gch.search.note_file import write_note_file
    from gch.settings import load_settings

    for name in ("empty", "pictures", "piped", "pictured"):
        (folder / name).mkdir()
    for row in range(8):
        Image.new("RGB", (224, 224), (30 * row, 0, 0)).save(folder / "pictured" / f"{row}.png")
    for name, columns, values in (
        ("captions.csv", "path,text", "a red square"),
        ("labels.csv", "path,text,labels", "a red square,red"),
    ):
        lines = [columns, *(f"{row}.png,{values}" for row in range(8))]
        (folder / "pictured" / name).write_text("\n".join(lines))
        opened(folder / "pictured", "collection", annotations=name)  # prepares its pictures
    (folder / "file").write_text("a dog\n")
    (folder / "text.keras").write_text("no model")
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "piped" / "FLICKR-25K.mat")
    many = np.zeros((300_001, 5), np.float32)  # more than a block
    many[-1, 2] = np.nan
    for name, array in {"v": np.eye(9, 6), "t": np.eye(9, 5), "nan": many}.items():
        np.save(folder / f"{name}.npy", array)
    np.savez(folder / "two.npz", a=many[:9], b=many[:9])
    np.savez(folder / "codes.npz", Qi=np.ones((4, 8), np.int8))
    strings, of_vectors = ("encode_image", "encode_text_string"), ("encode_image_features", "encode_text")
    for name, changes in {
        "model": {"signatures": strings},
        "other": {"signatures": (*strings, "encode_pair"), "encoding_batch": 8},
        "vectors": {"signatures": of_vectors, "image_size": 0, "image_width": 6, "text_width": 5},
    }.items():
        (folder / name / NOTE).parent.mkdir(parents=True)
        (folder / name / "saved_model.pb").touch()
        write_note_file(folder / name / NOTE, dataclasses.replace(exporting.NOTE, digest=name, **changes))
    saved(folder / "codes", np.zeros((2, BIT // 8), np.uint8), "text", model="model")
    run = RunFolder(folder / "run")
    run.start(load_settings(None, {"bit": BIT, "dataset_dir": "generated", "image_size": 32}), "data")
    run.close()
    (folder / "run" / "best").mkdir()
    for suffix in ("index", "data-00000-of-00001"):
        (folder / "run" / "best" / f"ckpt-1.{suffix}").touch()
    (folder / "run" / "best" / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')


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
    for name, (words, *_) in ALL.items():
        before, output, error = set(folder.rglob("*")), io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            try:
                status = command(["gch", *words])
            except Loaded as module:
                status = f"loads {module}"
        left = sorted(path.relative_to(folder).as_posix() for path in set(folder.rglob("*")) - before)
        found[name] = status, output.getvalue(), error.getvalue(), left
    print(json.dumps(found))


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    place = [sys.executable, __file__, str(tmp_path_factory.mktemp("refusals"))]
    return json.loads(subprocess.run(place, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.parametrize("name", ALL)
def test_a_refusal_needs_no_tensorflow_and_leaves_nothing(name, refusals):
    (status, output, error, left), (_, statuses, line) = refusals[name], ALL[name]
    assert status in statuses, error
    assert error.startswith("gch: error: ")
    assert error.count("\n") == 1
    assert not left
    assert re.search(line, error), error
    assert name in ROWS or not output


if __name__ == "__main__":
    main(Path(sys.argv[1]))
