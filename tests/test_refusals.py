"""What is wrong without a doubt is refused in one line before TensorFlow loads, and changes nothing."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BIT = 16
SHORT = {  # words of command lines that stand for others
    "@embedded": ["--dataset_dir=generated", "--image_size=8"],
    "@captions": ["--dataset_dir=collection", "--DATA_DIR=pictured", "--annotations=captions.csv"],
    "@pictures": ["--dataset_dir=collection", "--CACHE_DIR=../cache"],
    "@arrays": ["--dataset_dir=files", "--CACHE_DIR=../cache"],
    "@vectors": ["--dataset_dir=files", "--CACHE_DIR=../cache", "--DATA_DIR=vectors.npz"],
    "@labels": ["--dataset_dir=collection", "--DATA_DIR=pictured", "--annotations=labels.csv"],
}
MISUSED = {  # a command line, and what it says; the exit status is 2
    "--bits=16": "'bits'.*bit",
    "--bit=many": "--bit is 'many'; expected a whole number",
    "--bit=12": "multiple of 8",
    "--dataset=wiki": "dataset_dir is 'wiki'",
    "--graph=maybe": "'maybe'.*'label', 'batch', 'none'",
    "--teacher=maybe": "--teacher is 'maybe'; expected True or False",
    "tain": "'tain'.*train, test, help",
    "tain eval": "'tain'.*train, test, help",
    "--bit 16 eval": "eval: no codes given; expected files",
    "--Epoch": "Epoch",
    "--max_epoch=3 --Epoch=3": "--max_epoch and --Epoch are one setting",
    "--settings=nowhere.py": "nowhere.py: not found",
    "--method=agah train --lr=0": "lr is 0.0",
    "train --bit=80000000000000000000000": "bit is 80000.*at most 65536",
    "train --image_size=100000": "image_size is 100000; expected at most",
    "train --Epoch=1e20": "Epoch",
    "train --batch_size=1000000000000": "batch_size .* at most",
    "train --emb_dim=1048576": "SEMANTIC_EMBED is 1048576; expected at most 65536",
    "train --method=agah @embedded --txt_widths=" + ",".join("1" * 1000): "lists 1000 numbers; expected 100",
    "train @embedded --run_name=" + "a" * 300: "run_name is .* expected 200 bytes",
    "train --settings=fifo": "fifo: not a regular file",
    "train @embedded --netStr=text.keras --backbone_start=random": "backbone_start: found 'random'",
    "train @embedded --affinity=pairs --graph=none": "affinity is 'pairs' and graph is 'none'; "
    "pairs are learned with graph 'label' only",
    "train @embedded --affinity=both --graph=batch": "affinity is 'both' and graph is 'batch'; "
    "pairs are learned with",
    "train @embedded '--run_name=a\nb'": r"run_name is 'a\\nb'; expected a plain name",
    "train @vectors --netStr=models/gone": "'models/gone', and no SavedModel is at this path; expected",
    "train @vectors --txtStr=gone": r"txtStr is 'gone'; expected words, sentences, "
    r"sentences\+words, a .keras file or",
    "train test": "train and test",
    "test one two": "test: found one two; expected the folder of one run",
    "test nowhere": "nowhere: no settings.json in it; expected the folder of a run",
    "inspect a b": "inspect: found a b; expected one folder or file",
    "prepare pictured": "out is missing; expected --out=FOLDER",
    "prepare pictured --out=new --as=mats": "prepare: as is 'mats'; expected one of 'prepared', 'mat'",
    "prepare pictured --out=new --encoding=gif": "encoding is 'gif'; expected one of",
    "prepare pictured --out=new --quality=0": "quality is 0; expected at least 1",
    "prepare pictured --out=new --jobs=-1": "jobs is -1",
    "prepare --out=new --dataset_dir=generated": "is 'generated'; expected a data set of files",
    "prepare pictured --out=new --layout=index": "layout is 'index'; expected --as=mat beside it",
    "encode model --out=new --texts=file --bit=7": "bit is 7; expected at least 8",
    "encode model --out=new": "expected one of --images=FOLDER or LIST, --texts=FILE, --pairs=FILE",
    "encode model --images=pictures --pairs=file --out=new": "expected one of --images",
    "encode model --images=pictures": "out is missing",
    "encode model --images=pictures --out=new --shard=4/3": "shard is '4/3'; expected i/n",
    "encode model --images=pictures --out=new --shard=half": "shard is 'half'",
    "encode model --images=pictures --out=new --batch=-1": "batch is -1; expected at least 0",
    "encode model more --images=pictures --out=new": "expected one folder",
    "encode other --images=pictured --batch=4 --out=new": "batch is 4; the model needs 8",
    "encode vectors --image_vectors=v.npy --text_vectors=t.npy --out=new": "expected one of --images",
    "encode vectors --texts=file --names=file --out=new": "names are those of vectors",
    "index --out=new": "no codes given",
    "index codes": "out is missing",
    "index codes --out=new --kind=hnsw --parameters=M": "expected NAME=NUMBER",
    "index codes --out=chdb://x --kind=hnsw": "kind and parameters configure FAISS",
    "search model": "expected MODEL, INDEX and a query",
    "search model codes": "expected words after MODEL and INDEX",
    "search model codes dog --find=sounds": "find is 'sounds'; expected one of",
    "search model codes dog --ranking=x": "ranking is 'x'; expected one of 'asymmetric'",
    "search model codes dog --count=0": "count is 0; expected at least 1",
    "search model codes dog --text=-": "expected words after MODEL and INDEX",
    "search model codes --text=- --picture=-": "reads one file from standard input",
    "search model codes --image=a --picture=b": "--picture and --image are one option",
    "search vectors codes dog --text_vectors=t.npy": "expected no other query beside them",
    "search model ftp://x dog": "expected clickhouse://",
    "serve model": "1 folders given; expected two, MODEL and INDEX",
    "serve model codes more": "3 folders given; expected two, MODEL and INDEX",
    "serve model codes --port=65536": "port is 65536; expected at most 65535",
    "serve model codes --port=-1": "port is -1; expected at least 0",
    "serve model codes --batch=0": "batch is 0; expected at least 1",
    "serve model codes --timeout_s=-3": "timeout_s is -3; expected at least 1",
    "eval ''": "argument 2 is empty; expected a word, a file or a folder",
    "report": "no runs given; expected folders",
    "sweep --bits=²": "bits is '²'; expected whole numbers",
    "sweep --bits=many": "bits is 'many'",
    "sweep --bits=12": "multiple of 8",
    "sweep --seeds=-1": "seed is -1",
    "sweep --methods=gch,magic": "'magic'; expected some of gch",
    "sweep --bit=8": "--bit varies in a sweep",
    "sweep --jobs=0": "jobs is 0",
    "sweep more": "found 'more'; expected flags",
}
REFUSED = {  # a command line, and what it says; the exit status is 1
    "train --method=agah @embedded --txt_widths=999999999": "txt_widths: needs .* GiB",
    "train --method=dcmh --img_widths=999999999 @embedded": "img_widths: needs .* GiB",
    "train --dataset_dir=generated --image_size=16384": "error: image_size: needs ",
    "train @embedded --SEMANTIC_EMBED=65536 --bit=65536": "error: SEMANTIC_EMBED: needs ",
    "train @embedded --QUERY_SIZE=400 --TRAINING_SIZE=300": "TRAINING_SIZE = 300.*QUERY_SIZE.*200 items",
    "train @embedded --QUERY_SIZE=601": "QUERY_SIZE = 601.*600 items",
    "train @embedded --TRAINING_SIZE=501": "TRAINING_SIZE = 501.*500 items",
    "train @embedded --batch_size=501": "batch_size is 501.*450 items",
    "train --dataset_dir=FLICKR --DATA_DIR=empty": "no data set found for FLICKR.*expected FLICKR-25K.mat",
    "train --dataset_dir=FLICKR --DATA_DIR=foreign.mat": "foreign.mat: begins with b'%PDF-1.7'; "
    "expected MATLAB v5 or v7.3, HDF5, .npz or .npy",
    "train --dataset_dir=FLICKR --DATA_DIR=cut": "-iall.mat: cannot be opened as HDF5, .*truncated",
    "train @arrays --DATA_DIR=features.mat --split=pickled.npz": "pickled.npz: query holds Python's objects",
    "train @pictures --DATA_DIR=broken --broken=stop": "0.png: .*expected",
    "train @arrays --DATA_DIR=words.npz --txtStr=sentences": "files does not name its words; expected 'word",
    "train @vectors --txtStr=sentences": "text vectors of 8 dimensions, expected 512",
    "train @vectors --txtStr=sentences+words": "files has text vectors, expected words or",
    "train @vectors --txtStr=gone.keras": "gone.keras: not found, expected a",
    "train @labels --netStr=vggf --MODEL_DIR=empty/vgg-f.mat": "vgg-f.mat.*MatConvNet.*start='random'",
    "train @embedded --num_label=3": "num_label is 3; generated has 8 labels",
    "train @embedded --tag_dim=3": "tag_dim is 3; generated has 40 words",
    "train @embedded --log_dir=file": "file: cannot be written",
    "train @embedded --log_dir=file/logs": "file/logs: cannot be written",
    "train @embedded --checkpoint_dir=file": "file: cannot be written",
    "train @embedded --split=gone.npz": "gone.npz: not found",
    "train @embedded --split=fifo": "fifo: not a regular file",
    "train @embedded --netStr=gone.keras": "gone.keras: not found",
    "train @embedded --netStr=text.keras": "text.keras: found File is not a zip file",
    "train @embedded --netStr=InceptionV3": "InceptionV3 expects at least 75",
    "train @captions --graph=none": "graph is 'none', but collection has no labels",
    "train @captions --graph=batch": "graph is 'batch', but collection has no labels",
    "train @captions --method=agah": "method is 'agah', but collection has no labels; "
    "expected data with labels, or method 'gch' with",
    "train @captions --method=dcmh": "method is 'dcmh', but collection has no labels",
    "train @captions --affinity=labels": "affinity is 'labels', but .* has no lab",
    "train @captions --affinity=both": "affinity is 'both', but .* has no labels",
    "train @embedded --affinity=pairs --backbone=trained": "backbone is 'trained', but affinity is 'pairs'; "
    "only labels train it, expected 'frozen'",
    "train @captions --backbone=trained": "backbone is 'trained', but collection has no labels; "
    "only labels train it, expected 'frozen'",
    "train @embedded --netStr=vggf": "image_size: found 8, expected 224",
    "train @labels --netStr=vggf --MODEL_DIR=fifo": "fifo: not a regular file",
    "train @labels --netStr=vggf --MODEL_DIR=file": "file: cannot be read as a MATLAB v5 file",
    "train @labels --netStr=vggf --backbone_start=random --meanpath=gone.h5": "gone.h5: ",
    "train @embedded --load_model_path=file": "file: no best checkpoint",
    "train @embedded --load_model_path=run --bit=32": "run: a run with bit = 16; load_model_path expects one",
    "train --dataset_dir=files --DATA_DIR=fifo": "fifo: not a regular file",
    "test @embedded": "no checkpoint to test",
    "export empty": "empty: no settings.json in it; expected the folder of a run",
    "export run --out=file": "file: holds something other than a model",
    "export run --out=file/model": "file: cannot be written",
    "inspect /dev/zero": "/dev/zero: not a regular file",
    "inspect piped --dataset_dir=FLICKR": r"the folder holds FLICKR-25K.mat \(not a regular file\)",
    "inspect nowhere": "nowhere: not found, expected a folder",
    "prepare fifo --out=new": "fifo: not a regular file",
    "encode empty --images=pictures --out=new": "empty: no saved_model.pb",
    "encode model --out=new --images=fifo": "fifo: not a regular file",
    "encode model --out=new --texts=fifo": "fifo: not a regular file",
    "encode model --texts=file --out=empty/..": "holds other files",
    "encode model --images=nowhere --out=new": "not found, expected a folder of pictures",
    "encode model --images=pictured/0.png --out=new": "is a picture, expected a folder",
    "encode model --images=empty --out=new": "nothing to encode there",
    "encode model --texts=nowhere --out=new": "not found, expected a text on each line",
    "encode model --pairs=file --out=new": "no encode_pair, because gch has no unified codes",
    "encode other --pairs=pictures --out=new": "pictures: found a folder, expected .csv",
    "encode model --image_vectors=v.npy --out=new": "no encode_image_vector, because small has no vectors",
    "encode vectors --image_vectors=t.npy --out=new": r"t has shape \(9, 5\), expected vectors \(items, 6\)",
    "encode vectors --text_vectors=t.npy --names=file --out=new": "file: 1 lines, expected 9, one for each",
    "encode vectors --text_vectors=nan.npy --out=new": r"nan holds nan \(item 300000, column 2\)",
    "encode vectors --text_vectors=no.npy --out=new": "no.npy: not found, expected a file of arrays",
    "encode vectors --text_vectors=file --out=new": "file: begins with b'a",
    "encode vectors --text_vectors=two.npz --out=new": "two.npz: images not found|YAll not found",
    "encode vectors --images=pictured --out=new": "no encode_image, because small has",
    "encode vectors --texts=file --out=new": "no encode_text_string",
    "index empty --out=new": "empty: no codes.json",
    "index codes --out=file": "file: holds something other",
    "search model empty dog": "empty: no index.json or codes.json",
    "search model codes ' '": "the query is blank",
    "search model codes --picture=fifo": "fifo: not a regular file",
    "search model codes --image=nowhere.png": "nowhere.png: not found, expected a picture file",
    "search model codes dog --find=pairs": "the index holds no pairs; expected texts",
    "search model codes dog --picture=file": "no encode_pair, because gch has no unified codes",
    "serve model empty --port=0": "empty: no index.json or codes.json",
    "serve other codes --port=0": "expected the one that encoded",
    "eval fifo": "fifo: not a regular file",
    "eval codes.npz --out=file": "file: cannot be written",
    "report empty": "results.json: not found",
    "report run --out=fifo": "fifo: ",
    "report run --out=file/page.html": "file: cannot be written",
    "sweep --out=file": "file: cannot be written",
}


def prepare(folder: Path) -> None:
    """What the command lines name."""
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


def states(folder: Path) -> set[tuple[str, int]]:
    """The paths in a folder, and the dates of its files."""
    return {(str(path), path.stat().st_mtime_ns if path.is_file() else 0) for path in folder.rglob("*")}


def main(folder: Path) -> None:
    """Runs the command lines where TensorFlow cannot be imported; prints what each did as JSON."""
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
    for call in MISUSED | REFUSED:
        words = [part for word in shlex.split(call) for part in SHORT.get(word, [word])]
        before, output, error = states(folder), io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            try:
                status = command(["gch", *words])
            except Loaded as module:
                status = f"loads {module}"
        changed = sorted(dict(states(folder) - before))
        found[call] = status, output.getvalue(), error.getvalue(), changed
    print(json.dumps(found))


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    place = [sys.executable, __file__, str(tmp_path_factory.mktemp("refusals"))]
    return json.loads(subprocess.run(place, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.parametrize("call", MISUSED | REFUSED)
def test_a_refusal_needs_no_tensorflow_and_changes_nothing(call, refusals):
    status, output, error, changed = refusals[call]
    assert status == (2 if call in MISUSED else 1), error
    assert error.startswith("gch: error: ")
    assert (error.count("\n"), len(error) < 1000) == (1, True)
    assert not changed
    assert re.search((MISUSED | REFUSED)[call], error), error
    assert call in REFUSED or not output


if __name__ == "__main__":
    main(Path(sys.argv[1]))
