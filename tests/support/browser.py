"""A real hub in a process of its own, agents' connections to it, and a real browser that looks at its page.

No test here waits for a length of time: `expect` and `wait_for_function` wait for a state, with a bound.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import hold_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page

CHROMIUM = Path("/usr/bin/chromium")
_PATIENCE = 60.0
WIDE, NARROW = (1280, 800), (390, 844)


class ServedHub:
    """`agent serve` on a fixed port, so that it can be killed and started again."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.port = hold_port(self)
        self.directory = directory
        self.scheme = "http"
        self.options: tuple[str, ...] = ()
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        """Start, and return once it listens."""
        self.options = options or self.options
        command = [sys.executable, "-m", "agent", "serve", "--port", str(self.port), "--store", str(self.directory)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SERVE_")}
        self._process = subprocess.Popen(
            [*command, *self.options],
            env={**inherited, **self.environment},
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.get("/api/session")
                return
            except OSError:
                assert self._process.poll() is None, "the hub ended"
                assert time.monotonic() < deadline, "the hub does not answer"
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)
            self._process = None

    def store(self, container: str, run: str, lines: Iterable[str]) -> None:
        """Put a run into the store of a hub that will be started again."""
        (self.directory / container).mkdir(parents=True, exist_ok=True)
        (self.directory / container / f"{run}.ndjson").write_text("".join(f"{line}\n" for line in lines))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=_PATIENCE) as answer:
            return json.load(answer)

    def send(self, lines: Iterable[str], *, token: str | None = None) -> None:
        """Send messages of one run as an agent does, and return once the last one is stored."""
        with self.agent(token) as agent:
            agent.send(lines)

    @contextmanager
    def agent(self, token: str | None = None) -> Iterator[SentRun]:
        """A connection that stays."""
        from websockets.sync.client import connect

        headers = {"Authorization": f"Bearer {token}"} if token else None
        with connect(f"ws://127.0.0.1:{self.port}", additional_headers=headers, max_size=None) as socket:
            yield SentRun(socket)


class SentRun:
    """The agent's side of a connection."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def command(self) -> Any:
        """The next message from the hub that is no acknowledgement."""
        while "ack" in (message := json.loads(self._socket.recv(_PATIENCE))):
            pass
        return message

    def send(self, lines: Iterable[str]) -> None:
        """Send, and return once the last numbered message is confirmed."""
        last, message = 0, None
        for line in lines:
            self._socket.send(line)
            message = json.loads(line)
            last = max(last, message.get("seq") or 0)
        if message is None or not last:
            return
        names = {name: message[name] for name in ("containerID", "runID")}
        self._socket.send(json.dumps({"type": "HEARTBEAT", **names, "timestamp": "", "data": {}}))
        while json.loads(self._socket.recv(_PATIENCE)).get("ack", -1) < last:
            pass


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page whose scripts raise nothing, and which never tries what its policy forbids."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def expect(locator: Locator) -> LocatorAssertions:
    """Assertions that wait for the state, some seconds at most.

    A bare `assert` on a locator looks once. The row of a run and its lines come by two streams, each in its own
    time, so what one of them has shown tells nothing of what the other shows by now.
    """
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator)


FRAMES = """async (list, [steps, by]) => {
    const frames = [];
    let before = performance.now();
    for (let step = 0; step < steps; step += 1) {
        list.scrollTop += by;
        await new Promise((done) => requestAnimationFrame(done));
        frames.push(performance.now() - before);
        before = performance.now();
    }
    return frames.sort((a, b) => a - b);
}"""


def frames(scrolled: Locator, name: str, *, steps: int, by: int) -> float:
    """Scroll, and write down how long frames took; the median in milliseconds."""
    found: list[float] = scrolled.evaluate(FRAMES, [steps, by])
    median, late, worst = found[steps // 2], found[steps * 95 // 100], found[-1]
    told = f"{name}, frames while scrolling: median {median:.0f} ms, p95 {late:.0f} ms, worst {worst:.0f} ms\n"
    (shots() / f"frames-{name}.txt").write_text(told)
    return median


def shots() -> Path:
    """Directory of the screenshots, which CI keeps."""
    directory = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def photograph(page: Page, name: str) -> None:
    """Screenshots in both themes and both widths."""
    for width, height in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            page.screenshot(path=shots() / f"{name}-{width}-{theme}.png")
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.emulate_media(color_scheme="light")


def faults(page: Page) -> list[str]:
    """Serious findings of axe-core about what the page shows now, each with the elements that it is about."""
    from tools.install_axe import SCRIPT

    if not SCRIPT.exists():
        pytest.skip("needs axe-core: python tools/install_axe.py")
    page.evaluate(SCRIPT.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
