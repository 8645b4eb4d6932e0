"""Content that wants to be more than text, in every field of every recorded kind of message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent.protocol.events import Event, complete, log, status
from tests.support.browser import ServedHub, photograph
from tests.support.fleets import Told, showcase
from tests.support.places import TESTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.page

HOSTILE = [
    '<img src=x onerror="window.hit=1">',
    "<script>window.hit=2</script>",
    "javascript:window.hit=3//",
    "\x1b]8;;javascript:window.hit=4\x07click\x1b]8;;\x07\x1b[31mred\x1b[2J",
    "abc\u202edcba\u2066\u200f",
    '"><svg onload=window.hit=5><style>*{display:none}</style>',
    "https://x.example/<b onmouseover=window.hit=6>",
    "data:text/html,<script>window.hit=7</script>",
]
#: What decides how a line is read, and stays.
KEPT = {"type", "subtype", "id", "tool_use_id", "parent_tool_use_id", "name", "role", "kind", "uuid", "status"}


def poisoned(value: Any, poison: str) -> Any:
    """The value with every text of it poisoned, but those that decide what it is."""
    if isinstance(value, dict):
        return {
            name: part if name in KEPT and isinstance(part, str) else poisoned(part, poison)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [poisoned(part, poison) for part in value]
    return f"{poison} {value[:60]}" if isinstance(value, str) else value


def lines() -> list[dict[str, Any]]:
    """One recorded line of each kind, and of each tool."""
    found: dict[Any, dict[str, Any]] = {}
    for path in sorted((TESTS / "transcripts").glob("*.jsonl")):
        for text in path.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if not isinstance(line, dict) or len(text) > 50_000:
                continue
            message = line.get("message")
            content = message.get("content") if isinstance(message, dict) else None
            blocks = content if isinstance(content, list) else [None]
            for block in blocks:
                key = (
                    line.get("type"),
                    line.get("subtype"),
                    *((block.get("type"), block.get("name")) if block else ()),
                )
                found.setdefault(key, line)
    return list(found.values())


def hostile_runs() -> list[Told]:
    runs = []
    for number, poison in enumerate(HOSTILE):
        run = Told(f"EVIL{number}", container=f"evil{number}")
        data = {
            "title": poison,
            "repo": poison,
            "ref": poison,
            "branch": poison,
            "head": poison,
            "labels": {poison: poison},
        }
        run.add(status("starting", poison, phase=poison, versions={poison: poison}, sessionID=poison, **data))
        run.claude(*(poisoned(line, poison) for line in lines()))
        for line in showcase().lines:
            message = json.loads(line)
            if message["type"] in ("LOG", "STATUS", "ERROR"):
                changed = poisoned(message["data"], poison)
                if "level" in changed:
                    changed["level"] = message["data"]["level"]
                run.add(Event(message["type"], (json.dumps(changed).encode(),), "info", ""))
        question = {"id": poison, "tool": poison, "input": {poison: poison}, "message": poison, "questions": poison}
        run.add(status("waiting", poison, question=question), log("info", poison, details=poison, source="git"))
        patch = f'diff --git "a/{poison}" "b/{poison}"\nnew file mode 100644\n@@ -0,0 +1 @@ {poison}\n+{poison}\n'
        run.add(log("info", poison, kind="patch", text=patch))
        if number % 2:
            changes = {"files": 1, "branch": poison, "commit": poison, "compareURL": poison}
            verify = {"state": "failed", "attempts": poison, "exit": poison, "signal": poison, "duration": poison}
            data = {"exitCode": 1, "message": poison, "reason": poison, "changes": changes, "stream": {}}
            data["verify"] = verify
            run.add(complete(data, "", failed=True))
        runs.append(run)
    return runs


def test_nothing_that_others_wrote_becomes_more_than_text(hub: ServedHub, page: Page):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    runs = hostile_runs()
    assert len(lines()) > 40
    for run in runs:
        with hub.agent() as agent:
            agent.send(run.lines)
    page.goto(hub.url)
    page.locator(".rows .row").nth(len(runs) - 1).wait_for()
    photograph(page, "fleet-hostile")
    for run in runs:
        page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
        page.locator(f".item[data-seq='{run.seq}']").wait_for()
        page.keyboard.press("g")
        page.locator(".item[data-seq='1']").wait_for()
        seen: set[str] = set()
        while True:
            check(page)
            now = set(page.locator(".item").evaluate_all("(items) => items.map((item) => item.dataset.seq)"))
            if now <= seen:
                break
            seen |= now
            for more in page.locator(".item summary").all()[:20]:
                more.evaluate("(summary) => { summary.parentElement.open = true; }")
            page.locator(".transcript.scroll").evaluate(SCROLL)
        assert len(seen) > 30
        if run is runs[3]:
            photograph(page, "run-hostile")
        page.get_by_role("tab", name="Changes").click()
        page.locator(".changes .patch .line.ins").wait_for()
        named = page.locator(".changes summary .path").inner_text()
        poison = HOSTILE[runs.index(run)]
        assert named == poison or not poison.isprintable(), "the name of a file is its name"
        check(page)
    assert {url for url in asked if not url.startswith(hub.url)} == set()


SCROLL = """(list) => {
    list.scrollTop += list.clientHeight;
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
CHECK = """() => {
    const links = [...document.querySelectorAll('a[href]')];
    const made = 'main img, main script, main iframe, main style, main object, b[onmouseover], svg[onload]';
    return {
        hit: window.hit ?? null,
        made: document.querySelectorAll(made).length,
        links: links.filter((a) => !/^https?:$/.test(a.protocol)).length,
        foreign: links.filter((a) => a.origin !== location.origin && a.rel !== 'noopener noreferrer').length,
        turned: /[\\u202a-\\u202e\\u2066-\\u2069\\u001b]/.test(document.body.innerText),
    };
}"""


def check(page: Page) -> None:
    assert page.evaluate(CHECK) == {"hit": None, "made": 0, "links": 0, "foreign": 0, "turned": False}
