"""Runs of all states and with all kinds of content, for the hub's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.limits import Limits
from agent.protocol import timestamp
from agent.protocol.events import Event, error, log, status
from agent.transcript import Transcript
from tests.support.runs import Written

NOW = datetime.now(UTC)


class Told(Written):
    """A run whose messages tell the time, and that can be left unfinished."""

    def __init__(self, run_id: str, *, ago: float = 60.0, container: str = "") -> None:
        super().__init__(container or f"agent-{run_id.lower()}", run_id)
        self.time = NOW - timedelta(seconds=ago)

    def add(self, *events: Event) -> Told:
        before = len(self.lines)
        super().add(*events)
        for at in range(before, len(self.lines)):
            message = json.loads(self.lines[at])
            message["timestamp"] = timestamp(self.time.timestamp())
            self.lines[at] = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            self.time += timedelta(seconds=0.7)
        return self

    def begin(self, **fields: Any) -> Told:
        self.add(status("starting", "agent 1.0.0 starts", phase="PENDING", versions={"agent": "1.0.0"}, **fields))
        self.add(status("running", "cloning", phase="CLONING"))
        return self.add(
            log("info", "Cloning into '/workspace'...", source="git"),
            status("running", "claude works", phase="RUNNING", head="4f2a91c07d", branch="main"),
        )

    def claude(self, *lines: dict[str, Any] | str) -> Told:
        return self.add(*claude_events(json.dumps(line) if isinstance(line, dict) else line for line in lines))

    def beat(self, **fields: Any) -> str:
        message = json.loads(self.heartbeat())
        message["data"].update(fields)
        return json.dumps(message)


def claude_events(lines: Iterator[str] | list[str]) -> Iterator[Event]:
    """The events that a recorded stdout of claude becomes."""
    transcript = Transcript(Limits())
    for line in lines:
        yield from transcript.feed(line.strip().encode())


def recorded(path: Path) -> list[Event]:
    """The events of a recorded transcript."""
    return list(claude_events([line for line in path.read_text().splitlines() if line.strip()]))


def fleet() -> list[tuple[Told, str]]:
    """(run, its heartbeat) for each state; those that have not ended want a connection that stays."""
    work: Any = {"repo": "https://github.com/acme/shop", "ref": "main"}
    question = {
        "id": "q1", "tool": "Bash", "input": {"command": "npm publish --access public"},
        "message": "claude wants to run: npm publish --access public",
        "suggestions": [{"behavior": "allow_always", "label": "npm publish *"}],
    }  # fmt: skip
    asks = Told("01JZASKS00000000000000000A", ago=400).begin(
        title="Release 2.4.0 of the storefront", labels={"team": "web", "kind": "release"}, **work
    )
    asks.add(status("waiting", "claude wants to run: npm publish --access public", phase="RUNNING", question=question))
    busy = Told("01JZBUSY00000000000000000A", ago=754).begin(
        title="Replace moment.js by the platform's Intl in all packages", labels={"team": "web", "prio": "2"}, **work
    )
    busy.add(status("running", "to-do", progress={"stage": "todo", "done": 4, "total": 7}, keep=False))
    busy.add(log("info", "Edit packages/checkout/src/format-date.ts", source="claude", kind="tool_use"))
    idle = Told("01JZIDLE00000000000000000A", ago=2300).begin(
        title="Find the flaky test in CI", labels={"team": "infra"}, **work
    )
    idle.add(log("info", "Bash: make soak", source="claude", kind="tool_use"))
    clones = Told("01JZCLON00000000000000000A", ago=12)
    clones.add(
        status(
            "starting",
            "starts",
            phase="PENDING",
            repo="https://github.com/acme/monorepo.git",
            title="Upgrade to Node 24",
        )
    )
    progress = {"stage": "receiving", "percent": 43, "done": 51000, "total": 118000, "bytes": 212_000_000}
    clones.add(status("running", "cloning", phase="CLONING", progress=progress))
    retries = Told("01JZRETR00000000000000000A", ago=95).begin(title="Write the migration of orders", **work)
    retry = {"attempt": 3, "of": 10, "delay": 4000, "reason": "overloaded_error", "status": 529}
    retries.add(status("running", "API retry 3 of 10", retry=retry, keep=False))
    failed = Told("01JZFAIL00000000000000000A", ago=3000).begin(
        title="Port the importer to Rust", labels={"team": "data"}, **work
    )
    failed.complete(124, reason="timeout", message="claude did not finish within 1h (TIMEOUT)")
    lost = Told("01JZLOST00000000000000000A", ago=900).begin(title="Tidy the changelog", **work)
    done = Told("01JZDONE00000000000000000A", ago=5000).begin(
        title="Make the failing tests of slugify pass", labels={"team": "web"}, **work
    )
    done.complete(0, verify={"state": "passed", "attempts": 2, "exit": 0, "duration": 48_000, "output": "31 passed"})
    vitals = {"cpu": 0.8, "memory": 412 << 20, "memoryLimit": 2 << 30, "pids": 31, "disk": 9 << 30, "uptime": 754.0}
    return [
        (asks, asks.beat(**vitals, idle=3, turns=21, cost=0.84)),
        (busy, busy.beat(**{**vitals, "memory": 1930 << 20}, idle=2, turns=38, cost=1.27, queued=12)),
        (idle, idle.beat(**vitals, idle=1260, turns=9, cost=0.31, lastTool="Bash")),
        (clones, clones.beat(cpu=1.1, memory=88 << 20, memoryLimit=2 << 30)),
        (retries, retries.beat(**vitals, idle=41, turns=4, cost=0.09)),
        (failed, ""), (lost, ""), (done, ""),
    ]  # fmt: skip


PATCH = """diff --git a/src/slugify.py b/src/slugify.py
index 3b18e51..9f1c2aa 100644
--- a/src/slugify.py
+++ b/src/slugify.py
@@ -1,6 +1,9 @@
 import re
+import unicodedata
~
~
 def slugify(text):
-    return text.replace(" ", "-")
+    text = unicodedata.normalize("NFKD", text)
+    text = text.encode("ascii", "ignore").decode()
+    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
diff --git a/CHANGELOG.md b/CHANGELOG.md
new file mode 100644
--- /dev/null
+++ b/CHANGELOG.md
@@ -0,0 +1,2 @@
+# Changes
+- slugify drops punctuation
""".replace("\n~\n", "\n \n").replace("\n~\n", "\n \n")


_SEE = "https://docs.python.org/3/library/unicodedata.html."
_BEFORE = 'def slugify(text):\n    return text.replace(" ", "-")'
_AFTER = 'def slugify(text):\n    text = text.lower()\n    return re.sub(r"[^a-z0-9]+", "-", text)'


def _said(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"id": "m1", "model": "claude-opus-5-5", "role": "assistant", "content": list(blocks)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, **fields}


def _call(name: str, id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def _answer(id: str, content: Any, *, parent: str | None = None, **fields: Any) -> dict[str, Any]:
    blocks = [{"type": "tool_result", "tool_use_id": id, "content": content, **fields}]
    return {"type": "user", "message": {"role": "user", "content": blocks}, "parent_tool_use_id": parent}


def showcase(run_id: str = "01JZSHOW00000000000000000A") -> Told:
    """A whole run with everything that the page shows in a way of its own."""
    run = Told(run_id, ago=200).begin(
        title="Make the failing tests of slugify pass, and drop punctuation",
        repo="https://github.com/acme/slugify", ref="main", labels={"team": "web", "kind": "fix"},
    )  # fmt: skip
    todos = [
        {"content": "Run the tests", "status": "completed"},
        {"content": "Mend slugify", "status": "in_progress"},
        {"content": "Write the changelog", "status": "pending"},
    ]
    output = "\x1b[1mtests/test_slugify.py\x1b[0m \x1b[32m.\x1b[31mF\x1b[0m\n" + "\n".join(
        f"\x1b[3{number % 8}mline {number}\x1b[0m of the output" for number in range(40)
    )
    run.claude(
        {"type": "system", "subtype": "init", "cwd": "/workspace", "session_id": "s1", "model": "claude-opus-5-5",
         "claude_code_version": "2.1.330", "permissionMode": "dontAsk", "tools": ["Bash", "Edit"], "mcp_servers": []},
        _said({"type": "thinking", "thinking": "The tests name `slugify`. Look at punctuation first."}),
        _said({"type": "text", "text": "I'll run the tests, then mend **`slugify`**.\n\nSee " + _SEE}),
        _said(_call("TodoWrite", "t0", todos=todos)),
        {**_answer("t0", "Todos have been modified"), "tool_use_result": {"newTodos": todos}},
        _said(_call("Bash", "t1", command="python -m pytest -q", description="Run the tests")),
        _answer("t1", output, is_error=True),
        _said(_call("Edit", "t2", file_path="/workspace/src/slugify.py", old_string=_BEFORE, new_string=_AFTER)),
        _answer("t2", "The file has been updated."),
        _said(_call("Agent", "t3", description="Review the change", prompt="Look for edge cases.")),
        _said({"type": "text", "text": "I look at the edge cases."}, parent_tool_use_id="t3"),
        _said(_call("Bash", "t4", command="grep -n strip src/slugify.py"), parent_tool_use_id="t3"),
        _answer("t4", "9:    return text.strip()", parent="t3"),
        _answer("t3", "One case is missing: leading punctuation."),
        _said(_call("Write", "t5", file_path="/workspace/CHANGELOG.md",
                    content="# Changes\n- slugify drops punctuation\n")),
        _answer("t5", "File created"),
    )  # fmt: skip
    said = "Please keep the public name."
    command = {"id": "c1", "command": "message", "by": "nora"}
    for state, more in (("accepted", {"text": said}), ("delivered", {})):
        told = f"nora: message: {said} ({state})"
        run.add(log("info", told, source="operator", kind="command", command={**command, "state": state}, **more))
    run.claude(
        _said({"type": "text",
               "text": "All tests pass now. The name stays:\n\n```python\ndef slugify(text): ...\n```"}),
        {"type": "result", "subtype": "success", "is_error": False, "num_turns": 9, "duration_ms": 83000,
         "result": "done", "total_cost_usd": 0.4132, "session_id": "s1",
         "usage": {"input_tokens": 10, "output_tokens": 20}},
    )  # fmt: skip
    run.add(error("the server refused a message", code="undeliverable"))
    run.add(log("info", "2 files changed", kind="patch", text=PATCH))
    return run
