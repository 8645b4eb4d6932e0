"""The live row of `agent run` on a terminal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.commands.live_row import LiveRow
from agent.config.load import load
from agent.protocol import events

MIB = 1 << 20


def a_row(tmp_path: Path, **options: Any) -> LiveRow:
    given = {"REPO_URL": "https://x.org/x.git", "TASK": "Fix s3cret-login\nand more", "WS_SERVER": "none"}
    config = load({**given, "TMPDIR": str(tmp_path)}, in_container=True)
    return LiveRow(
        config, lambda text: text.replace("s3cret", "[redacted]"), now=lambda: 1000.0,
        **{"color": False, "ascii_only": False, "is_foreground": lambda: True, **options},
    )  # fmt: skip


def test_a_run_in_one_row(tmp_path: Path) -> None:
    row = a_row(tmp_path)
    assert row.text(80).rstrip() == "⠙ Fix [redacted]-…    0:00"
    reporter: Any = SimpleNamespace(run=SimpleNamespace(summary=SimpleNamespace(usage=SimpleNamespace(cost=0.41))))
    row.follow(reporter, lambda: {"cpu": 0.5, "memory": 300 * MIB})
    row.take([
        events.status("running", "claude is at work", phase="RUNNING"),
        events.status("running", "to-do 3 of 7", progress={"stage": "todo", "done": 3, "total": 7}),
        events.claude_log("info", "Edit src/s3cret.js", "tool_use", b"{}"),
        events.claude_log("debug", "noise", "other", b"{}"),
        events.error("an error", code="api"),
    ])  # fmt: skip
    assert row.text(80).rstrip() == "⠹ Fix [redacted]-…    0:00 ━━━───── 3/7     $0.41  Edit src/[redacted].js"
    assert row.text(120).rstrip().endswith("$0.41    50%  300M  Edit src/[redacted].js")


def test_a_clone_counts_per_cent_and_a_question_waits(tmp_path: Path) -> None:
    row = a_row(tmp_path)
    row.take([events.status("running", "Receiving", keep=False, progress={"stage": "receiving", "percent": 50})])
    assert "━━━━──── 50 %" in row.text(80)
    row.take([events.status("waiting", "claude asks", question={"id": id}) for id in ("Q1", "Q2")])
    row.take([events.status("running", "Q1 was answered", question={"id": "Q1"})])
    assert row.text(80)[0] == "?"
    assert "waits for an answer" in row.text(80)
    assert "50 %" not in row.text(80)
    row.take([events.status("running", "Q2 was answered", question={"id": "Q2"})])
    assert "Q2 was answered" in row.text(80)


def test_colours_marks_and_room(tmp_path: Path) -> None:
    assert "\x1b[36m" in a_row(tmp_path, color=True).text(80)
    assert a_row(tmp_path, ascii_only=True).text(80).isascii()
    assert a_row(tmp_path).text(39) == ""
    assert len(a_row(tmp_path).text(41)) <= 40


def test_a_job_in_the_background_shows_none(tmp_path: Path) -> None:
    assert a_row(tmp_path, is_foreground=lambda: False).text(80) == ""
    assert a_row(tmp_path, is_foreground=None).text(80) == "", "a test's stderr is no terminal"
