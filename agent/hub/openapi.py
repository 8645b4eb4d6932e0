"""The API as an OpenAPI document: openapi.json beside this module, which the hub serves as `/api/openapi.json`.

After a change, print it anew with `python -m agent.hub.openapi >agent/hub/openapi.json`; a test compares the two, and
CI holds a running hub against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from agent.hub.commands import Command
from agent.receiver import Row, State

PATH = Path(__file__).with_name("openapi.json")


class Error(Struct):
    """A refusal."""

    error: str


class Session(Struct):
    """A visitor's right, and whether there is a token to log in with."""

    right: Literal["nothing", "read", "command"]
    login: bool


class Login(Struct):
    """A token, in exchange for a cookie."""

    token: str


class Totals(Struct):
    """Totals of all runs that match."""

    runs: int
    states: dict[str, int]
    cost: float


class Runs(Struct):
    """A page of runs, newest first."""

    runs: list[Row]
    next: str | None
    rev: int
    indexing: bool
    totals: Totals


class Sent(Struct):
    """A command is on its way."""

    id: str


class Health(Struct):
    """The hub runs."""

    status: Literal["ok"]
    indexing: bool | msgspec.UnsetType = msgspec.UNSET


_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
_ERRORS = {
    "400": "what was sent makes no sense", "401": "a token is needed, or the one given is wrong",
    "403": "not with this right, or not from there", "404": "there is nothing here", "409": "not now",
    "413": "the body is too long", "415": "the body is not JSON",
    "503": "the disk takes nothing",
}  # fmt: skip


def _ref(type: type) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{type.__name__}"}


def _query(name: str, meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _answer(meaning: str, content: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {content: {"schema": schema}}}


def _json(type: type) -> dict[str, Any]:
    return _answer(str(type.__doc__), "application/json", _ref(type))


def _operation(
    summary: str, answer: dict[str, Any], *errors: str, status: str = "200", body: dict[str, Any] | None = None,
    parameters: tuple[dict[str, Any], ...] = (), open: bool = False,
) -> dict[str, Any]:  # fmt: skip
    told = ("403", *errors) if open else ("401", "403", *errors)
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {status: answer}
        | {error: _answer(_ERRORS[error], "application/json", _ref(Error)) for error in sorted(told)},
    }
    if open:
        operation["security"] = []
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def document() -> dict[str, Any]:
    """The document."""
    types = [Command, Row, Error, Session, Login, Runs, Sent, Health]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    text, events = {"type": "string"}, "text/event-stream"
    id = {"name": "id", "in": "path", "required": True, "description": "ID of a run", "schema": {"type": "string"}}
    after = _query("after", "continue behind this number", _NUMBER)
    states = list(State.__args__)  # type: ignore[attr-defined]
    paths: dict[str, Any] = {
        "/api/session": {"get": _operation("Tell the visitor's right", _json(Session), open=True)},
        "/api/login": {
            "post": _operation(
                "Give a cookie for a token", _json(Session), "400", "401", "413", "415", body=_ref(Login), open=True
            )
        },
        "/api/logout": {"post": _operation("Take the cookie back", _json(Session), open=True)},
        "/api/runs": {
            "get": _operation(
                "List runs, newest first", _json(Runs), "400",
                parameters=(
                    _query("q", "words, all of which must occur", text),
                    _query("state", "states, with commas", {
                        "type": "array", "items": {"type": "string", "enum": states}, "minItems": 1,
                    }) | {"style": "form", "explode": False},
                    _query("attention", "1: only runs that need a person", {"type": "string", "enum": ["0", "1"]}),
                    _query("label", "NAME=VALUE, which must be among the labels", {
                        "type": "array", "items": {"type": "string", "pattern": "^[^=]+=.*$"},
                    }),
                    _query("limit", "rows on a page", _LIMIT),
                    _query("cursor", "`next` of the page before", text),
                ),
            )
        },
        "/api/runs/{id}": {"get": _operation("Show a run", _json(Row), "404")},
        "/api/runs/{id}/messages": {
            "get": _operation(
                "Send stored messages as received, one per line",
                _answer("messages", "application/x-ndjson", text), "400", "404",
                parameters=(
                    after, _query("before", "only below this number", _NUMBER),
                    _query("limit", "at most so many; the last ones where `before` is given", _NUMBER),
                    _query("last", "only the last so many", _NUMBER),
                ),
            )
        },
        "/api/runs/{id}/live": {
            "get": _operation(
                "Follow a run: its messages (`id` is the number), `row`, `preview`, `end`",
                _answer("events", events, text), "400", "404", parameters=(after,),
            )
        },
        "/api/runs/{id}/patch": {
            "get": _operation("Download the patch of a run", _answer("a patch", "text/plain", text), "404")
        },
        "/api/runs/{id}/vitals": {
            "get": _operation(
                "Send what HEARTBEATs told of resources, one line each",
                _answer("vitals", "application/x-ndjson", text), "404",
            )
        },
        "/api/runs/{id}/commands": {
            "post": _operation(
                "Steer a run", _json(Sent), "400", "404", "409", "413", "415", status="202", body=schemas[0]
            )
        },
        "/api/live": {
            "get": _operation(
                "Follow the fleet: `rows`, `removed`, `reset`", _answer("events", events, text), "400",
                parameters=(_query("after", "continue behind this revision", _NUMBER),),
            )
        },
        "/metrics": {"get": _operation("Send metrics for Prometheus", _answer("metrics", "text/plain", text))},
        "/healthz": {"get": _operation("Tell that the hub runs", _json(Health), open=True)},
        "/readyz": {"get": _operation("Tell whether agents can be taken", _json(Health), "503", open=True)},
    }  # fmt: skip
    for path, operations in paths.items():
        if "{id}" in path:
            operations["parameters"] = [id]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The hub of claude-code-wrapper",
            "version": "1.0",
            "description": "Runs of agents, as they happen and as they were. docs/hub.md explains it.",
        },
        "security": [{"token": []}, {"cookie": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "agent_hub"},
            },
        },
    }


def render() -> str:
    """Return the document as the text of openapi.json, without a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2).decode()


if __name__ == "__main__":
    print(render())
