"""The pictures of the collection as a browser shows them."""

import contextlib
import functools
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from PIL import Image, ImageOps
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from gch.data.pictures import FORMATS, MAX_FILE_BYTES, MAX_PIXELS, decode_picture, on_white
from gch.data.text_files import file_bytes, opened
from gch.errors import DataError, damage
from gch.serve.collection import Collection
from gch.serve.limits import Limits, Workers
from gch.serve.refusals import documented
from gch.storage import digest

SIZES = (160, 240, 480, 960)
WEBP_WEIGHT = 2  # WebP's decoder takes 17 bytes a pixel, the others 7
_EXPECTED = "expected a picture file"
_QUALITY = 82  # of WebP
_CACHED = 512  # thumbnails, about 20 KB each
_log = logging.getLogger(__name__)
_Row = Annotated[int, InPath(ge=0, description="row of an item, as in results")]
_Size = Annotated[
    int | None,
    Query(description="pixels of the long side, for a small WebP", json_schema_extra={"enum": [*SIZES]}),
]


def picture_routes(collection: Collection, workers: Workers, limits: Limits) -> APIRouter:
    """The routes /pictures/{row} and /pictures/pair/{row}, which show only files of the collection."""
    router = APIRouter()

    # A file that changes has another time of change.
    scaled = functools.lru_cache(_CACHED)(lambda path, changed, size: thumbnail(path, size))
    weight = functools.lru_cache(_CACHED)(lambda path, changed, size: decoding_weight(path, size))

    def found(modality: str, row: int) -> tuple[Path, int]:
        path = collection.picture_path(modality, row)
        with opened(path, _EXPECTED) as file:
            return path, os.fstat(file.fileno()).st_mtime_ns

    @router.get("/pictures/{row}", response_class=Response, responses=documented())
    async def picture_of_image(request: Request, row: _Row, size: _Size = None) -> Response:
        """The file of an image, or the picture scaled down."""
        return await picture(request, "image", row, size)

    @router.get("/pictures/pair/{row}", response_class=Response, responses=documented())
    async def picture_of_pair(request: Request, row: _Row, size: _Size = None) -> Response:
        """The file of a pair's picture, or the picture scaled down."""
        return await picture(request, "pair", row, size)

    async def picture(request: Request, modality: str, row: int, size: int | None) -> Response:
        if size is not None and size not in SIZES:
            raise DataError(f"size: {size}, expected one of {', '.join(map(str, SIZES))}")
        try:
            with limits.answer_time():
                run = functools.partial(workers.run, request)
                path, changed = await run(0, found, modality, row)
                if size is None:
                    answer = await run(0, _file, path)
                else:
                    one = path, changed, size
                    content = await run(await run(0, weight, *one), scaled, *one)
                    headers = {"etag": f'"{digest(content)[:32]}"'}
                    answer = Response(content, media_type="image/webp", headers=headers)
        except DataError as error:
            _log.warning("picture of %s %d: %s", modality, row, error)
            raise HTTPException(404, f"picture {row}: its file cannot be shown") from error
        if StaticFiles().is_not_modified(answer.headers, request.headers):
            return NotModifiedResponse(answer.headers)
        return answer

    return router


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=media_type(path), stat_result=path.stat())


def media_type(path: Path) -> str:
    """The media type of a picture file, by its content; raises DataError where it is none."""
    with _opened(path) as image:  # A JPEG file of several pictures, as phones write them, is MPO to Pillow.
        return Image.MIME[str(image.format).replace("MPO", "JPEG")]


def thumbnail(path: Path, longest: int) -> bytes:
    """A picture file as WebP: upright, on white, its long side scaled down to `longest` pixels.

    Raises DataError if it is gone, too large, or not a whole picture.
    """
    with _opened(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError("too large")
        image.draft("RGB", (longest, longest))
        if image.mode.startswith(("I", "F")):  # more than 8 bits
            data = file_bytes(path, _EXPECTED)
            small = Image.fromarray(decode_picture(data, "picture", longest, "letterbox"))
        else:
            opaque = "transparency" not in image.info
            upright = ImageOps.exif_transpose(image if opaque else image.convert("RGBA"))
            upright.thumbnail((longest, longest))
            small = on_white(upright)
    content = io.BytesIO()
    small.save(content, "WEBP", quality=_QUALITY)
    return content.getvalue()


def decoding_weight(file: Path | io.BytesIO, draft: int) -> int:
    """The pixels that a decoder holds in memory; 0 for what is no picture, which the decoder refuses.

    `draft` is the side below which a JPEG is not scaled down while it is decoded.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)  # as `decode_picture` does
    try:
        if isinstance(file, Path) and not file.is_file():
            return 0
        with Image.open(file, formats=FORMATS) as image:
            if "progressive" not in image.info:  # The decoder needs the whole of a progressive JPEG.
                image.draft("RGB", (draft, draft))
            return image.width * image.height * (WEBP_WEIGHT if image.format == "WEBP" else 1)
    except Exception:  # Pillow raises a dozen types on broken bytes.
        return 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open picture; every failure inside is a DataError."""
    with (
        opened(path, _EXPECTED, MAX_FILE_BYTES) as file,
        damage(f"{path}: cannot be decoded"),
        Image.open(file, formats=FORMATS) as image,
    ):
        yield image
