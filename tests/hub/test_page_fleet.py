"""The page's fleet, in a real browser before a real hub."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from agent.protocol.events import log, status
from tests.support.browser import ServedHub, expect, frames, open_page, photograph
from tests.support.fleets import Told, fleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.page


def connect(hub: ServedHub, agents: ExitStack) -> dict[str, Any]:
    """All runs of the fleet; those that have not ended stay connected."""
    sent = {}
    for run, beat in fleet():
        if beat:
            sent[run.envelope.run_id] = agent = agents.enter_context(hub.agent())
            agent.send([*run.lines, beat])
        else:
            hub.send(run.lines)
    return sent


def rows(page: Page, count: int) -> None:
    """Wait for that many rows."""
    page.wait_for_selector(f".rows .row >> nth={count - 1}")
    page.wait_for_selector(f".rows .row >> nth={count}", state="detached")


def names(page: Page) -> list[str]:
    rows = page.locator(".rows .row")
    tops = [
        (row.evaluate("(row) => new DOMMatrix(row.style.transform).f"), row.locator(".name").inner_text())
        for row in rows.all()
    ]
    return [name for _, name in sorted(tops)]


def test_an_empty_fleet_says_how_to_start_the_first_run(hub: ServedHub, page: Page):
    page.goto(hub.url)
    page.get_by_text("No runs yet").wait_for()
    expect(page.locator(".empty pre")).to_contain_text(f"WS_SERVER=ws://127.0.0.1:{hub.port}")
    photograph(page, "fleet-empty")


@pytest.mark.parametrize("secure", [True, False])
def test_the_first_command_can_be_copied_also_without_a_certificate(hub: ServedHub, browser: Browser, secure: bool):
    with open_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        if not secure:
            page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.goto(hub.url)
        page.get_by_role("button", name="Copy").click()
        page.get_by_text("Copied", exact=True).wait_for()
        page.locator(".filter").focus()
        page.keyboard.press("Control+V")
        expect(page.locator(".filter")).to_have_value(re.compile("agent run"))


def test_runs_that_need_a_person_come_first(hub: ServedHub, page: Page, agents: ExitStack):
    connect(hub, agents)
    page.goto(hub.url)
    rows(page, 8)
    for shown in ("4 of 7", "API retry 3 of 10", "receiving · 43 %", "idle 21m 00s", "1.9 GiB", "$1.27"):
        expect(page.locator(".rows")).to_contain_text(shown)
    assert names(page) == [
        "Release 2.4.0 of the storefront",
        "Port the importer to Rust",
        "Find the flaky test in CI",
        "Tidy the changelog",
        "Upgrade to Node 24",
        "Write the migration of orders",
        "Replace moment.js by the platform's Intl in all packages",
        "Make the failing tests of slugify pass",
    ]
    photograph(page, "fleet")


def test_rows_follow_live_and_over_a_restart_of_the_hub(hub: ServedHub, page: Page, agents: ExitStack):
    run = Told("R1").begin(title="First")
    agent = agents.enter_context(hub.agent())
    agent.send(run.lines)
    page.goto(hub.url)
    page.get_by_text("First").wait_for()
    agent.send(run.add(log("info", "said after the page was opened")).lines[-1:])
    page.get_by_text("said after the page was opened").wait_for()
    hub.send(Told("R2").begin(title="Second").lines)
    page.get_by_text("Second").wait_for()
    hub.kill()
    page.get_by_text("reconnecting").wait_for()
    hub.start()
    hub.send(Told("R3").begin(title="Third").lines)
    page.get_by_text("Third").wait_for()
    hub.send(run.add(log("info", "said after the restart")).lines[-1:])
    page.get_by_text("said after the restart").wait_for()
    rows(page, 3)


def test_filters_stand_in_the_address(hub: ServedHub, page: Page, agents: ExitStack):
    connect(hub, agents)
    page.goto(hub.url)
    page.get_by_text("Release 2.4.0").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("acme infra")
    rows(page, 1)
    page.reload()
    rows(page, 1)
    page.locator(".filter").fill("")
    page.get_by_role("button", name="failed").click()
    rows(page, 1)
    expect(page.locator(".rows .name")).to_have_text(["Port the importer to Rust"])
    assert "state=failed" in page.url
    page.get_by_role("button", name="failed").click()
    page.get_by_label("Label").last.select_option("team=web")
    rows(page, 3)
    page.locator(".filter").fill("nothing has these words")
    page.get_by_text("No run matches").wait_for()
    page.get_by_role("button", name="Clear the filter").click()
    rows(page, 8)


def test_keys_choose_and_open_a_run(hub: ServedHub, page: Page, agents: ExitStack):
    connect(hub, agents)
    page.goto(hub.url)
    page.get_by_text("Release 2.4.0").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.locator(".row.selected", has_text="Port the importer").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/01JZFAIL*")
    page.keyboard.press("Escape")
    page.wait_for_url(hub.url + "/")
    page.get_by_text("Release 2.4.0").wait_for()


def test_only_visible_rows_are_in_the_document(hub: ServedHub, page: Page):
    for number in range(600):
        run = Told(f"R{number:04}", ago=10_000 - number)
        run.add(status("starting", "starts", phase="PENDING", title=f"Task {number}"))
        hub.store(run.envelope.container_id, run.envelope.run_id, run.lines)
    hub.kill()
    hub.start()
    page.goto(hub.url)
    page.get_by_text("600 runs").wait_for()
    assert page.locator(".rows .row").count() < 40
    page.locator(".scroll").evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
    page.get_by_text("Task 0", exact=True).wait_for()
    assert frames(page.locator(".scroll"), "rows", steps=120, by=-250) < 500
    assert page.locator(".rows .row").count() < 40
