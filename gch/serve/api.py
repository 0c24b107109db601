"""The JSON API."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from gch.errors import DataError
from gch.search.exported import ModelNote
from gch.serve.collection import Collection, result
from gch.serve.documented import refusals
from gch.serve.faults import told
from gch.serve.limits import Limits
from gch.serve.queries import Queries
from gch.serve.replies import Answer, Bounds, Find, Info, Item, Modality, Sample, TextQuery, Work

DEFAULT_COUNT = 24
_NEEDED = {"image": "encode_image", "text": "encode_text_string"}


def api_routes(note: ModelNote, collection: Collection, queries: Queries, limits: Limits) -> APIRouter:
    """Routes below /api.

    Args:
      note: of the model.
      collection: what is searched.
      queries: search it.
      limits: `count`, `text_characters` and `tags`; the others are told.
    """
    router = APIRouter(prefix="/api")
    brief = {"response_model_exclude_none": True}
    asks = [modality for modality, signature in _NEEDED.items() if signature in note.signatures]
    if not note.image_size and "image" in asks:  # It takes features.
        asks.remove("image")
    count_field = Query(ge=1, le=limits.count, description="number of results at most")
    find_field = Query(description="by default what the query is not, where there is any")

    def require(modality: str) -> None:
        if modality not in asks:
            raise HTTPException(
                404, f"the model takes no {modality}s; {note.dataset} does not tell what it needs"
            )

    async def answer(hits, find: str, query: Item | None = None) -> Answer:
        return Answer(
            find=find, bits=collection.bits, query=query, results=[result(hit) for hit in await hits]
        )

    @router.get("/info", **brief)
    async def info() -> Info:
        """What is served, what one can search by, and what a request may ask for."""
        return Info(
            dataset=note.dataset,
            method=note.method,
            bits=collection.bits,
            queries=asks,
            images=collection.part("images"),
            texts=collection.part("texts"),
            limits=Bounds(
                count=limits.count,
                text_characters=limits.text_characters,
                tags=limits.tags,
                body_bytes=limits.body_bytes,
                seconds=limits.seconds,
            ),
            work=Work(**queries.load._asdict()),
        )

    @router.get("/sample", responses=refusals(), **brief)
    async def sample(find: Find, count: Annotated[int, count_field] = DEFAULT_COUNT) -> Sample:
        """Items that are spread evenly over the collection, to begin with."""
        find = collection.find(find, "text")
        return Sample(find=find, results=collection.spread(find, count))

    @router.post(
        "/search/text",
        responses=refusals(body=True),
        openapi_extra=_body("application/json", TextQuery.model_json_schema()),
        **brief,
    )
    async def search_text(request: Request) -> Answer:
        """What a text, or a set of tags, finds."""
        require("text")
        _require_type(request, "application/json")
        query = _text_query(await request.body())
        text = _bounded(query, limits)
        find = collection.find(query.find, "text")
        return await answer(queries.by_text(text, find, query.count), find)

    @router.post(
        "/search/picture",
        responses=refusals(body=True),
        openapi_extra=_body("application/octet-stream", {"type": "string", "format": "binary"}),
        **brief,
    )
    async def search_picture(
        request: Request,
        find: Annotated[Find | None, find_field] = None,
        count: Annotated[int, count_field] = DEFAULT_COUNT,
    ) -> Answer:
        """What a picture finds. The body is a JPEG, PNG, GIF, BMP, WebP, TIFF or PPM file, of any type."""
        require("image")
        _refuse_forms(request)
        chosen = collection.find(find, "image")
        return await answer(queries.by_picture(await request.body(), chosen, count), chosen)

    @router.get("/search/row", responses=refusals(), **brief)
    async def search_row(
        modality: Modality,
        row: Annotated[int, Query(ge=0, description="number of an item, as results have it")],
        find: Annotated[Find | None, find_field] = None,
        count: Annotated[int, count_field] = DEFAULT_COUNT,
    ) -> Answer:
        """What an item of the collection finds."""
        item = collection.item(modality, row)
        chosen = collection.find(find, modality)
        return await answer(queries.by_row(modality, row, chosen, count), chosen, item)

    return router


def _text_query(body: bytes) -> TextQuery:
    try:
        return TextQuery.model_validate_json(body)
    except ValidationError as error:
        raise DataError(told(error.errors())) from error


def _bounded(query: TextQuery, limits: Limits) -> str | tuple[str, ...]:
    """The text or the tags of a query."""
    if (query.text is None) == (query.tags is None):
        raise DataError("expected text or tags, one of both")
    if query.count > limits.count:
        raise DataError(f"count: {query.count}, expected {limits.count} at most")
    if query.tags is not None and not 0 < len(query.tags) <= limits.tags:
        raise DataError(f"tags: {len(query.tags)} of them, expected 1 to {limits.tags}")
    text = query.text if query.tags is None else " ".join(query.tags)
    if not text.strip():
        raise DataError("text: empty, expected words")
    if len(text) > limits.text_characters:
        raise DataError(f"text: {len(text)} characters, expected {limits.text_characters} at most")
    return query.text if query.tags is None else tuple(query.tags)


def _require_type(request: Request, expected: str) -> None:
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != expected:
        raise HTTPException(415, f"content-type: {found[:100] or 'none'}, expected {expected}")


def _refuse_forms(request: Request) -> None:
    # But not application/x-www-form-urlencoded, which curl --data-binary sends with the bytes of a file.
    found = request.headers.get("content-type", "")
    if found.lower().startswith(("multipart/", "application/json")):
        raise HTTPException(
            415, f"content-type: {found[:100]}, expected the bytes of a picture file as the body"
        )


def _body(media: str, schema: dict) -> dict:
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}
