"""The pictures of the collection, by row."""

import logging
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from gch.errors import DataError
from gch.serve.collection import Collection, Missing
from gch.serve.conditional import CACHED, headers, kept
from gch.serve.documented import refusals
from gch.serve.limits import Limits
from gch.serve.thumbnails import SIZES, Thumbnails, media_type, thumbnail
from gch.serve.workers import Workers
from gch.storage import digest

_THREADS = 2
_log = logging.getLogger(__name__)


def picture_routes(collection: Collection, limits: Limits) -> APIRouter:
    """The route /pictures/{row}.

    Args:
      collection: whose pictures are shown; nothing but its files can be asked for.
      limits: `queue`.
    """
    router = APIRouter()
    workers, thumbnails = Workers("pictures", _THREADS, limits.queue), Thumbnails()

    @router.get("/pictures/{row}", response_class=Response, responses=refusals())
    async def picture(
        request: Request,
        row: Annotated[int, InPath(ge=0, description="of an image, as results have it")],
        size: Annotated[
            int | None, Query(description=f"pixels of the long side, for a small WebP: one of {SIZES}")
        ] = None,
    ) -> Response:
        """The file of an image, or the picture scaled down."""
        if size is not None and size not in SIZES:
            raise DataError(f"size: {size}, expected one of {', '.join(map(str, SIZES))}")
        small = thumbnails.get((row, size))
        try:
            if size is None:
                path, found = await workers.run(_original, collection, row)
                return FileResponse(path, media_type=found, headers={"cache-control": CACHED})
            if small is None:
                small = await workers.run(_scaled, collection, row, size)
                thumbnails.keep((row, size), small)
        except Missing:
            raise
        except DataError as error:
            _log.warning("picture %d: %s", row, error)
            raise HTTPException(404, f"picture {row}: its file cannot be shown") from error
        tag = digest(small.content)[:32]
        return kept(request, tag) or Response(small.content, media_type=small.type, headers=headers(tag))

    return router


def _original(collection: Collection, row: int) -> tuple[Path, str]:
    path = collection.picture_path(row)
    return path, media_type(path)


def _scaled(collection: Collection, row: int, size: int):
    return thumbnail(collection.picture_path(row), size)
