"""Requests and answers of the API, as in openapi.json."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["image", "text", "pair"]
Find = Literal["images", "texts", "pairs"]
Ranking = Literal["asymmetric", "hamming"]
RANKING = "order of results: by asymmetric distance, or by Hamming distance and then by row"


class Refusal(BaseModel):
    """An error."""

    error: str = Field(description="one line")


class TextQuery(BaseModel):
    """A query: either a text or tags."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = Field(None, description="words")
    tags: Annotated[list[Annotated[str, Field(min_length=1)]], Field(fail_fast=True)] | None = Field(
        None, description="with or without spaces"
    )
    find: Find | None = Field(
        None, description="what to find; by default pairs or images, if the index has any"
    )
    count: int = Field(24, ge=1, description="largest number of results")
    ranking: Ranking = Field("asymmetric", description=RANKING)


class Item(BaseModel):
    """An item of the collection."""

    modality: Modality
    row: int = Field(description="its number among the items of its modality, from 0")
    id: str
    text: str | None = Field(None, description="the text of a text or a pair")
    picture: str | None = Field(
        None, description="path of an image or a pair's picture on this server; ?size=240 scales it"
    )


class Result(Item):
    """A result: an item with its distance."""

    rank: int = Field(description="from 1")
    distance: int = Field(description="Hamming distance to the query, 0 to bits")
    score: float | None = Field(
        None,
        description="asymmetric distance, 0 to bits: of the query's relaxed code from the item's bits; "
        "absent where it does not rank",
    )


class Answer(BaseModel):
    """The items nearest to a query, by score where there is one, else by distance, and then by row."""

    find: Find
    bits: int = Field(description="length of a code in bits")
    query: Item | None = Field(None, description="the query, if it is an item of the collection")
    note: str | None = Field(
        None, description="which words were searched for, where the model knows none of those given"
    )
    results: list[Result]


class Sample(BaseModel):
    """Some items of the collection, spread evenly over it."""

    find: Find
    results: list[Item]


class Part(BaseModel):
    """The items of one modality."""

    items: int
    index: str = Field(description="kind of the index: flat and clickhouse are exact, others not")


class Bounds(BaseModel):
    """Limits of a request."""

    count: int
    text_characters: int
    tags: int
    body_bytes: int = Field(description="of a picture file")
    query_bytes: int = Field(description="of a text or tags as JSON")
    pixels: int = Field(description="of a picture; of a JPEG after it is scaled down, of WebP twice as many")
    side: int = Field(description="of a picture, in pixels")
    seconds: float


class Work(BaseModel):
    """Queries and samples since the start. Those that wait at the same time are answered in one batch."""

    answered: int
    batches: int
    waiting: int


class Info(BaseModel):
    """The model, the collection and the limits."""

    dataset: str = Field(description="data set that the model was trained on")
    method: str
    bits: int
    queries: list[Modality] = Field(
        description="kinds of query that the model takes; pair is a picture and words at once"
    )
    images: Part | None = None
    texts: Part | None = None
    pairs: Part | None = None
    limits: Bounds
    work: Work
