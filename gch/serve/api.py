"""The JSON API."""

import io
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gch.data.pictures import DRAFT, MAX_PIXELS, decode_picture
from gch.data.text_parts import Text
from gch.errors import DataError
from gch.search.query import FINDS, Hit, Searcher
from gch.serve.batching import Batcher
from gch.serve.collection import Collection
from gch.serve.limits import Bodies, Limits, Workers
from gch.serve.pictures import WEBP_WEIGHT, decoding_weight
from gch.serve.refusals import documented
from gch.serve.replies import (
    RANKING,
    Answer,
    Bounds,
    Find,
    Info,
    Item,
    Modality,
    Ranking,
    Sample,
    TextQuery,
    Work,
)

DEFAULT_COUNT = 24
_NOT_BLANK = r"[^\s\x1c-\x1f\x85]"  # as str.strip sees it; \s of JavaScript has fewer signs


def api_routes(
    searcher: Searcher, collection: Collection, batcher: Batcher, decoders: Workers, limits: Limits
) -> APIRouter:
    """Routes below /api. Keys of the batcher are (function that makes answers, find, count ...)."""
    router, note = APIRouter(prefix="/api"), searcher.model.note
    bodies = Bodies(limits)
    sees = "encode_image" in note.signatures and note.image_size  # 0: it takes features
    takes: list[Modality] = ["image"] if sees else []
    takes += ["text"] if note.takes_texts else []
    takes += ["pair"] if len(takes) == 2 and "encode_pair" in note.signatures else []
    count_field = Query(ge=1, le=limits.count, description="largest number of results")
    find_field = Query(
        description="what to find; by default pairs, or the other modality, if the index has it"
    )
    ranking_field = Query(description=RANKING)
    words = {"minLength": 1, "maxLength": limits.text_characters, "pattern": _NOT_BLANK}
    text_field = Query(description="words that with the picture are one query", json_schema_extra=words)

    def require(modality: Modality) -> None:
        if modality not in takes:
            others = " or ".join([*takes, "row"])
            raise HTTPException(404, f"the model takes no {modality}s; expected a search by {others}")

    async def answer(work: Callable, payload: object, find: Find, count: int, *more: str) -> Response:
        with limits.answer_time():
            content = await batcher.submit((work, find, count, *more), payload, count)
        return Response(content, media_type="application/json")

    # These run in the batcher's thread: the event loop neither reads items nor writes JSON.
    def found(hits: list[Hit], find: Find, item: Item | None = None, note: str | None = None) -> bytes:
        results = [collection.result(hit) for hit in hits]
        return _json(Answer(find=find, bits=collection.bits, query=item, note=note, results=results))

    def by_queries(
        queries: list[tuple], find: Find, count: int, ranking: Ranking, given: Modality
    ) -> list[bytes]:
        texts, pictures = zip(*queries, strict=True)
        said: dict[Text, str] = {}
        halves = () if given == "image" else texts, () if given == "text" else pictures
        every = searcher.search(*halves, find, count, ranking, tell=said.__setitem__)
        return [found(hits, find, note=said.get(text)) for text, hits in zip(texts, every, strict=True)]

    def by_rows(items: list[tuple[Modality, int]], find: Find, count: int) -> list[bytes]:
        return [found(searcher.by_row(*item, find, count), find, collection.item(*item)) for item in items]

    def samples(wanted: list, find: Find, count: int) -> list[bytes]:
        return [_json(Sample(find=find, results=collection.spread(find, count)))] * len(wanted)

    @router.get("/info", response_model_exclude_none=True)
    async def info() -> Info:
        """The model, the collection, the kinds of query, and the limits of a request."""
        return Info(
            dataset=note.dataset,
            method=note.method,
            bits=collection.bits,
            queries=takes,
            **{find: collection.part(find) for find in FINDS},
            limits=Bounds.model_validate(limits, from_attributes=True),
            work=Work.model_validate(batcher, from_attributes=True),
        )

    @router.get("/sample", response_model=Sample, responses=documented())
    async def sample(find: Find, count: Annotated[int, count_field] = DEFAULT_COUNT) -> Response:
        """Items spread evenly over the collection."""
        return await answer(samples, None, collection.find(find, "text"), count)

    @router.post(
        "/search/text",
        response_model=Answer,
        responses=documented(body=True),
        openapi_extra=_body(
            "application/json", _query_schema(limits), f"of at most {limits.query_bytes} bytes"
        ),
    )
    async def search_text(request: Request) -> Response:
        """Searches by a text or by tags."""
        require("text")
        found = request.headers.get("content-type", "").lower()[:100]
        if found.partition(";")[0].strip() != "application/json":
            raise HTTPException(415, f"content-type: {found or 'none'}, expected application/json")
        async with bodies.read(request, limits.query_bytes) as body:
            query, text = _text_query(body, limits)
            find = collection.find(query.find, "text")
            return await answer(by_queries, (text, None), find, query.count, query.ranking, "text")

    @router.post(
        "/search/picture",
        response_model=Answer,
        responses=documented(body=True),
        openapi_extra=_body(
            "application/octet-stream",
            {"type": "string", "format": "binary", "minLength": 1, "maxLength": limits.body_bytes},
            f"a picture of at most {limits.pixels} pixels, {limits.pixels // WEBP_WEIGHT} as WebP, "
            f"{MAX_PIXELS} as a JPEG that is not progressive; {limits.side} a side",
        ),
    )
    async def search_picture(
        request: Request,
        find: Annotated[Find | None, find_field] = None,
        count: Annotated[int, count_field] = DEFAULT_COUNT,
        ranking: Annotated[Ranking, ranking_field] = "asymmetric",
        text: Annotated[str | None, text_field] = None,
    ) -> Response:
        """Searches by a picture, or by a picture and words at once. The body is a JPEG, PNG, GIF, BMP, WebP,
        TIFF or PPM file.
        """
        require("image")
        given: Modality = "image" if text is None else "pair"
        if text is not None:
            require("pair")
            _require_words(text, limits)
        found = request.headers.get("content-type", "").lower()[:100]
        # curl --data-binary calls the bytes of a file application/x-www-form-urlencoded.
        if found.startswith(("multipart/", "application/json")):
            raise HTTPException(415, f"content-type: {found}, expected the bytes of a picture file")
        chosen = collection.find(find, given)
        async with bodies.read(request, limits.body_bytes) as body:
            with limits.answer_time():
                run, size = partial(decoders.run, request), note.image_size
                weight = await run(len(body), decoding_weight, io.BytesIO(body), size * DRAFT)
                if weight > limits.pixels:
                    raise DataError(f"picture: {weight} pixels to decode, expected at most {limits.pixels}")
                weight = max(weight, len(body))
                picture = await run(weight, decode_picture, body, "picture", size, note.fit)
            return await answer(by_queries, (text, picture), chosen, count, ranking, given)

    @router.get("/search/row", response_model=Answer, responses=documented())
    async def search_row(
        modality: Modality,
        row: Annotated[int, Query(ge=0, description="row of an item, as in results")],
        find: Annotated[Find | None, find_field] = None,
        count: Annotated[int, count_field] = DEFAULT_COUNT,
    ) -> Response:
        """Searches by an item of the collection."""
        collection.require(modality, row)
        return await answer(by_rows, (modality, row), collection.find(find, modality), count)

    return router


def _text_query(body: bytes, limits: Limits) -> tuple[TextQuery, str | tuple[str, ...]]:
    """A query, and its text or its tags."""
    try:
        query = TextQuery.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)[:1]) from error
    if (query.text is None) == (query.tags is None):
        raise DataError("expected either text or tags")
    if query.count > limits.count:
        raise DataError(f"count: {query.count}, expected at most {limits.count}")
    if query.tags is not None and not 0 < len(query.tags) <= limits.tags:
        raise DataError(f"tags: {len(query.tags)} of them, expected 1 to {limits.tags}")
    text = query.text or " ".join(query.tags or ())
    _require_words(text, limits)
    return query, text if query.tags is None else tuple(query.tags)


def _require_words(text: str, limits: Limits) -> None:
    if not text.strip():
        raise DataError("text: empty, expected words")
    if len(text) > limits.text_characters:
        raise DataError(f"text: {len(text)} characters, expected at most {limits.text_characters}")


def _query_schema(limits: Limits) -> dict:
    """What `_text_query` accepts: either a text or tags, which hold a character that is no blank."""
    schema = TextQuery.model_json_schema()
    words = {"minLength": 1, "maxLength": limits.text_characters}
    fields = schema["properties"]
    fields["count"]["maximum"] = limits.count
    fields["text"]["anyOf"][0] |= words | {"pattern": _NOT_BLANK}
    tags = {"minItems": 1, "maxItems": limits.tags, "contains": {"type": "string", "pattern": _NOT_BLANK}}
    fields["tags"]["anyOf"][0] |= tags | {"items": {"type": "string", **words}}
    fields["tags"]["description"] += (
        f"; together at most {limits.text_characters} characters, with blanks between"
    )
    schema["oneOf"] = [
        {"required": [name], "properties": {name: {"type": kind}}}
        for name, kind in (("text", "string"), ("tags", "array"))
    ]
    return schema


def _body(media: str, schema: dict, limits: str) -> dict:
    content = {media: {"schema": schema}}
    return {"requestBody": {"required": True, "description": limits, "content": content}}


def _json(answer: BaseModel) -> bytes:
    return answer.model_dump_json(exclude_none=True).encode()
