"""What the API takes and answers, as its documentation shows it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["image", "text"]
Find = Literal["images", "texts"]


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="one line")


class TextQuery(BaseModel):
    """A text, or tags, to search by: one of both."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = Field(None, description="words")
    tags: list[Annotated[str, Field(min_length=1)]] | None = Field(None, description="each may have spaces")
    find: Find | None = Field(None, description="what to find; by default images, where there are any")
    count: int = Field(24, ge=1, description="number of results at most")


class Item(BaseModel):
    """An item of the collection."""

    modality: Modality
    row: int = Field(description="its number, from 0 on, among those of its modality")
    id: str
    text: str | None = Field(None, description="of a text")
    picture: str | None = Field(
        None, description="of an image: path of its file on this server; ?size=240 scales it"
    )


class Result(Item):
    """An item that was found."""

    rank: int = Field(description="from 1 on")
    distance: int = Field(description="Hamming distance to the query, 0 to bits")


class Answer(BaseModel):
    """The items nearest to a query, by distance and then by row."""

    find: Find
    bits: int = Field(description="length of a code")
    query: Item | None = Field(
        None, description="the item that was searched by, where it is one of the collection"
    )
    results: list[Result]


class Sample(BaseModel):
    """Some items of the collection, spread evenly over it."""

    find: Find
    results: list[Item]


class Part(BaseModel):
    """The items of one modality."""

    items: int
    index: str = Field(description="kind of the index: flat is exact, others are approximate")


class Bounds(BaseModel):
    """What a request may ask for."""

    count: int
    text_characters: int
    tags: int
    body_bytes: int
    seconds: float


class Work(BaseModel):
    """What was done since the start: queries that come at the same time are answered in one batch."""

    answered: int
    batches: int
    waiting: int


class Info(BaseModel):
    """What is served."""

    dataset: str = Field(description="what the model was trained on")
    method: str
    bits: int
    queries: list[Modality] = Field(description="what one can search by")
    images: Part | None = None
    texts: Part | None = None
    limits: Bounds
    work: Work
