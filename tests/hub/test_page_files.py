"""The files of the page, as the hub serves them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra hub: make setup")
import agent.hub
from tests.support.hub_client import open_client

PAGE = Path(agent.hub.__file__).with_name("page")
SCRIPTS = sorted(path.name for path in (PAGE / "assets").glob("*.js"))


@pytest.mark.parametrize("path", ["/", "/login", "/runs/R1", "/runs/%2e%2e%2fx", "/runs/a/b", "/runs/v1.2"])
async def test_the_index_answers_wherever_the_page_has_an_address(tmp_path: Path, path: str):
    async with open_client(tmp_path) as client:
        answer = await client.get(path)
        assert answer.body == (PAGE / "index.html").read_bytes()
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy


async def test_files_have_their_types_and_are_sent_again_only_when_they_change(tmp_path: Path):
    async with open_client(tmp_path) as client:
        answer = await client.get("/assets/main.js")
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await client.get("/assets/main.js", if_none_match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        for path in ("/assets/no.js", "/assets/..%2fapi.py", "/favicon.ico"):
            assert (await client.get(path)).status == 404


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_of_texts_or_loads_from_elsewhere(name: str):
    source = (PAGE / "assets" / name).read_text()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
    assert re.findall(forbidden, source) == []
    assert {found for found in re.findall(r'from "([^"]+)"', source) if not found.startswith("./")} == set()


def test_index_and_style_load_nothing_from_elsewhere():
    index, style = (PAGE / "index.html").read_text(), (PAGE / "assets" / "style.css").read_text()
    assert {found[:1] for found in re.findall(r'(?:src|href)="([^"]+)"', index)} == {"/"}
    assert "url(" not in style
    assert "@import" not in style
