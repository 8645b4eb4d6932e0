"""Take the pictures of the hub's page for the README: `python -m tools.page_pictures` writes docs/images/page-*.png.

One run is real: `agent run` with the demo's recording of claude. The others in the fleet are those of the page's tests,
one for each state. Needs Debian's chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from agent.replay import standin
from tests.support.browser import ServedHub, open_browser, open_page
from tests.support.fleets import fleet

_ROOT = Path(__file__).parents[1]
_DEMO, _IMAGES = _ROOT / "agent" / "data" / "demo", _ROOT / "docs" / "images"
_TASK = "Make the failing tests of slugify pass"


def _run(place: Path, hub: ServedHub) -> None:
    """The demo's recording as a whole run."""
    repository, claude = place / "slugify", place / "claude"
    shutil.copytree(_DEMO / "repository", repository)
    environ = {"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place), "PYTHONPATH": str(_ROOT)}
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Add slugify"]):
        subprocess.run(["git", *identity, *command], cwd=repository, env=environ, check=True)
    standin.install(claude, _DEMO / "transcript.jsonl", speed=4, perform_edits=True)
    task = {
        "REPO_URL": f"file://{repository}", "TASK": _TASK, "CLAUDE_BIN": str(claude), "ANTHROPIC_API_KEY": "none",
        "WS_SERVER": f"ws://127.0.0.1:{hub.port}", "WORKSPACE_DIR": str(place / "workspace"), "STREAM_PATCH": "1",
        "CONTAINER_ID": "slugify-1", "LABELS": "team=web,kind=fix",
    }  # fmt: skip
    command = [sys.executable, "-m", "agent", "run"]
    subprocess.run(command, env={**environ, **task}, stderr=subprocess.DEVNULL, check=True)


def main() -> None:
    """Take them."""
    with tempfile.TemporaryDirectory() as store, ExitStack() as stack:
        place = Path("/tmp/demo")  # it is in the picture
        place.mkdir()
        stack.callback(shutil.rmtree, place)
        hub = ServedHub(Path(store))
        hub.start("--allow-commands")
        stack.callback(hub.kill)
        for run, beat in fleet():
            if run.envelope.run_id.startswith("01JZDONE"):
                continue  # the real one stands for it
            if beat:
                stack.enter_context(hub.agent()).send([*run.lines, beat])
            else:
                hub.send(run.lines)
        _run(place, hub)
        browser = stack.enter_context(open_browser())
        with open_page(browser) as page:
            page.set_viewport_size({"width": 1240, "height": 620})
            page.goto(hub.url)
            page.get_by_role("link", name=_TASK).wait_for()
            page.screenshot(path=_IMAGES / "page-fleet.png")
            page.set_viewport_size({"width": 1240, "height": 760})
            page.get_by_role("link", name=_TASK).click()
            page.locator(".item.complete").wait_for()
            page.keyboard.press("g")
            page.locator(".tool").first.wait_for()
            page.locator(".transcript").evaluate("(list) => { list.scrollTop = 1290; }")
            page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
            page.screenshot(path=_IMAGES / "page-run.png")


if __name__ == "__main__":
    main()
