"""search: searches an index by texts or a picture."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gch.commands import Call
from gch.data.pictures import MAX_FILE_BYTES, decode_picture, read_picture
from gch.data.text_files import file_bytes
from gch.errors import DataError, SettingError
from gch.search.collection_index import CollectionIndex
from gch.search.exported import ExportedModel, ModelNote, read_model_note
from gch.search.index import open_index
from gch.search.query import FINDS, Hit, Searcher, default_find, found_part, require_same_model
from gch.terminal import print_lines

STDIN = "-"


def run(call: Call) -> None:
    """Searches an index with a model, and prints the results, nearest first.

    With `json` each query gets one line, an object of `query` (the text, or the name of the file),
    `find`, `bits` and `results`: a list of `rank`, `distance`, `id`, and `text` of a text or `path` of an
    image, which is left out where it lies outside its folder.
    """
    if len(call.words) < 2:
        raise SettingError("search: a folder is missing; expected MODEL, INDEX and a query")
    options, (model, folder, *words) = call.options, call.words
    if (bool(words), bool(options.text), bool(options.picture)).count(True) != 1:
        raise SettingError(
            "search: expected one of words after MODEL and INDEX, --picture=FILE, and --text=FILE of a query "
            "on each line; - is standard input"
        )
    texts = _lines(options.text) if options.text else [" ".join(words)]
    note, index = read_model_note(Path(model)), open_index(folder)
    require_same_model(note, index)
    find = options.find or default_find("image" if options.picture else "text", index.parts)
    found_part(index, find, options.count)
    if not options.picture:
        note.require("encode_text_string")
        if not "".join(texts).strip():
            raise DataError("search: the query is blank; expected words")
    pictures = [_decoded(options.picture, note)] if options.picture else []
    searcher = Searcher(ExportedModel(model), index)
    if options.picture:
        queries, found = [options.picture], searcher.by_decoded(pictures, find, options.count)
    else:
        queries, found = texts, searcher.by_texts(texts, find, options.count)
    answers = list(zip(queries, found, strict=True))
    print_lines(_objects(answers, find, index) if options.json else _tables(answers))


def _lines(path: str) -> list[str]:
    expected = "expected a text file, UTF-8"
    data = sys.stdin.buffer.read() if path == STDIN else file_bytes(path, expected)
    try:
        lines = [line.strip() for line in io.StringIO(data.decode("utf-8-sig"), None)]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read, {error}; {expected}") from error
    queries = [line for line in lines if line]
    if not queries:
        raise DataError(f"{path}: empty; expected a query on each line")
    return queries


def _decoded(picture: str, note: ModelNote) -> np.ndarray:
    note.require("encode_image")
    if picture != STDIN:
        return read_picture(Path(picture), note.image_size, note.fit)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"standard input: expected a picture of at most {MAX_FILE_BYTES} bytes")
    return decode_picture(data, "standard input", note.image_size, note.fit)


def _objects(answers: Sequence[tuple[str, list[Hit]]], find: str, index: CollectionIndex) -> Iterator[str]:
    part = index.parts[FINDS[find]]

    def result(hit: Hit) -> dict[str, object]:
        value: dict[str, object] = {"rank": hit.rank, "distance": hit.distance, "id": hit.id}
        if hit.text is not None:
            value["text"] = hit.text
        if hit.modality == "image":
            with contextlib.suppress(DataError):
                value["path"] = str(part.picture_path(hit.row))
        return value

    for query, hits in answers:
        yield json.dumps(
            {"query": query, "find": find, "bits": index.bits, "results": [result(hit) for hit in hits]}
        )


def _tables(answers: Sequence[tuple[str, list[Hit]]]) -> Iterator[str]:
    for number, (query, hits) in enumerate(answers):
        if len(answers) > 1:
            yield ("\n" if number else "") + _shown(query)
        ids = [_shown(hit.id) for hit in hits]
        texts = ["" if hit.text is None else _shown(hit.text) for hit in hits]
        width = max(map(len, ids), default=0) if any(texts) else 0
        yield "rank  distance  id" + ("  ".rjust(max(0, width - 2) + 2) + "text" if any(texts) else "")
        for hit, identity, text in zip(hits, ids, texts, strict=True):
            yield f"{hit.rank:4}  {hit.distance:8}  {identity.ljust(width)}  {text}".rstrip()


def _shown(text: str) -> str:
    """A text with control characters escaped, so that it cannot act on a terminal."""
    return text if text.isprintable() else ascii(text)
