"""The page of one run, in a real browser before a real hub."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from agent.protocol.events import log
from tests.support.browser import ServedHub, expect, photograph
from tests.support.fleets import Told, claude_events, showcase

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.page


def preview(run: Told, piece: int, text: str, **more: object) -> str:
    data = {"kind": "text", "id": "m9/0", "piece": piece, "text": text, **more}
    return run.envelope.preview(data, "2026-01-01T00:00:00.000Z").decode()


def test_text_grows_and_goes_when_it_is_there_as_a_whole(hub: ServedHub, page: Page, agents: ExitStack):
    run = Told("01JZGROWS0000000000000000A").begin(title="Writes")
    agent = agents.enter_context(hub.agent())
    agent.send(run.lines)
    page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
    line(page, "claude works").wait_for()
    growing = page.locator(".growing")
    expect(growing).to_be_hidden()
    page.wait_for_timeout(300)
    agent.send([preview(run, 1, "It grows "), preview(run, 2, "word <b>by</b> "), preview(run, 4, "the end")])
    growing.get_by_text("It grows word <b>by</b>").wait_for()
    growing.get_by_text("… the end").wait_for()
    command = {"kind": "output", "id": "toolu_9", "tool": "Bash", "size": 14}
    agent.send([preview(run, 1, "one\n", **command), preview(run, 2, "one\ntwo\n", **command)])
    growing.get_by_text("two").wait_for()
    photograph(page, "run-grows")
    before = len(run.lines)
    message = {"id": "m9", "model": "m", "content": [{"type": "text", "text": "It grows word by word to the end."}]}
    run.claude({"type": "assistant", "message": message})
    agent.send(run.lines[before:])
    page.locator(".item").get_by_text("It grows word by word to the end.").wait_for()
    growing.get_by_text("It grows").wait_for(state="detached")
    expect(growing.get_by_text("two")).to_be_visible()
    before = len(run.lines)
    answer = {"type": "tool_result", "tool_use_id": "toolu_9", "content": "one\ntwo"}
    run.claude({"type": "user", "message": {"role": "user", "content": [answer]}})
    agent.send(run.lines[before:])
    growing.wait_for(state="hidden")


def line(page: Page, text: str) -> Locator:
    """The line of the transcript with exactly this text."""
    return page.locator(".item").get_by_text(text, exact=True)


def shown(page: Page) -> list[int]:
    """Numbers of the lines in the document, as they stand below each other."""
    found = page.locator(".item").evaluate_all(
        "(items) => items.map((item) => [new DOMMatrix(item.style.transform).f, Number(item.dataset.seq)])"
    )
    return [seq for _, seq in sorted(found)]


def test_a_run_is_shown_as_a_person_reads_it(hub: ServedHub, page: Page):
    run = showcase().complete()
    hub.send(run.lines)
    page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
    page.get_by_text("complete: ").first.wait_for()
    page.locator(".item.complete").wait_for()
    photograph(page, "run")
    operator = page.locator(".operator-box")
    expect(operator).to_have_text("nora message, acceptedPlease keep the public name.")
    todos = page.locator(".side .todos li")
    expect(todos).to_have_count(3)
    expect(todos.first.get_by_role("img")).to_have_attribute("aria-label", re.compile("done"))
    page.keyboard.press("g")
    page.locator(".thinking").wait_for()
    photograph(page, "run-start")
    bash = page.locator(".tool", has_text="python -m pytest -q")
    expect(bash.locator(".output .f2").first).to_have_text(".")
    expect(bash).to_contain_text("failed")
    expect(bash).not_to_contain_text("line 30")
    bash.get_by_role("button", name="Show all").click()
    bash.get_by_text("line 39", exact=False).wait_for()
    edit = page.locator(".tool", has_text="src/slugify.py").first
    assert edit.locator(".line.del").inner_text().strip("- \n") == 'return text.replace(" ", "-")'
    expect(edit.locator(".line.ins")).to_have_count(2)
    agent = page.locator(".tool", has_text="Review the change")
    agent.scroll_into_view_if_needed()
    agent.get_by_role("button", name="Fold").click()
    page.get_by_text("I look at the edge cases.").wait_for(state="detached")
    agent.get_by_role("button", name="Show").click()
    page.get_by_text("I look at the edge cases.").wait_for()
    link = page.get_by_role("link", name="https://docs.python.org/3/library/unicodedata.html")
    assert link.get_attribute("rel") == "noopener noreferrer"
    page.get_by_role("tab", name="Changes").click()
    page.get_by_text("unicodedata.normalize").wait_for()
    photograph(page, "run-changes")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download changes.patch").click()
    assert download.value.path().read_text().startswith("diff --git a/src/slugify.py")


def test_lines_follow_live_until_one_scrolls_up_and_come_once_over_a_restart(
    hub: ServedHub, page: Page, agents: ExitStack
):
    run = Told("R1").begin(title="Long work")
    run.add(*(log("info", f"old {number}") for number in range(500)))
    agent = agents.enter_context(hub.agent())
    agent.send(run.lines)
    page.goto(f"{hub.url}/runs/R1")
    line(page, "old 499").wait_for()
    agent.send(run.add(log("info", "new 1")).lines[-1:])
    line(page, "new 1").wait_for()
    page.locator(".transcript").evaluate("(list) => { list.scrollTop -= 3000; }")
    line(page, "old 380").wait_for()
    before = shown(page)
    agent.send(run.add(log("info", "new 2")).lines[-1:])
    page.get_by_text("1 new line").wait_for()
    assert shown(page) == before
    page.locator(".fresh").click()
    line(page, "new 2").wait_for()
    hub.kill()
    page.get_by_text("reconnecting").first.wait_for()
    hub.start()
    again = agents.enter_context(hub.agent())
    run.add(*(log("info", f"after the restart {number}") for number in range(30)))
    again.send(run.lines)
    line(page, "after the restart 29").wait_for()
    assert shown(page)[-30:] == list(range(run.seq - 29, run.seq + 1))
    page.reload()
    line(page, "after the restart 29").wait_for()
    assert shown(page)[-30:] == list(range(run.seq - 29, run.seq + 1))
    again.send(run.complete().lines[-1:])
    page.get_by_text(f"complete: {run.seq} events, 0 missing").wait_for()
    numbers = shown(page)  # once: the list may move between two looks
    assert len(numbers) == len(set(numbers))


def test_charts_span_the_whole_run_also_for_who_comes_later(hub: ServedHub, page: Page, agents: ExitStack):
    run = Told("R1").begin(title="Charts")
    agent = agents.enter_context(hub.agent())
    beats = [run.beat(uptime=n, memory=n << 20, memoryLimit=100 << 20, cpu=0.5) for n in (10, 90, 40)]
    for beat in beats:
        agent.send([*run.lines[-1:], beat] if beat is not beats[0] else [*run.lines, beat])
    page.goto(f"{hub.url}/runs/R1")
    memory = page.locator(".charts svg").first
    expected = "Memory: 40 MiB of 100 MiB, 90 MiB at most"
    page.locator(f".charts svg[aria-label^='{expected}']").wait_for()
    assert len((memory.locator(".curve").get_attribute("points") or "").split()) >= 3
    agent.send([*run.lines[-1:], run.beat(uptime=50, memory=95 << 20, memoryLimit=100 << 20, cpu=0.5)])
    page.locator(".charts svg[aria-label^='Memory: 95 MiB']").wait_for()
    agent.send(run.complete().lines[-1:])
    page.locator(".item.complete").wait_for()
    page.reload()
    page.locator(".charts svg[aria-label^='Memory: 95 MiB']").wait_for()


def test_a_line_has_an_address(hub: ServedHub, page: Page):
    run = Told("R1").begin(title="Long work")
    run.add(*(log("info", f"line {number}") for number in range(3000))).complete()
    hub.send(run.lines)
    seq = next(json.loads(line)["seq"] for line in run.lines if '"line 1234"' in line)
    page.goto(f"{hub.url}/runs/R1#{seq}")
    page.locator(f".item.selected[data-seq='{seq}']", has_text="line 1234").wait_for()
    box = page.locator(".item.selected").bounding_box()
    assert box is not None
    assert 100 < box["y"] < 500
    page.keyboard.press("j")
    page.locator(f".item.selected[data-seq='{seq + 1}']").wait_for()
    page.keyboard.press("r")
    page.get_by_role("dialog").get_by_text('"line 1235"').wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_url(hub.url + "/")


def test_an_address_of_no_run_says_so(hub: ServedHub, page: Page):
    page.goto(f"{hub.url}/runs/nothing.here")
    page.get_by_text("There is no run at this address").wait_for()


def test_a_split_message_is_shown_whole_when_it_is_asked_for(hub: ServedHub, page: Page):
    run = Told("R1").begin(title="Split")
    said = {
        "type": "assistant",
        "message": {"content": [{"type": "text", "text": "The long answer: " + "word " * 500}]},
    }
    (event,) = claude_events([json.dumps(said)])
    text = event.data.decode()
    for i, piece in enumerate((text[:900], text[900:1800], text[1800:]), 1):
        part = {"id": "7", "i": i, "n": 3, "text": piece}
        run.add(log("info", "The long answer", source="claude", kind="text", part=part))
    hub.send(run.complete().lines)
    page.goto(f"{hub.url}/runs/R1")
    page.get_by_role("button", name="Show all 3 parts").click()
    page.locator(".prose").get_by_text("The long answer: word").wait_for()
    assert page.locator(".prose").inner_text().count("word") == 500


def test_what_the_tests_made_of_the_work_is_shown(hub: ServedHub, page: Page):
    passed = {"state": "passed", "attempts": 1, "exit": 0, "duration": 48_000, "output": "31 passed"}
    failed = {"state": "failed", "attempts": 3, "exit": 2, "duration": 61_000, "output": "1 failed"}
    hub.send(Told("R1").begin(title="Passes").complete(verify=passed).lines)
    hub.send(Told("R2").begin(title="Fails").complete(1, reason="verify", message="no", verify=failed).lines)
    page.goto(hub.url)
    for title, words in (("Passes", "tests passed"), ("Fails", "tests failed")):
        page.locator(".row", has_text=title).get_by_text(words, exact=True).wait_for()
    for run, words, facts in (("R1", "tests passed", " 48s"), ("R2", "tests failed", " exit 2 · 3 attempts · 1m 01s")):
        page.goto(f"{hub.url}/runs/{run}")
        for place in (".side", ".item.complete"):
            expect(page.locator(place).get_by_text(words)).to_have_text(words + facts)
