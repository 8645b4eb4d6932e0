"""Runs as an agent would write them: numbered messages with a COMPLETE that describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from agent.protocol.events import Envelope, Event, complete, log, redelivered, status

TIME = "2026-01-01T00:00:00.123Z"


class Written:
    """A run under construction; `lines` are its messages as first written."""

    def __init__(self, container_id: str = "c1", run_id: str = "01JZ0000000000000000000000") -> None:
        self.envelope = Envelope(container_id, run_id)
        self.lines: list[str] = []
        self.seq = 0
        self._counts = {"LOG": 0, "STATUS": 0, "ERROR": 0}
        self._dropped = 0
        self._gaps = 0

    def add(self, *events: Event) -> Written:
        for event in events:
            self.seq += 1
            self.lines.append(self.envelope.message(event.type, event.data, self.seq, TIME).decode())
            if event.type != "COMPLETE":
                self._counts[event.type] += 1
        return self

    def drop(self, count: int) -> Written:
        """A gap marker in place of `count` messages."""
        first = self.seq + 1
        self.seq += count - 1
        self._dropped += count
        self._gaps += 1
        gap = {"fromSeq": first, "toSeq": first + count - 1, "count": count, "bytes": 100, "reason": "journal_limit"}
        return self.add(log("warn", f"{count} messages were dropped", kind="gap", gap=gap))

    def complete(
        self,
        exit_code: int = 0,
        *,
        reason: str = "succeeded",
        message: str = "done",
        verify: dict[str, Any] | None = None,
        **stream: Any,
    ) -> Written:
        """COMPLETE; `stream` replaces fields of its description, to make it wrong."""
        text = "".join(line + "\n" for line in self.lines).encode()
        described = {
            "lastSeq": self.seq + 1,
            "counts": dict(self._counts),
            "bytes": len(text),
            "sha256": None if self._dropped else hashlib.sha256(text).hexdigest(),
            "dropped": self._dropped,
            "gaps": self._gaps,
            "redelivered": 0,
            **stream,
        }
        data = {"exitCode": exit_code, "message": message, "duration": 1500, "reason": reason, "stream": described}
        if verify is not None:
            data["verify"] = verify
        return self.add(complete(data, "done", failed=exit_code != 0))

    def heartbeat(self) -> str:
        return self.envelope.heartbeat({"timestamp": TIME, "cpu": 0.5, "memory": 1 << 20}, TIME).decode()


def a_run(logs: int = 3, **names: str) -> Written:
    """STATUS, so many LOGs, COMPLETE."""
    run = Written(**names).add(status("starting", "hello", phase="PENDING"))
    return run.add(*(log("info", f"line {number}", source="git") for number in range(logs))).complete()


def copy_of(line: str) -> str:
    return redelivered(line.encode()).decode()


def with_seq(lines: Sequence[str]) -> list[int]:
    return [json.loads(line)["seq"] for line in lines]
