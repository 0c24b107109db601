"""What a request may cost."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Attributes:
    body_bytes: size of a request's body at most.
    held_bytes: size of the bodies of all requests that are being answered, together.
    seconds: from the head of a request to the head of its answer, and for a client to take each piece of one.
    head_seconds: for the head of a request to come.
    queue: requests that may wait for the model, and for pictures to be decoded or scaled.
    batch: requests answered together at most.
    count: results of a request at most.
    text_characters: length of a text, and of all tags together, at most.
    tags: number of tags at most.
    """

    body_bytes: int = 16 * 2**20
    held_bytes: int = 256 * 2**20
    seconds: float = 30.0
    head_seconds: float = 10.0
    queue: int = 256
    batch: int = 32
    count: int = 1000
    text_characters: int = 2000
    tags: int = 100
