"""The documentation of the API as it is: a wrong field is answered by 400, where FastAPI would say 422."""

from fastapi import FastAPI

from gch.serve.replies import Refusal

_REFUSALS = {
    400: "a field is wrong, the picture is broken, or no word is known",
    404: "there is no such item, or none of what is to be found",
    503: "too many queries wait: try again after Retry-After seconds",
    504: "it took too long",
}
_BODY_REFUSALS = {
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is of another type",
}


def refusals(*, body: bool = False) -> dict[int | str, dict]:
    """How a route may refuse, for its documentation."""
    reasons = _REFUSALS | (_BODY_REFUSALS if body else {})
    return {status: {"model": Refusal, "description": reason} for status, reason in sorted(reasons.items())}


def document(app: FastAPI) -> None:
    """Leaves FastAPI's own answer to wrong fields out of openapi.json: it is never given."""
    make = app.openapi

    def openapi() -> dict:
        told = make()
        for path in told["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            told.get("components", {}).get("schemas", {}).pop(name, None)
        return told

    app.openapi = openapi
