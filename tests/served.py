"""A collection of coloured squares, a model that sees their colours, and a server of them."""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import uvicorn
from PIL import Image

from gch.data.pictures import decode_picture
from gch.errors import DataError
from gch.search.exported import ModelNote, ModelOutputs
from gch.serve.app import build_app
from gch.serve.limits import Limits
from gch.serve.patience import patient_protocol

BITS, SIDE = 24, 8
HERE = frozenset({"127.0.0.1", "localhost", "::1"})
COLOURS = {
    "red": (255, 0, 0),
    "orange": (255, 128, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
TEXTS = tuple(f"something {name}" for name in COLOURS)
NOTE = ModelNote(
    bits=BITS,
    image_size=SIDE,
    fit="crop",
    digest="0" * 64,
    dataset="colours",
    run="openmoji_gch",
    method="gch",
    label_names=(),
    signatures=("encode_image", "encode_text_string"),
    encoding_batch=None,
)


def code(colour: tuple[int, ...]) -> np.ndarray:
    """Eight bits a channel, of which as many are set as it is bright: distances are those of colours."""
    levels = (np.asarray(colour) + 16) // 32
    return np.packbits(np.arange(8) < levels[:, None])


def colour_of(text: str) -> tuple[int, ...]:
    """The colour that the first known word of a text names, such as red or #ff0000."""
    for word in text.split():
        if word in COLOURS:
            return COLOURS[word]
        if word.startswith("#"):
            return tuple(bytes.fromhex(word[1:]))
    raise DataError(f"text {text!r}: no word that the model knows")


def distances(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.bitwise_count(first ^ others).sum(axis=-1).astype(int)


def square(colour: tuple[int, ...], kind: str = "PNG", side: int = SIDE) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), tuple(colour)).save(file, kind)
    return file.getvalue()


class ColourModel:
    """Remembers the sizes of its batches, and may be slow."""

    note = NOTE

    def __init__(self, seconds: float = 0.0):
        self.seconds, self.batches = seconds, []

    def encode_pictures(self, pictures: np.ndarray) -> ModelOutputs:
        return self._encoded([picture.mean(axis=(0, 1)).astype(int) for picture in pictures])

    def encode_texts(self, texts) -> ModelOutputs:
        return self._encoded([colour_of(text if isinstance(text, str) else " ".join(text)) for text in texts])

    def _encoded(self, colours) -> ModelOutputs:
        self.batches.append(len(colours))
        time.sleep(self.seconds)
        codes = np.stack([code(colour) for colour in colours])
        return ModelOutputs(codes, np.unpackbits(codes, axis=1) * 2.0 - 1, np.zeros((len(codes), 0)))


class Part:
    """Items of one modality, as `gch.search.index.IndexPart` has them."""

    kind = "flat"

    def __init__(self, modality: str, codes: np.ndarray, items: list[dict], root: Path | None = None):
        self.modality, self.codes, self.items, self._root = modality, codes, items, root

    def __len__(self) -> int:
        return len(self.items)

    def item(self, row: int) -> dict:
        return self.items[row]

    def picture_path(self, row: int) -> Path:
        path = (self._root / self.items[row]["id"]).resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise DataError(f"{path}: lies outside of {self._root}")
        return path


class Searcher:
    """Plain NumPy behind the interface of `gch.search.query.Searcher`."""

    def __init__(self, model, parts: dict[str, Part]):
        self.model, self.index = model, SimpleNamespace(parts=parts, bits=BITS, model=model.note.digest)

    def by_texts(self, texts, find, count):
        return self._nearest(self.model.encode_texts(texts).codes, find, count)

    def by_pictures(self, pictures, find, count):
        fit = self.model.note.image_size, self.model.note.fit
        return self.by_decoded([decode_picture(data, name, *fit) for data, name in pictures], find, count)

    def by_decoded(self, pictures, find, count):
        return self._nearest(self.model.encode_pictures(np.stack(pictures)).codes, find, count)

    def by_row(self, modality, row, find, count):
        return self._nearest(self.index.parts[modality].codes[row : row + 1], find, count)[0]

    def _nearest(self, codes, find, count):
        part = self.index.parts[find.removesuffix("s")]
        found = []
        for one in codes:
            away = distances(part.codes, one)
            rows = np.argsort(away, kind="stable")[:count]
            found.append([self._hit(part, rank, row, away[row]) for rank, row in enumerate(rows.tolist(), 1)])
        return found

    def _hit(self, part, rank, row, distance):
        told = part.item(row)
        return SimpleNamespace(
            rank=rank,
            distance=int(distance),
            row=row,
            modality=part.modality,
            id=told["id"],
            text=told.get("text"),
        )


def collection(folder: Path, modalities: tuple[str, ...] = ("image", "text")) -> dict[str, Part]:
    """The pictures of all colours, in files, and a text of each."""
    codes = np.stack([code(colour) for colour in COLOURS.values()])
    folder.mkdir(exist_ok=True)
    for name, colour in COLOURS.items():
        (folder / f"{name}.png").write_bytes(square(colour, side=64))
    images = [{"id": f"{name}.png"} for name in COLOURS]
    texts = [{"id": f"t{row}", "text": text} for row, text in enumerate(TEXTS)]
    parts = {"image": Part("image", codes, images, folder), "text": Part("text", codes, texts)}
    return {modality: parts[modality] for modality in modalities}


@contextlib.contextmanager
def served(searcher, limits: Limits | None = None, hosts=HERE, hidden=()) -> Iterator[str]:
    """A real server on a free port of this machine; its address."""
    limits = limits or Limits()
    app = build_app(searcher, limits, hosts, hidden)
    config = uvicorn.Config(
        app,
        port=0,
        http=patient_protocol(limits.head_seconds),
        ws="none",
        log_level="critical",
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def connected(*arguments, **options) -> Iterator[httpx.Client]:
    """A client of a server; see `served`."""
    with served(*arguments, **options) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def refused(answer, status, reason):
    assert (answer.status_code, answer.json()) == (status, {"error": reason})


if __name__ == "__main__":  # Serves a folder of coloured squares, for tests of the process.
    from gch.serve.server import listen, serve

    with listen("127.0.0.1", int(sys.argv[2])) as taken:
        searcher = Searcher(ColourModel(float(sys.argv[3])), collection(Path(sys.argv[1])))
        serve(searcher, Limits(batch=int(sys.argv[4])), taken, "127.0.0.1", ())
