"""Every error is answered with {"error": reason}: one line, without paths of this machine."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from gch.errors import GCHError
from gch.serve.batching import Closed
from gch.serve.replies import Refusal

_REASONS = {
    400: "a field is wrong, the picture is broken, or no word is known",
    404: "there is no such item, or the collection has no items of the kind to find",
    503: "too many requests wait, or the server is stopping; try again after Retry-After seconds",
    504: "the request took too long",
}
_BODY_REASONS = {
    408: "the body arrived too slowly",
    413: "the body is too large",
    415: "the body has another type",
}


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer {"error": reason}."""
    return JSONResponse({"error": reason}, status, headers)


def add_handlers(app: FastAPI, folders: Iterable[Path]) -> None:
    """Answers every exception of the app's routes by a refusal; `folders` are shortened to their names."""
    spellings = {str(path) for folder in folders for path in (folder, folder.absolute(), folder.resolve())}
    paths = sorted((path for path in spellings if len(path) > 1), key=len, reverse=True)

    def of_fault(error: GCHError) -> JSONResponse:
        reason = " ".join(str(error).split())
        for path in paths:
            reason = reason.replace(path, Path(path).name)
        return refusal(400, reason)

    def handle(kind: type[Exception], answer: Callable[[Any], JSONResponse]) -> None:
        async def handler(request: Request, error: Exception) -> JSONResponse:
            return answer(error)

        app.add_exception_handler(kind, handler)

    handle(HTTPException, lambda error: refusal(error.status_code, error.detail, error.headers))
    handle(RequestValidationError, lambda error: refusal(400, _first(error.errors())))
    handle(GCHError, of_fault)
    handle(
        asyncio.QueueFull, lambda _: refusal(503, "too many requests wait; try again", {"retry-after": "1"})
    )
    handle(Closed, lambda _: refusal(503, "the server stops", {"retry-after": "5", "connection": "close"}))
    handle(ClientDisconnect, lambda _: refusal(400, "the client disconnected"))  # No one reads this.
    handle(Exception, lambda _: refusal(500, "the server failed; its log says why"))


def _first(errors: Iterable[dict]) -> str:
    """The first of Pydantic's errors: its field and what was expected."""
    first = next(iter(errors))
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    reason = " ".join(first["msg"].split())
    return f"{where}: {reason}" if where else reason


def documented(*, body: bool = False) -> dict[int | str, dict]:
    """The error answers of a route, for openapi.json."""
    reasons = _REASONS | (_BODY_REASONS if body else {})
    return {status: {"model": Refusal, "description": reason} for status, reason in sorted(reasons.items())}


def document(app: FastAPI) -> None:
    """Removes 422 from openapi.json: FastAPI documents it, but a wrong field is answered with 400."""
    document = app.openapi()  # FastAPI caches this same object.
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
