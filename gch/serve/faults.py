"""Faults as the client is told them: what is wrong, and nothing about this machine."""

import re
from collections.abc import Iterable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gch.errors import GCHError
from gch.serve.batching import Closed, QueueFull
from gch.serve.bodies import busy
from gch.serve.collection import Missing
from gch.serve.guard import refusal


def add_handlers(app: FastAPI, folders: Iterable[Path]) -> None:
    """Makes every fault an answer {"error": reason}.

    Args:
      app: whose routes raise them.
      folders: whose paths no reason may tell.
    """
    places = _places(folders)

    async def refused(request: Request, error: HTTPException) -> Response:
        return refusal(error.status_code, str(error.detail), **_with_underscores(error.headers))

    async def wrong(request: Request, error: RequestValidationError) -> Response:
        return refusal(400, told(error.errors()))

    async def fault(request: Request, error: GCHError) -> Response:
        return refusal(400, _without(places, " ".join(str(error).split())))

    async def missing(request: Request, error: Missing) -> Response:
        return refusal(404, str(error))

    async def full(request: Request, error: QueueFull) -> Response:
        return busy()

    async def closed(request: Request, error: Closed) -> Response:
        return refusal(503, "the server stops", retry_after="5", connection="close")

    async def failed(request: Request, error: Exception) -> Response:
        return refusal(500, "the server failed; its log says why")

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(GCHError, fault)
    app.add_exception_handler(Missing, missing)
    app.add_exception_handler(QueueFull, full)
    app.add_exception_handler(Closed, closed)
    app.add_exception_handler(Exception, failed)


def told(errors: Iterable[dict]) -> str:
    """The first of Pydantic's errors as a line: where it is and what was expected."""
    first = next(iter(errors))
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    reason = re.sub(r"\s+", " ", first["msg"])
    return f"{where}: {reason}" if where else reason


def _places(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """Paths to be hidden and what is told in their place, long ones first."""
    spelled = {str(path) for folder in folders for path in (folder, folder.absolute(), folder.resolve())}
    return [(path, Path(path).name) for path in sorted(spelled, key=len, reverse=True) if len(path) > 1]


def _without(places: list[tuple[str, str]], reason: str) -> str:
    for path, name in places:
        reason = reason.replace(path, name)
    return reason


def _with_underscores(headers: dict[str, str] | None) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in (headers or {}).items()}
