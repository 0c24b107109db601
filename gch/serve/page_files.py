"""The page's own files."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gch.serve.conditional import headers, kept
from gch.storage import digest

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HOME = "index.html"


def page_routes() -> APIRouter:
    """Routes of the page; its files are read now, and no other can be asked for."""
    held = files("gch.serve").joinpath("page").iterdir()
    contents = {file.name: file.read_bytes() for file in held if Path(file.name).suffix in _TYPES}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home(request: Request) -> Response:
        return _answer(request, _HOME)

    @router.get("/page/{name}")
    async def file(request: Request, name: str) -> Response:
        return _answer(request, name)

    def _answer(request: Request, name: str) -> Response:
        if name not in contents:
            raise HTTPException(404, "no such file of the page")
        tag, media = digest(contents[name])[:32], _TYPES[Path(name).suffix]
        return kept(request, tag) or Response(contents[name], media_type=media, headers=headers(tag))

    return router
