"""Answers that a browser may keep, and asks about before it shows them again."""

from starlette.requests import Request
from starlette.responses import Response

# Another collection may be served at the same address next time, so what is kept is asked about.
CACHED = "private, no-cache"


def kept(request: Request, tag: str) -> Response | None:
    """304 where the client has the content of this tag, else None."""
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return Response(status_code=304, headers=headers(tag)) if f'"{tag}"' in known else None


def headers(tag: str) -> dict[str, str]:
    """Headers of an answer whose content has this tag."""
    return {"etag": f'"{tag}"', "cache-control": CACHED}
