"""A run of 100,000 lines: only what is visible is in the document, and scrolling draws in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.protocol.events import log
from tests.support.browser import ServedHub, frames
from tests.support.fleets import Told

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.page

LINES = 100_000


@pytest.fixture(scope="module")
def long_run() -> Told:
    run = Told("LONG")
    run.begin(title="A hundred thousand lines")
    for start in range(0, LINES, 5000):
        run.add(
            *(
                log("info", f"line {number} " + "word " * (number % 40), source="git")
                for number in range(start, start + 5000)
            )
        )
    return run.complete()


def test_a_hundred_thousand_lines(hub: ServedHub, page: Page, long_run: Told):
    hub.kill()
    hub.store(long_run.envelope.container_id, "LONG", long_run.lines)
    hub.start()
    page.goto(f"{hub.url}/runs/LONG")
    page.get_by_text(f"line {LINES - 1} ").last.wait_for()
    assert page.locator(".item").count() < 150
    # Not a measure of speed, which this machine cannot promise: a list that holds all lines takes seconds a frame.
    assert frames(page.locator(".transcript.scroll"), "lines", steps=300, by=-400) < 500
    assert page.locator(".item").count() < 150
    page.keyboard.press("g")
    page.locator(".item[data-seq='1']").wait_for()
    page.goto(f"{hub.url}/runs/LONG#50000")
    page.locator(".item.selected[data-seq='50000']").wait_for()
    for _ in range(12):
        page.locator(".transcript.scroll").evaluate("(list) => { list.scrollTop += list.scrollHeight / 13; }")
        page.wait_for_selector(".item")
    page.keyboard.press("Shift+G")
    page.locator(f".item[data-seq='{long_run.seq}']").wait_for()
    assert page.locator(".item").count() < 150
