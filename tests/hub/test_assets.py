"""The page's files, and nothing else of the machine's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra hub: make setup")
from starlette.requests import Request

from agent.exits import CANCELLED
from agent.hub.assets import Assets
from tests.support.hub_client import open_client
from tests.support.places import ROOT


async def ask(assets: Assets, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": raw, "path_params": {"path": path.lstrip("/")}}
    response = await assets._serve(Request(scope))
    return response.status_code, bytes(response.body), dict(response.headers)


async def test_files_and_addresses(tmp_path: Path):
    (tmp_path / "page" / "js").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("<page>")
    (tmp_path / "page" / "js" / "main.js").write_text("x")
    (tmp_path / "page" / ".hidden").write_text("x")
    (tmp_path / "secret.js").write_text("s")
    assets = Assets(tmp_path / "page")
    for path in ("/", "/runs/01JZ", "/runs/01JZ/12"):
        status, body, headers = await ask(assets, path)
        assert (status, body) == (200, b"<page>")
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self';" in headers["content-security-policy"]
    status, body, headers = await ask(assets, "/js/main.js")
    assert (status, body, headers["content-type"]) == (200, b"x", "text/javascript; charset=utf-8")
    assert (await ask(assets, "/js/main.js", if_none_match=headers["etag"]))[0] == 304
    for path in ("/js/none.js", "/../secret.js", "/.hidden"):
        assert (await ask(assets, path))[0] == 404


async def test_health(tmp_path: Path):
    async with open_client(tmp_path / "runs") as client:
        assert (await client.get("/healthz")).json == {"status": "ok"}
        assert (await client.get("/readyz")).status == 200


def test_the_page_knows_the_exit_codes_of_runs_that_somebody_stopped():
    script = (ROOT / "agent/hub/page/assets/cards.js").read_text()
    codes, = re.findall(r"STOPPED = new Set\(\[([0-9, ]+)\]\)", script)  # fmt: skip
    assert {int(code) for code in codes.split(",")} == CANCELLED
