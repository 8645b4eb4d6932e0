"""How the page looks where it could mislead: what is a warning, what is covered, read or counted."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from agent.protocol.events import Event, log, status
from tests.support.browser import NARROW, WIDE, ServedHub, expect, faults, open_page, photograph
from tests.support.fleets import Told, fleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

pytestmark = pytest.mark.page

LONG = "the workspace is not empty, and REPLACE_WORKSPACE=1 allows to empty it, so all of it is removed now"


def style(element: Locator, name: str) -> str:
    value: str = element.evaluate("(element, name) => getComputedStyle(element)[name]", name)
    return value


def test_lines_of_a_transcript_have_no_style_of_something_else(hub: ServedHub, page: Page):
    run = Told("R1").begin(title="Looks")
    run.add(log("info", "a line of claude's own", source="claude", kind="hook_started"), status("running", LONG))
    for level in ("notice", "row", "fresh primary", "error"):
        run.add(
            Event("LOG", (b'{"level":"%s","message":"of level %s"}' % (level.encode(), level.encode()),), "info", "")
        )
    hub.send(run.lines)
    page.goto(f"{hub.url}/runs/R1")
    note = page.locator(".item.note")
    note.wait_for()
    assert style(note, "backgroundColor") == "rgba(0, 0, 0, 0)"
    ordinary = page.locator(".item", has_text="of level notice")
    for level in ("row", "fresh primary"):
        item = page.locator(".item", has_text=f"of level {level}")
        assert [style(item, name) for name in ("display", "position", "backgroundColor")] == [
            style(ordinary, name) for name in ("display", "position", "backgroundColor")
        ]
        assert item.get_attribute("class") == ordinary.get_attribute("class")
    assert "error" in (page.locator(".item", has_text="of level error").get_attribute("class") or "").split()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text(LONG).wait_for()
    assert style(page.get_by_text(LONG), "whiteSpace") == "normal"


def test_a_transcript_is_busy_while_it_is_read(hub: ServedHub, browser: Browser):
    hub.send(Told("R1").begin(title="Slow").lines)
    waiting: list[Route] = []
    with open_page(browser, bypass_csp=True) as page:
        page.route("**/messages?**", lambda route: waiting.append(route))
        page.goto(f"{hub.url}/runs/R1")
        page.locator(".canvas[aria-busy=true]").wait_for(state="attached")
        assert faults(page) == []
        for route in waiting:
            route.continue_()
        page.locator(".item").first.wait_for()
        assert page.locator(".canvas").get_attribute("aria-busy") == "false"


def test_totals_are_of_the_runs_that_are_listed(hub: ServedHub, page: Page, agents: ExitStack):
    for run, beat in fleet():
        if beat:
            agents.enter_context(hub.agent()).send([*run.lines, beat])
        else:
            hub.send(run.lines)
    hub.send(Told("R1").begin(title="Stopped").complete(79, reason="cancelled", message="cancelled by ada").lines)
    page.goto(f"{hub.url}/runs/R1")
    page.locator(".item.complete .turn-box", has_text="cancelled by ada").wait_for()  # nothing has failed
    page.goto(hub.url)
    totals = page.locator(".totals")
    totals.get_by_text("9 runs", exact=True).wait_for()
    tools = [page.locator(f".tools > {part}").bounding_box() for part in (".filter", ".chips", ".labels", ".totals")]
    assert len({round(box["y"] + box["height"] / 2) // 8 for box in tools if box}) == 1, "all in one line"
    page.get_by_role("button", name="running").click()
    totals.get_by_text("4 of 9 runs").wait_for()
    totals.get_by_text("$1.67").wait_for()
    expect(page.locator(".row.disconnected").get_by_text("last heard")).to_have_count(0)
    page.get_by_role("button", name="running").click()
    page.locator(".row.disconnected").get_by_text("last heard").wait_for()


def test_who_steers_a_run_without_an_agent_is_told_so_before(hub: ServedHub, page: Page, agents: ExitStack):
    hub.kill()
    hub.start("--allow-commands")
    run = Told("R1").begin(title="Comes and goes")
    hub.send(run.lines)
    page.goto(f"{hub.url}/runs/R1")
    page.get_by_placeholder("No agent is connected now").wait_for()
    agent = agents.enter_context(hub.agent())
    agent.send(run.add(log("info", "back")).lines)
    page.get_by_placeholder("Tell claude").fill("use tabs")
    page.get_by_role("button", name="Tell").click()
    said = page.get_by_text("Message sent")
    said.wait_for()
    over, under = said.bounding_box(), page.locator(".steer").bounding_box()
    assert over is not None
    assert under is not None
    assert over["y"] + over["height"] < under["y"], "what is said covers no button"


def test_charts_of_one_moment_are_level(hub: ServedHub, page: Page, agents: ExitStack):
    run = Told("R1").begin(title="Charts")
    agent = agents.enter_context(hub.agent())
    agent.send([*run.lines, run.beat(uptime=9, memory=50 << 20, memoryLimit=100 << 20, cpu=0.5)])
    page.goto(f"{hub.url}/runs/R1")
    curve = page.locator(".charts svg[aria-label^='Memory: 50 MiB'] .curve")
    curve.wait_for(state="attached")
    points = [point.split(",") for point in (curve.get_attribute("points") or "").split()]
    assert {y for _, y in points} == {"20"}
    assert (points[0][0], points[-1][0]) == ("0", "240")


def test_arrows_stay_on_the_tabs_that_can_be_seen(hub: ServedHub, page: Page):
    hub.send(Told("R1").begin(title="Tabs").complete().lines)
    page.goto(f"{hub.url}/runs/R1")
    page.get_by_role("tab", name="Transcript").focus()
    chosen = page.locator("[role=tab][aria-selected=true]")
    for name in ("Changes", "Transcript"):
        page.keyboard.press("ArrowRight")
        expect(chosen).to_have_text(name)
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("ArrowLeft")
    expect(chosen).to_have_text("About")
    page.get_by_text("0 missing").wait_for()


def test_a_number_out_of_this_world_is_no_burden(hub: ServedHub, page: Page, agents: ExitStack):
    run = Told("R1").begin(title="Far away")
    agent = agents.enter_context(hub.agent())
    agent.send(run.lines)
    page.goto(f"{hub.url}/runs/R1")
    page.locator(".item.phase").first.wait_for()
    last = json.loads(run.lines[-1])
    agent.send([json.dumps({**last, "seq": 2**53 - 1})])
    page.locator(".notice").get_by_text("Lines above number 5,000,000 are not shown here").wait_for()
    page.reload()
    page.locator(".notice").get_by_text("Lines above number 5,000,000 are not shown here").wait_for()
    page.keyboard.press("g")
    page.locator(".item.phase").first.wait_for()


@pytest.mark.parametrize("text", ["y" * 1_000_000, "word " * 200_000, "\x1b[31mr\x1b[0m" * 30_000])
def test_a_huge_line_is_cut_and_whole_in_its_raw_form(hub: ServedHub, page: Page, text: str):
    run = Told("R1").begin(title="Huge").add(log("info", text), status("running", text, phase="RUNNING"))
    hub.send(run.lines)
    page.goto(f"{hub.url}/runs/R1#{run.seq - 1}")
    line = page.locator(f".item[data-seq='{run.seq - 1}']")
    line.get_by_text("more characters: see the raw JSON").wait_for()
    assert len(line.inner_text()) < 21_000
    line.get_by_role("button", name="Raw JSON").click()
    page.get_by_role("dialog").get_by_text("more characters: the button copies them all").wait_for()


@pytest.mark.parametrize(
    "text", ["a\n\n" * 60_000, "`a` **b** " * 20_000, "`" * 200_000, "https://a.example/x " * 5_000]
)
def test_a_text_with_too_much_in_it_stays_readable(hub: ServedHub, page: Page, text: str):
    said = {
        "type": "assistant",
        "message": {"id": "m", "role": "assistant", "content": [{"type": "text", "text": text}]},
    }
    hub.send(Told("R1").begin(title="Dense").claude(said).lines)
    page.goto(f"{hub.url}/runs/R1")
    page.locator(".prose").wait_for()
    assert len(page.locator(".prose").inner_text()) > 10_000
    assert page.locator(".prose *").count() < 12_000


def look(page: Page, name: str) -> None:
    """Take pictures of what is shown now, to be looked at, and let axe-core look at it in both themes and widths."""
    photograph(page, name)
    for width, height in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            assert faults(page) == [], (name, width, theme)


def test_every_state_can_be_read(hub: ServedHub, browser: Browser, agents: ExitStack):
    hub.kill()
    hub.start("--allow-commands")
    runs = fleet()
    for run, beat in runs:
        if beat:
            agents.enter_context(hub.agent()).send([*run.lines, beat])
        else:
            hub.send(run.lines)
    with open_page(browser, bypass_csp=True) as page:
        for run, _ in runs:
            name = run.envelope.run_id
            page.goto(f"{hub.url}/runs/{name}")
            page.locator(".item").first.wait_for()
            if name.startswith("01JZCLON"):
                expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "43")
                page.get_by_text("51,000 of 118,000").wait_for()
            look(page, f"state-{name[4:8].lower()}")
        page.goto(f"{hub.url}/runs/{runs[1][0].envelope.run_id}")
        page.locator(".item").first.wait_for()
        page.keyboard.press("j")
        page.keyboard.press("r")
        page.get_by_role("dialog", name="Raw JSON").wait_for()
        look(page, "raw")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keys").wait_for()
        look(page, "keys")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Stop the run").click()
        page.get_by_role("dialog", name="Stop the run").wait_for()
        look(page, "stop")
        page.keyboard.press("Escape")
        hub.kill()
        page.locator(".notice", has_text="reconnecting").wait_for()
        look(page, "run-reconnecting")
        page.keyboard.press("Escape")
        page.get_by_text("The hub does not answer").wait_for()
        look(page, "fleet-reconnecting")
        page.locator(".filter").fill("nothing has these words")
        page.get_by_text("No run matches").wait_for()
        look(page, "fleet-none")
