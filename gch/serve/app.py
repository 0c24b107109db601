"""The server's application: the page, its API and the pictures of the collection."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gch import __version__
from gch.search.query import Searcher
from gch.serve.api import api_routes
from gch.serve.batching import Batcher
from gch.serve.collection import Collection
from gch.serve.limits import Limits, Workers
from gch.serve.pictures import picture_routes
from gch.serve.refusals import add_handlers, document, refusal

_ABOUT = """\
Search pictures, words and pairs of both by words, a picture or both, by the distance of their codes.
Errors are answered with {"error": reason}.
"""
_HEADERS = {
    # The page uses its own files and the user's pictures, and contacts no other host.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # The same address may serve another collection later: browsers revalidate what they cache.
    "cache-control": "private, no-cache",
}


def build_app(
    searcher: Searcher, limits: Limits, hosts: frozenset[str] | None = None, hidden: Sequence[Path] = ()
) -> FastAPI:
    """The application; its `state.batcher` is the `Batcher` of queries.

    Args:
      searcher: over the collection.
      limits: what a request may cost.
      hosts: host names that the server answers to, or None for any.
      hidden: folders whose paths no answer may show.
    """
    collection = Collection(searcher.index)
    size = searcher.model.note.batch_size(limits.batch)
    # A result costs more than its share of the model: a batch of many results would keep others waiting.
    batcher = Batcher(lambda key, queries: key[0](queries, *key[1:]), size, limits.count, limits.queue)
    decoders = Workers(limits.queue)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with batcher.running():
            yield

    # FastAPI's documentation pages load scripts from another host, so only openapi.json is served.
    app = FastAPI(
        title="Cross-modal search",
        description=_ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.batcher = batcher
    app.include_router(api_routes(searcher, collection, batcher, decoders, limits))
    app.include_router(picture_routes(collection, decoders.beside(), limits))
    page = StaticFiles(packages=[("gch.serve", "page")])
    app.mount("/page", page)

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    add_handlers(app, hidden)
    document(app)
    app.add_middleware(_Guard, hosts=hosts)
    return app


class _Guard:
    """Adds `_HEADERS` to every answer, ignores Range, and refuses other host names.

    A page of another site can point its own name to this server (DNS rebinding), and could then read answers.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["method"] == "HEAD":  # answered as GET is; the server sends no body
            scope = {**scope, "method": "GET"}
        # Files come whole, as HTTP allows: Starlette answers a malformed Range in plain text.
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != b"range"]}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                del headers["accept-ranges"]
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = Headers(scope=scope).get("host", "").lower()
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if self._hosts is None or host in self._hosts:
            return await self._app(scope, receive, send_with_headers)
        refused = refusal(400, f"host {host[:100]!r}: expected {' or '.join(sorted(self._hosts))}")
        await refused(scope, receive, send_with_headers)
