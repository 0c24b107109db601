"""The server: its page, its API and the pictures of the collection."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from gch import __version__
from gch.serve.api import api_routes
from gch.serve.bodies import Bodies
from gch.serve.collection import Collection
from gch.serve.deadline import Deadline
from gch.serve.documented import document
from gch.serve.faults import add_handlers
from gch.serve.guard import Guard
from gch.serve.limits import Limits
from gch.serve.page_files import page_routes
from gch.serve.picture_files import picture_routes
from gch.serve.queries import Queries

if TYPE_CHECKING:  # What is served need not be of FAISS: anything of this interface will do.
    from gch.search.query import Searcher

ABOUT = """\
Search pictures by words and words by pictures, by the Hamming distance of their codes.
An answer that is none is {"error": reason}.
"""


def build_app(
    searcher: "Searcher",
    limits: Limits,
    hosts: frozenset[str] | None = None,
    hidden: Sequence[Path] = (),
) -> FastAPI:
    """The application.

    Args:
      searcher: over the collection.
      limits: what a request may cost.
      hosts: names that the server may be called by, or None for any.
      hidden: folders whose paths no answer may tell.

    Returns:
      An ASGI application; `state.queries` are its `Queries`.
    """
    queries, collection = Queries(searcher, limits), Collection(searcher.index)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with queries.running():
            yield

    # FastAPI's pages of documentation ask another host for their scripts; openapi.json is here.
    app = FastAPI(
        title="Cross-modal search",
        description=ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.queries = queries
    app.include_router(api_routes(searcher.model.note, collection, queries, limits))
    app.include_router(picture_routes(collection, limits))
    app.include_router(page_routes())
    add_handlers(app, hidden)
    document(app)
    # The last one is the outermost.
    app.add_middleware(Deadline, seconds=limits.seconds)
    app.add_middleware(Bodies, limits=limits)
    app.add_middleware(Guard, hosts=hosts)
    return app
