"""Who may what on the page, and whether everybody can use it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from agent.protocol.events import status
from tests.support.browser import SentRun, ServedHub, expect, faults, open_page, photograph
from tests.support.fleets import Told, fleet, showcase

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.page

TOKENS = {"SERVE_TOKEN": "for-agents", "SERVE_WATCH_TOKEN": "for-watchers", "SERVE_COMMAND_TOKEN": "for-operators"}


@pytest.fixture
def guarded(tmp_path: Path):
    hub = ServedHub(tmp_path / "guarded", **TOKENS)
    hub.start()
    yield hub
    hub.kill()


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def asking() -> tuple[Told, str]:
    return fleet()[0]


def open_asking(hub: ServedHub, page: Page, agents: ExitStack) -> tuple[Told, SentRun]:
    """Open the page of such a run, whose questions everybody here may answer."""
    hub.kill()
    hub.start("--allow-commands")
    run, beat = asking()
    agent = agents.enter_context(hub.agent())
    agent.send([*run.lines, beat])
    page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
    return run, agent


def test_a_token_opens_the_page_and_logging_out_closes_it(guarded: ServedHub, page: Page):
    run = Told("R1").begin(title="Behind a token")
    guarded.send(run.lines, token="for-agents")
    page.goto(f"{guarded.url}/runs/R1")
    log_in(page, "wrong")
    page.get_by_role("alert").get_by_text("the token is wrong").wait_for()
    photograph(page, "login")
    log_in(page, "for-watchers")
    page.get_by_role("heading", name="Behind a token").wait_for()
    assert page.evaluate("() => document.cookie") == ""
    assert "for-watchers" not in page.url
    expect(page.locator(".steer")).to_be_hidden()
    page.reload()
    page.get_by_role("heading", name="Behind a token").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").wait_for()
    assert "Behind a token" not in page.content()


def test_an_operator_answers_tells_interrupts_and_stops(guarded: ServedHub, page: Page, agents: ExitStack):
    run, beat = asking()
    agent = agents.enter_context(guarded.agent("for-agents"))
    agent.send([*run.lines, beat])
    page.goto(f"{guarded.url}/runs/{run.envelope.run_id}")
    log_in(page, "for-operators")
    question = page.locator(".alert")
    question.get_by_text("claude waits for an answer").wait_for()
    expect(question).to_contain_text("npm publish --access public")
    assert page.title().startswith("?")
    photograph(page, "run-question")
    page.get_by_label("Reason").fill("not today")
    page.get_by_role("button", name="Deny").click()
    said = agent.command()
    assert said["type"] == "COMMAND"
    assert said["data"] == {"command": "answer", "question": "q1", "behavior": "deny", "message": "not today"}
    page.get_by_role("button", name="Allow for the whole run").click()
    assert agent.command()["data"] == {"command": "answer", "question": "q1", "behavior": "allow_always"}
    page.get_by_label("Message to claude").fill("use tabs")
    page.keyboard.press("Enter")
    assert agent.command()["data"] == {"command": "message", "text": "use tabs"}
    page.get_by_role("button", name="Interrupt").click()
    assert agent.command()["data"] == {"command": "interrupt"}
    page.get_by_role("button", name="Stop the run").click()
    page.get_by_role("button", name="Let it go on").click()
    page.get_by_role("button", name="Stop the run").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
    assert agent.command()["data"] == {"status": "cancel"}


def test_several_questions_are_shown_and_each_is_answered_by_itself(hub: ServedHub, page: Page, agents: ExitStack):
    run, agent = open_asking(hub, page, agents)
    first = page.locator(".asks", has_text="npm publish")
    first.get_by_label("Reason").fill("not before Monday")
    other: dict[str, object] = {"id": "q2", "tool": "Bash", "input": {"command": "rm -rf build"}, "suggestions": []}
    asks = status("waiting", "claude asks to use Bash: rm -rf build", phase="RUNNING", question=other)
    agent.send(run.add(asks).lines[-1:])
    page.get_by_text("claude waits for 2 answers").wait_for()
    expect(first.get_by_label("Reason")).to_have_value("not before Monday")
    photograph(page, "run-questions")
    page.locator(".asks", has_text="rm -rf build").get_by_role("button", name="Allow", exact=True).click()
    assert agent.command()["data"] == {"command": "answer", "question": "q2", "behavior": "allow"}
    closed = status("running", "Bash: allowed", phase="RUNNING", question={"id": "q2", "answer": "allowed"})
    agent.send(run.add(closed).lines[-1:])
    page.get_by_text("claude waits for an answer").wait_for()
    first.get_by_role("button", name="Deny").click()
    assert agent.command()["data"]["message"] == "not before Monday"


def test_a_call_is_shown_with_all_its_arguments_and_both_ends(hub: ServedHub, page: Page, agents: ExitStack):
    run, agent = open_asking(hub, page, agents)
    given = {
        "q2": ("Bash", {"command": "make", "dangerouslyDisableSandbox": True}),
        "q3": ("mcp__shell__run", {"script": "x" * 9000 + "; rm -rf /"}),
        "q4": ("mcp__shell__more", {"script": "x" * 20_000 + "; rm -rf /home"}),
    }
    for id, (tool, arguments) in given.items():
        asked = {"id": id, "tool": tool, "input": arguments, "suggestions": [], "cut": id == "q4"}
        run.add(status("waiting", f"claude asks to use {tool}", phase="RUNNING", question=asked))
    agent.send(run.lines[-3:])
    page.get_by_text("claude waits for 4 answers").wait_for()
    expect(page.locator(".asks", has_text="make")).to_contain_text("dangerouslyDisableSandboxtrue")
    whole, cut = page.locator(".asks", has_text="mcp__shell__run"), page.locator(".asks", has_text="mcp__shell__more")
    expect(whole).to_contain_text("x; rm -rf /")
    expect(whole).not_to_contain_text("not shown")
    expect(whole.get_by_role("button", name="Allow for the whole run")).to_have_count(1)
    expect(cut).to_contain_text("characters are not shown")
    expect(cut).to_contain_text("x; rm -rf /home")
    expect(cut.get_by_role("button", name="Allow for the whole run")).to_have_count(0)
    expect(cut).to_contain_text("Too long to be shown whole here")
    photograph(page, "run-questions-long")


def test_an_answered_question_is_a_line_and_no_longer_asks(hub: ServedHub, page: Page, agents: ExitStack):
    run, beat = asking()
    agent = agents.enter_context(hub.agent())
    agent.send([*run.lines, beat])
    page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
    page.locator(".alert").get_by_text("claude waits for an answer").wait_for()
    answered = status("running", "nora allows Bash", question={"id": "q1", "answer": "allow"})
    agent.send(run.add(answered).lines[-1:])
    page.locator(".item.log").get_by_text("nora allows Bash").wait_for()
    page.locator(".alert").wait_for(state="hidden")
    expect(page.locator(".item.question")).to_have_count(1)


def test_a_refusal_is_told(guarded: ServedHub, page: Page):
    run = Told("R1").begin(title="Gone")
    guarded.send(run.lines, token="for-agents")
    page.goto(f"{guarded.url}/runs/R1")
    log_in(page, "for-operators")
    page.get_by_role("button", name="Interrupt").click()
    page.get_by_text("no agent is connected").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_login(guarded: ServedHub, browser: Browser, theme: Literal["light", "dark"]):
    with open_page(browser, color_scheme=theme, bypass_csp=True) as page:
        page.goto(guarded.url)
        page.get_by_label("Token").wait_for()
        assert faults(page) == []
        log_in(page, "wrong")
        page.get_by_role("alert").get_by_text("the token is wrong").wait_for()
        assert faults(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(hub: ServedHub, browser: Browser, agents: ExitStack, theme: str, width: int):
    for run, beat in fleet():
        agents.enter_context(hub.agent()).send([*run.lines, beat] if beat else run.lines)
    run = showcase().complete()
    hub.send(run.lines)
    # axe-core makes markup of strings of its own, which the page's policy would refuse.
    options = {"color_scheme": theme, "bypass_csp": True}
    with open_page(browser, **options) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(hub.url)
        page.get_by_text("Release 2.4.0").first.wait_for()
        assert faults(page) == []
        page.goto(f"{hub.url}/runs/{run.envelope.run_id}")
        page.locator(".item.complete").wait_for()
        assert faults(page) == []
        page.keyboard.press("g")
        page.locator(".thinking").wait_for()
        assert faults(page) == []
        page.get_by_role("tab", name="Changes").click()
        page.get_by_text("unicodedata.normalize").wait_for()
        assert faults(page) == []
        page.goto(f"{hub.url}/runs/{fleet()[0][0].envelope.run_id}")
        page.get_by_text("claude waits for an answer").wait_for()
        assert faults(page) == []
