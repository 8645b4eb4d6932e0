"""What a person and a machine are shown."""

from __future__ import annotations

import io
import json
from collections.abc import Hashable
from functools import partial

import pytest

from agent.limits import Limits
from agent.protocol.events import Event, claude_log, complete, encode_json, error, log, status
from agent.receiver.consumer import Consumer
from agent.receiver.phrases import bill
from agent.receiver.row import Row
from agent.receiver.run import Run
from agent.receiver.view import JsonView, TextView, View
from agent.terminal import Task
from agent.terminal.screen import PlainScreen
from tests.support.runs import Written, a_run, copy_of


def show(view: View, lines: list[str]) -> None:
    target = Consumer(partial(Run), 10)
    for line in lines:
        view.show(target.feed(line))
    view.close()


def as_text(lines: list[str], **options) -> list[str]:
    out = io.StringIO()
    show(TextView(PlainScreen(out, **options), Limits()), lines)
    return out.getvalue().splitlines()


def beat(**fields: object) -> str:
    return Written().envelope.heartbeat(fields, "2026-01-01T00:00:07.000Z").decode()


def clone(percent: int | None, stage: str = "Receiving objects") -> Event:
    progress = {"stage": stage, "percent": percent, "done": 5, "total": None, "bytes": 3 << 20}
    return status("running", "cloning", keep=False, progress=progress)


def test_one_turn_and_less_than_a_cent() -> None:
    fields = {"result": {"subtype": "success", "num_turns": 1, "cost": 0.0048}, "changes": {"files": 1}}
    assert bill(fields) == ["claude: success, 1 turn, $0.0048", "changes: 1 file, +0 -0"]
    fields["changes"]["others"] = [{"kind": "branch", "name": "fix", "files": 2}, "nonsense"]
    assert bill(fields)[2:] == ["changes: 2 files in branch fix"]


def test_a_run_as_a_person_follows_it():
    written = Written().add(
        status("starting", "", phase="PENDING", repo="https://h/r", ref=None, title="fix", labels={"team": "a"}),
        status("running", "cloning https://h/r", phase="CLONING"),
        clone(10), clone(60), clone(100), clone(None, "Enumerating objects"),
        log("info", "HEAD is 1234", source="git"),
        claude_log("info", "Edit src/login.js", "tool_use", b"{}"),
        log("warn", "odd", source="stderr"),
        error("no tokens left", code="budget"),
    )  # fmt: skip
    result = {"subtype": "error_budget", "num_turns": 12, "cost": 0.414, "permission_denials": [1, 2]}
    data = {
        "exitCode": 1, "message": "The budget is spent.", "duration": 92_000, "reason": "budget", "result": result,
        "changes": {"files": 2, "insertions": 20, "deletions": 3},
        "verify": {"state": "failed", "attempts": 2, "exit": 1, "duration": 61_000, "output": "1 failed"},
    }  # fmt: skip
    written.add(complete(data, "x", failed=True))
    assert as_text([*written.lines, beat(cpu=1)]) == [
        "── run 01JZ0000000000000000000000 of c1",
        "00:00:00 agent  ● PENDING",
        "00:00:00          repo: https://h/r",
        "00:00:00          title: fix",
        "00:00:00          labels: team=a",
        "00:00:00 agent  ● CLONING: cloning https://h/r",
        "00:00:00 git      [██░░░░░░░░░░░░░░░░░░░░░░] 10 % Receiving objects, 3.0 MiB",
        "00:00:00 git      [████████████████████████] 100 % Receiving objects, 3.0 MiB",
        "00:00:00 git      Enumerating objects: 5, 3.0 MiB",
        "00:00:00 git      HEAD is 1234",
        "00:00:00 claude → Edit src/login.js",
        "00:00:00 stderr ! odd",
        "00:00:00 agent  ✗ no tokens left [budget]",
        "00:00:00 agent  ■ exit 1, budget, 1 min 32 s",
        "00:00:00          The budget is spent.",
        "00:00:00          claude: error_budget, 12 turns, $0.41, 2 permissions denied",
        "00:00:00          verify: failed, 2 attempts, 1 min 1 s",
        "00:00:00          changes: 2 files, +20 -3",
        "00:00:00          complete: 11 events, 0 missing (COMPLETE has nothing to compare with)",
    ]


def test_gaps_and_copies():
    lines = a_run(4).lines
    shown = as_text([*lines[:2], copy_of(lines[1]), *lines[4:]])
    assert [line for line in shown if "line 0" in line] == ["00:00:00 git      line 0"]
    assert "00:00:00 agent  ✗ missing: 3 to 4" in shown
    assert "00:00:00          incomplete: 4 events, 2 missing" in shown
    assert "00:00:00          missing: 3-4" in shown


def test_two_runs_are_told_apart():
    shown = as_text([a_run(1, container_id="c1").lines[1], a_run(1, container_id="c2").lines[1]])
    assert shown[-1] == "00:00:00 [c2] git      line 0"


class Board(PlainScreen):
    """A screen whose board is a dictionary."""

    live = True

    def __init__(self, out: io.StringIO) -> None:
        super().__init__(out)
        self.tasks: dict[Hashable, Task | None] = {}

    def show(self, key: Hashable, task: Task | None) -> None:
        self.tasks[key] = task


def test_a_board_has_progress_in_place_of_lines():
    out = io.StringIO()
    screen = Board(out)
    written = Written().add(status("starting", "", title="fix it"), clone(10), clone(20))
    view, target = TextView(screen, Limits()), Consumer(partial(Run), 10)
    for line in [*written.lines, beat(cpu=0.5, cost=0.25)]:
        view.show(target.feed(line))
    (task,) = screen.tasks.values()
    assert task is not None
    assert (task.name, task.state, task.done, task.total, task.cost) == ("fix it", "running", 20, 100, 0.25)
    assert task.doing == "Receiving objects"
    assert out.getvalue().count("\n") == 3, "run, status, title: no line for what moves"


def test_a_question_comes_with_the_way_to_answer_it():
    asked = {"id": "Q1", "tool": "Bash", "input": {"command": "npm ci"}, "suggestions": []}
    lines = Written().add(status("waiting", "claude asks to use Bash: npm ci", phase="RUNNING", question=asked)).lines
    screen = Board(io.StringIO())
    show(TextView(screen, Limits()), lines)
    answer = "agent answer c1 Q1 allow   (or allow-always, deny)"
    assert [task.question for task in screen.tasks.values() if task] == [("Bash: npm ci", answer)]
    assert as_text(lines)[1:] == [
        "00:00:00 agent  ? claude asks to use Bash: npm ci",
        "00:00:00          Bash: npm ci",
        f"00:00:00          {answer}".replace("   (", " ("),
    ]


def test_what_a_person_shall_allow_is_shown_whole():
    command = "echo " + "harmless " * 100 + "&& rm -rf /"
    asked = {"id": "Q1", "tool": "Bash", "input": {"command": command}, "suggestions": []}
    lines = Written().add(status("waiting", "claude asks to use Bash: Say hello", question=asked)).lines
    assert any(line.endswith("&& rm -rf /") for line in as_text(lines))


def test_what_a_run_asked_before_the_view_began_is_shown():
    """As after a restart of the hub: the question was acknowledged, so it does not come again."""
    asked = {"id": "Q1", "tool": "Bash", "input": {"command": "npm ci"}, "suggestions": [], "message": "claude asks"}
    later = {**asked, "id": "Q2"}
    for ended in (False, True):
        out = io.StringIO()
        view = TextView(PlainScreen(out), Limits())
        known = Row(id="1", runID="R", containerID="c1", title="fix", questions=[asked, later], question=asked)
        if ended:
            known.exitCode = 0
            known.judge()
        view.known = lambda key, known=known: known  # type: ignore[misc]
        show(view, Written().add(status("waiting", "claude asks", question=later), log("info", "x")).lines)
        answers = [line.split()[4] for line in out.getvalue().splitlines() if "agent answer" in line]
        assert answers == (["Q2"] if ended else ["Q1", "Q2"])


def test_resources_are_sparse_without_a_terminal():
    clock = [0.0]
    out = io.StringIO()
    view = TextView(PlainScreen(out), Limits(), now=lambda: clock[0])
    target = Consumer(partial(Run), 10)
    for second in range(0, 180, 10):
        clock[0] = second
        view.show(target.feed(beat(cpu=0.25, memory=1 << 20, memoryLimit=4 << 20, pids=3, turns=2, lastTool="Bash")))
    lines = out.getvalue().splitlines()[1:]
    assert lines == ["00:00:07 agent    cpu 0.25, memory 1.0 MiB of 4.0 MiB, 3 processes, 2 turns, Bash"] * 3


def test_only_the_first_part_of_a_split_message_is_shown():
    parts = [
        log("info", f"Read big ({i} of 3)", part={"id": "1", "i": i, "n": 3, "text": "..."}) for i in (1, 2, 3)
    ]  # fmt: skip
    assert len(as_text(Written().add(*parts).lines)) == 2


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\n\x00"


def test_nothing_gets_through_to_the_terminal():
    envelope = Written(container_id=EVIL, run_id=EVIL).envelope
    datas = [
        ("LOG", {"level": EVIL, "message": EVIL, "metadata": {"source": EVIL, "kind": EVIL}}),
        ("STATUS", {"status": EVIL, "message": EVIL, "phase": EVIL, "repo": EVIL, "labels": {EVIL: EVIL}}),
        ("STATUS", {"progress": {"stage": EVIL, "percent": None, "done": EVIL}}),
        ("ERROR", {"error": EVIL, "code": EVIL}),
        ("COMPLETE", {"exitCode": EVIL, "reason": EVIL, "message": EVIL, "result": {"subtype": EVIL}, "stream": EVIL}),
    ]
    lines = [envelope.message(type, encode_json(data), seq, EVIL).decode().replace(EVIL, "?")
             for seq, (type, data) in enumerate(datas, 1)]  # fmt: skip
    lines.append(envelope.heartbeat({"lastTool": EVIL}, "x").decode())
    for line in as_text(lines):
        assert line.isprintable(), line


@pytest.mark.parametrize("value", [None, True, [], {}, "x", -1, 10**400, 1e308, [[]], {"a": 1}])
@pytest.mark.parametrize("type", ["LOG", "STATUS", "ERROR", "COMPLETE", "HEARTBEAT", "NEW"])
def test_no_shape_of_data_raises(type: str, value: object):
    names = ("level", "message", "metadata", "status", "phase", "progress", "labels", "error", "code", "exitCode",
             "duration", "result", "changes", "cpu", "memory", "lastTool", "repo", "stream", "reason")  # fmt: skip
    envelope = Written().envelope
    nested = {"stage": value, "percent": value, "bytes": value, "cost": value, "num_turns": value, "files": value,
              "source": value, "kind": value, "part": value, "permission_denials": value, "gap": value}  # fmt: skip
    datas = [json.dumps(data).encode() for data in (value, dict.fromkeys(names, value), dict.fromkeys(names, nested))]
    as_text([envelope.message(type, data, seq, "now").decode() for seq, data in enumerate(datas, 1)])


def test_machines_get_each_message_once_and_the_comparison():
    out, notes = io.StringIO(), io.StringIO()
    view = JsonView(out, notes, wall=lambda: 3661.0)
    written = a_run(2)
    view.note("listening")
    show(view, [*written.lines[:2], "junk", copy_of(written.lines[1]), written.heartbeat(), *written.lines[2:]])
    *lines, received = out.getvalue().splitlines()
    assert lines == [*written.lines[:2], written.heartbeat(), *written.lines[2:]]
    assert json.loads(received) == {
        "type": "RECEIVED", "containerID": "c1", "runID": "01JZ0000000000000000000000", "events": 4, "missing": 0,
        "dropped": 0, "whole": True, "problems": [],
    }  # fmt: skip
    assert notes.getvalue() == "01:01:01 agent serve: listening\n"


def test_a_sentence_of_the_server_has_its_time():
    out = io.StringIO()
    TextView(PlainScreen(out), Limits(), wall=lambda: 3661.0).note("a connection was lost")
    assert out.getvalue() == "01:01:01 a connection was lost\n"


def test_colors_only_where_asked():
    assert "\x1b[" not in "".join(as_text(a_run(2).lines))
    assert "\x1b[35mgit" in "".join(as_text(a_run(2).lines, color=True))
