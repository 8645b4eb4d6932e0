"""The page: files of agent/hub/page, read once. Every path that is no file of it and not below /api is the page itself,
so that a run or a line has an address.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

_PAGE = Path(__file__).with_name("page")
_HEADERS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # Everything comes from here. Styles of elements are set by scripts (element.style), never in markup, and the
    # browser itself refuses strings where markup would be made of them.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
}


class _Page(Route):
    """Route that leaves /api alone, so that a wrong method there is 405 and not the page."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"] == "/api" or scope["path"].startswith("/api/"):
            return Match.NONE, {}
        return super().matches(scope)


class Assets:
    """The files, by their path below the hub's address."""

    def __init__(self, directory: Path = _PAGE) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
                self._files[path.relative_to(directory).as_posix()] = content, _type(path), tag

    def route(self) -> Route:
        """The address of everything that is not below /api."""
        return _Page("/{path:path}", self._serve, methods=["GET"])

    async def _serve(self, request: Request) -> Response:
        path = request.path_params["path"]
        top, found = path.split("/")[0], self._files.get(path)
        if found is None and (top == "runs" or "." not in path.rpartition("/")[2]):
            found = self._files.get("index.html")
        if found is None or top == "api":
            return Response('{"error":"there is nothing at this address"}', 404, _HEADERS, "application/json")
        content, type, tag = found
        if request.headers.get("if-none-match") == tag:
            return Response(None, 304, {**_HEADERS, "etag": tag})
        return Response(content, 200, {**_HEADERS, "etag": tag}, type)


def _type(path: Path) -> str:
    known = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
    type = known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{type}; charset=utf-8" if type.startswith("text/") else type
