"""A collection of coloured squares, a model that sees their colours, and a server of them."""

import asyncio
import contextlib
import dataclasses
import io
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from gch.errors import DataError
from gch.search.collection_index import CollectionIndex, IndexPart, Source
from gch.search.functions import ModelOutputs
from gch.search.hamming import exact_search
from gch.search.model_note import ModelNote
from gch.search.query import Searcher
from gch.serve.app import build_app
from gch.serve.limits import Limits
from gch.serve.server import LOCAL_HOSTS, Server, listen

BITS, SIDE = 24, 8
COLOURS = {
    "red": (255, 0, 0),
    "orange": (255, 128, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
NAMES = list(COLOURS)
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

PAIR_NOTE = dataclasses.replace(NOTE, signatures=(*NOTE.signatures, "encode_pair"))


def relaxed_code(colour) -> np.ndarray:
    """Eight bits a channel, of which as many are 1 as it is bright: distances are those of colours."""
    levels = np.asarray(colour, np.float32)[:, None] / 32 - 0.5 - np.arange(8)
    return np.tanh(levels + 2.0**-8).ravel()


def code(colour: tuple[int, ...]) -> np.ndarray:
    """Its bits."""
    return np.packbits(relaxed_code(colour) >= 0)


CODES = np.stack([code(colour) for colour in COLOURS.values()])


def colour_of(text: str) -> tuple[int, ...]:
    """The colour that the first known word of a text names, such as red or #ff0000."""
    for word in text.split():
        if word in COLOURS:
            return COLOURS[word]
        if word.startswith("#"):
            return tuple(bytes.fromhex(word[1:]))
    raise DataError(f"text {text!r}: none of its words is known to the model")


def square(colour: tuple[int, ...], kind: str = "PNG", side: int = SIDE) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), tuple(colour)).save(file, kind)
    return file.getvalue()


class ColourModel:
    """Remembers the sizes of its batches, and may be slow, or work only while `may` is set."""

    def __init__(self, seconds: float = 0.0, note: ModelNote = NOTE):
        self.note, self.seconds, self.batches, self.may = note, seconds, [], threading.Event()
        self.may.set()

    def picture_outputs(self, pictures) -> ModelOutputs:
        return self._outputs([picture.mean(axis=(0, 1)) for picture in pictures])

    def query_outputs(self, texts, pictures=None, tell=None, refuse=None) -> ModelOutputs:
        """Of a pair, the colour between those of both."""
        colours = np.array([colour_of(text if isinstance(text, str) else " ".join(text)) for text in texts])
        if pictures is not None:
            colours = (colours + [picture.mean(axis=(0, 1)) for picture in pictures]) / 2
        return self._outputs(colours)

    def _outputs(self, colours) -> ModelOutputs:
        self.batches.append(len(colours))
        time.sleep(self.seconds)
        assert self.may.wait(10)
        relaxed = np.stack([relaxed_code(colour) for colour in colours])
        labels = np.zeros((len(colours), 0), np.float32)
        return ModelOutputs(np.packbits(relaxed >= 0, axis=1), relaxed, labels)


def part(modality: str, items: list[dict], folder: Path) -> IndexPart:
    """The items of one modality, whose codes are `CODES`."""
    search, code_at, sources = exact_search(CODES), CODES.__getitem__, [Source(str(folder), len(items))]
    return IndexPart(modality, "flat", sources, search, code_at, lambda rows: [items[row] for row in rows])


def colours(folder: Path, model=None, modalities: tuple[str, ...] = ("image", "text"), **stored) -> Searcher:
    """Searches pictures of all colours, which it writes to a folder, and a text of each, or what is given."""
    folder.mkdir(exist_ok=True)
    for name, colour in COLOURS.items():
        (folder / f"{name}.png").write_bytes(square(colour, side=64))
    items = {
        "image": [{"id": f"{name}.png"} for name in COLOURS],
        "text": [{"id": f"t{row}", "text": f"something {name}"} for row, name in enumerate(COLOURS)],
        "pair": [{"id": f"{name}.png", "text": f"something {name}"} for name in COLOURS],
    }
    items |= stored
    parts = {modality: part(modality, items[modality], folder) for modality in modalities}
    return Searcher(model or ColourModel(), CollectionIndex(BITS, NOTE.digest, parts))


@contextlib.contextmanager
def served(searcher, limits: Limits | None = None, hosts=LOCAL_HOSTS, hidden=()) -> Iterator[str]:
    """A real server on a free port of this machine; its address."""
    limits = limits or Limits()
    server = Server(build_app(searcher, limits, hosts, hidden), limits)

    async def main_loop():  # uvicorn's, which looks only ten times a second whether it is to end
        ticks = itertools.count()
        while not await server.on_tick(next(ticks)):
            await asyncio.sleep(0.01)

    server.main_loop = main_loop
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def connected(*arguments, **options) -> Iterator[httpx.Client]:
    """A client of a server; see `served`."""
    with (
        served(*arguments, **options) as address,
        httpx.Client(base_url=address, timeout=30, verify=False) as client,
    ):
        yield client


def refused(answer, status, reason):
    assert (answer.status_code, answer.json()) == (status, {"error": reason})
