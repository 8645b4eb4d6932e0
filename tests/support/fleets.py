"""Runs of all states and with all kinds of content, for the hub's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.limits import Limits
from agent.protocol import timestamp
from agent.protocol.events import Event, log, status
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
    failed.complete(1)
    lost = Told("01JZLOST00000000000000000A", ago=900).begin(title="Tidy the changelog", **work)
    done = Told("01JZDONE00000000000000000A", ago=5000).begin(
        title="Make the failing tests of slugify pass", labels={"team": "web"}, **work
    )
    done.complete(0)
    vitals = {"cpu": 0.8, "memory": 412 << 20, "memoryLimit": 2 << 30, "pids": 31, "disk": 9 << 30, "uptime": 754.0}
    return [
        (asks, asks.beat(**vitals, idle=3, turns=21, cost=0.84)),
        (busy, busy.beat(**{**vitals, "memory": 1930 << 20}, idle=2, turns=38, cost=1.27, queued=12)),
        (idle, idle.beat(**vitals, idle=1260, turns=9, cost=0.31, lastTool="Bash")),
        (clones, clones.beat(cpu=1.1, memory=88 << 20, memoryLimit=2 << 30)),
        (retries, retries.beat(**vitals, idle=41, turns=4, cost=0.09)),
        (failed, ""), (lost, ""), (done, ""),
    ]  # fmt: skip
