"""search: searches an index by texts, a picture, or both."""

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gch.commands import Call
from gch.data.pictures import MAX_FILE_BYTES, decode_picture, read_picture
from gch.data.text_files import printable, stream_lines, text_lines
from gch.data.text_parts import Text
from gch.errors import DataError, SettingError
from gch.search.collection_index import CollectionIndex
from gch.search.entries import vector_entries
from gch.search.exported import ExportedModel
from gch.search.index import open_index
from gch.search.model_note import ModelNote, read_model_note
from gch.search.query import FINDS, Hit, Searcher, default_find, part_to_search, require_same_model

STDIN = "-"
DIGITS = 4  # of a score


class _Answer(NamedTuple):
    text: str
    picture: str  # name of the file
    hits: list[Hit]
    note: str | None = None
    error: str | None = None


def run(call: Call) -> None:
    """Searches an index with a model, and prints the results, nearest first.

    With `json` each query gets one line, an object of `query` (the text, or without one the name of the
    file), `picture` (the name of the file beside a text), `note` where known words took the place of unknown
    ones, `error` where no word is known, `find`, `bits` and `results`: a list of `rank`, `distance`, `score`
    (the asymmetric distance, unless ranked by Hamming distance), `id`, `text` of a text or a pair, and `path`
    of an image or a pair, which is left out where it lies outside its folder, or where there is no picture.

    A query without a known word does not keep others from their results. DataError if all are such.
    """
    if len(call.words) < 2:
        raise SettingError("search: a folder is missing; expected MODEL, INDEX and a query")
    options, (model, folder, *words) = call.options, call.words
    if options.picture and options.image:
        raise SettingError("search: --picture and --image are one option; expected one of them")
    picture = options.picture or options.image
    vectors = {name: getattr(options, f"{name}_vectors") for name in ("image", "text")}
    vectors = {name: place for name, place in vectors.items() if place}
    if vectors:
        if len(vectors) > 1 or words or options.text or picture:
            fault = "search: vectors are queries by themselves"
            raise SettingError(f"{fault}; expected no other query beside them")
        _search_vectors(model, folder, *vectors.popitem(), options)
        return
    if (words and options.text) or not (words or options.text or picture) or options.text == picture == STDIN:
        raise SettingError(
            "search: expected words after MODEL and INDEX, or --text=FILE with a query on each line, or "
            "--picture=FILE, alone or with one of these; '-' reads one file from standard input"
        )
    note, index = read_model_note(Path(model)), open_index(folder)
    require_same_model(note, index)
    if words:
        texts = [" ".join(words)]
    elif picture and options.text and options.text != STDIN and not os.path.exists(options.text):
        texts = [options.text]
    else:
        texts = _lines(options.text) if options.text else []
    given = "pair" if texts and picture else "image" if picture else "text"
    if given == "pair":
        note.require("encode_pair")
    find = options.find or default_find(given, index.parts)
    part_to_search(index, find, options.count)
    if given == "text":
        note.require("encode_text_string")
    if texts and not "".join(texts).strip():
        raise DataError("search: the query is blank; expected words")
    pictures = [_decoded(picture, note)] * max(1, len(texts)) if picture else []
    said: dict[Text, str] = {}
    refused: dict[Text, str] = {}
    told = {"tell": said.__setitem__, "refuse": refused.__setitem__}
    searcher = Searcher(ExportedModel(model), index)
    found = searcher.search(texts, pictures, find, options.count, options.ranking, **told)
    if texts and refused.keys() >= set(texts):
        raise DataError(refused[texts[0]])
    answers = [
        _Answer(text, picture, [] if text in refused else hits, said.get(text), refused.get(text))
        for text, hits in zip(texts or [""], found, strict=True)
    ]
    _print(answers, find, index, options.json)


def _search_vectors(model: str, folder: str, modality: str, place: str, options: Any) -> None:
    """Searches by each vector of a file, whose query is the number of its row, from 0 on."""
    note, index = read_model_note(Path(model)), open_index(folder)
    require_same_model(note, index)
    width = note.vector_width(modality)
    find = options.find or default_find(modality, index.parts)
    part_to_search(index, find, options.count)
    entries = list(vector_entries(Path(place), modality, width, None))
    if not entries:
        raise DataError(f"{place}: empty; expected a query in each row")
    searcher = Searcher(ExportedModel(model), index)
    vectors = np.array([entry.vector for entry in entries])
    found = searcher.by_vectors(modality, vectors, find, options.count, options.ranking)
    answers = [_Answer(entry.id, "", hits) for entry, hits in zip(entries, found, strict=True)]
    _print(answers, find, index, options.json)


def _print(answers: Sequence[_Answer], find: str, index: CollectionIndex, json_lines: bool) -> None:
    for line in _objects(answers, find, index) if json_lines else _tables(answers):
        print(line)


def _lines(path: str) -> list[str]:
    expected = "expected a query on each line"
    if path == STDIN:
        lines = stream_lines(io.BytesIO(sys.stdin.buffer.read()), "standard input", expected)
    else:
        lines = text_lines(Path(path), expected)
    queries = [words for _, line in lines if (words := line.strip())]
    if not queries:
        raise DataError(f"{path}: empty; {expected}")
    return queries


def _decoded(picture: str, note: ModelNote) -> np.ndarray:
    note.require("encode_image")
    if picture != STDIN:
        return read_picture(Path(picture), note.image_size, note.fit)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"standard input: expected a picture of at most {MAX_FILE_BYTES} bytes")
    return decode_picture(data, "standard input", note.image_size, note.fit)


def _objects(answers: Sequence[_Answer], find: str, index: CollectionIndex) -> Iterator[str]:
    part = index.parts[FINDS[find]]

    def result(hit: Hit) -> dict[str, object]:
        value: dict[str, object] = {"rank": hit.rank, "distance": hit.distance}
        if hit.score is not None:
            value["score"] = round(hit.score, DIGITS)
        value["id"] = hit.id
        if hit.text is not None:
            value["text"] = hit.text
        path = part.picture(hit.row, hit.id)
        return value | ({} if path is None else {"path": str(path)})

    for text, picture, hits, note, error in answers:
        given = {"query": text or picture, "picture": picture if text else "", "note": note, "error": error}
        value = {name: words for name, words in given.items() if words}
        found = {"find": find, "bits": index.bits, "results": [result(hit) for hit in hits]}
        yield json.dumps(value | found)


def _tables(answers: Sequence[_Answer]) -> Iterator[str]:
    for number, (text, picture, hits, note, error) in enumerate(answers):
        if len(answers) > 1:
            yield ("\n" if number else "") + printable(" + ".join(filter(None, (text, picture))))
        if line := note or error:
            yield printable(line)
        if error:
            continue
        ids = [printable(hit.id) for hit in hits]
        texts = ["" if hit.text is None else printable(hit.text) for hit in hits]
        scores = ["" if hit.score is None else f"{hit.score:9.2f}" for hit in hits]
        width = max(map(len, ids), default=0) if any(texts) else 0
        head = "rank  distance" + ("    score" if any(scores) else "") + "  id"
        yield head + ("  ".rjust(max(0, width - 2) + 2) + "text" if any(texts) else "")
        for hit, score, identity, text in zip(hits, scores, ids, texts, strict=True):
            yield f"{hit.rank:4}  {hit.distance:8}{score}  {identity.ljust(width)}  {text}".rstrip()
