import json
import os
import subprocess
import sys
import threading

from agent.limits import Limits
from agent.protocol import events
from agent.report.console import Console


def shown(level="info", **options) -> tuple[Console, list[str]]:
    lines: list[str] = []
    console = Console(
        level, limits=Limits(), now=lambda: 0.0, write=lambda line: lines.append(line.decode()), **options
    )
    return console, lines


def test_text() -> None:
    console, lines = shown()
    console.show([events.log("info", "one\ntwo", source="git"), events.log("debug", "hidden")])
    assert lines == ["00:00:00.000 info  git    one\n" + " " * 25 + "two\n"]


def test_what_others_say_does_not_reach_the_terminal_as_commands() -> None:
    console, lines = shown()
    console.say("info", "a\x1b[2J\x9b1mb\rc\u202ed\ttab")
    assert lines[0].endswith("a\ufffd[2J\ufffd1mb\ufffdc\ufffdd\ttab\n")


def test_json() -> None:
    console, lines = shown(as_json=True)
    console.show([events.error("broken", code="api")])
    assert json.loads(lines[0]) == {
        "time": "1970-01-01T00:00:00.000Z", "level": "error", "source": "agent", "message": "broken",
    }  # fmt: skip


def test_a_terminal_gets_the_marks_of_agent_serve() -> None:
    console, lines = shown(terminal=True)
    console.show([
        events.status("running", "claude is at work", phase="RUNNING"),
        events.status("running", "Receiving objects: 43%", keep=False, source="git"),
        events.claude_log("info", "Bash: ls", "tool_use", b"{}"),
        events.error("broken\ntwice", code="api"),
    ])  # fmt: skip
    assert lines == [
        "00:00:00 agent  ● claude is at work\n",
        "00:00:00 git      Receiving objects: 43%\n",
        "00:00:00 claude → Bash: ls\n",
        "00:00:00 agent  ✗ broken\n" + " " * 18 + "twice\n",
    ]


def test_colours_wrap_the_words_and_no_colour_of_others_comes_through() -> None:
    console, lines = shown(terminal=True, color=True)
    console.show([events.log("warn", "red \x1b[31m", source="git")])
    assert lines == ["\x1b[2m00:00:00\x1b[0m \x1b[35mgit   \x1b[0m ! \x1b[33mred \ufffd[31m\x1b[0m\n"]


def test_a_long_line_goes_on_under_its_text() -> None:
    console, lines = shown(terminal=True, columns=lambda: 40)
    console.say("warn", "one two three four five\n\nsix seven eight nine")
    assert lines == [
        "00:00:00 agent  ! one two three four\n" + " " * 18 + "five\n" + " " * 18 + "\n"
        + " " * 18 + "six seven eight nine\n",
    ]  # fmt: skip


def test_a_narrow_or_unknown_terminal_wraps_by_itself() -> None:
    for columns in (0, 37):
        console, lines = shown(terminal=True, columns=lambda columns=columns: columns)
        console.say("info", "x" * 90)
        assert lines == ["00:00:00 agent    " + "x" * 90 + "\n"]


def test_a_terminal_of_the_locale_c_gets_ascii() -> None:
    console, lines = shown(terminal=True, ascii_only=True)
    console.show([events.status("running", "Grüße", phase="RUNNING")])
    assert lines == ["00:00:00 agent  * Gr??e\n"]


def test_json_has_no_marks_on_a_terminal() -> None:
    console, lines = shown(as_json=True, terminal=True, color=True)
    console.say("info", "one")
    assert json.loads(lines[0])["message"] == "one"


class Row:
    """A live row that turns."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.turns = 0
        self.turned = threading.Event()

    def take(self, events) -> None:
        self.taken += [event.message for event in events]

    def text(self, columns: int) -> str:
        self.turns += 1
        if self.turns > 3:
            self.turned.set()
        return f"<row {min(self.turns, 3)} of {columns}>"


def test_a_live_row_moves_below_the_lines_and_is_gone_at_the_end(capfd) -> None:
    console = Console("warn", limits=Limits(), now=lambda: 0.0, terminal=True, columns=lambda: 80)
    row = Row()
    console.show_below(row)
    console.show([events.log("info", "not shown")])
    assert row.turned.wait(10)
    console.say("error", "broken")
    console.close()
    written = capfd.readouterr().err
    assert written.startswith(
        "<row 1 of 80>\r\x1b[2K<row 2 of 80>\r\x1b[2K<row 3 of 80>\r\x1b[2K00:00:00 agent  ✗ broken\n"
    )
    assert written.endswith(("broken\n", "<row 3 of 80>\r\x1b[2K"))
    assert row.taken == ["not shown"]


def test_a_terminal_does_not_hear_twice_of_a_to_do_list() -> None:
    console, lines = shown(terminal=True)
    console.show([events.claude_log("info", words, "tool_use", b"{}") for words in ("TodoWrite", "Read x")])
    assert lines == ["00:00:00 claude → Read x\n"]


def test_level() -> None:
    console, lines = shown("warn")
    console.say("info", "no")
    console.say("error", "yes")
    assert len(lines) == 1


def test_redacts() -> None:
    console, lines = shown(redact=lambda text: text.replace("secret", "***"))
    console.show([events.log("info", "a secret")])
    console.say("info", "another secret")
    assert "secret" not in "".join(lines)


def test_without_a_thread_lines_wait_for_the_next_one_or_the_end(monkeypatch, capfd) -> None:
    def no_room(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", no_room)
    console = Console(limits=Limits(), now=lambda: 0.0)
    console.say("info", "one")
    monkeypatch.setattr(threading.Thread, "start", start)
    console.say("info", "two")
    console.close()
    monkeypatch.setattr(threading.Thread, "start", no_room)
    console = Console(limits=Limits(), now=lambda: 0.0)
    console.say("info", "three")
    console.close()
    assert [line.split()[-1] for line in capfd.readouterr().err.splitlines()] == ["one", "two", "three"]


CHILD = """
import sys, time
from agent.report.console import Console
from agent.limits import Limits
import msgspec
console = Console(limits=msgspec.structs.replace(Limits(), console_lines=50))
began = time.monotonic()
for i in range(20000):
    console.say("info", f"{i} " + "x" * 100)
took = time.monotonic() - began
console.close(within=0.5)
open(sys.argv[1], "w").write(str(took))
import os
os._exit(0)
"""


def test_a_reader_that_is_stuck_holds_nobody_up(tmp_path) -> None:
    read, write = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path / "took"], stderr=write)
    os.close(write)
    assert child.wait(30) == 0
    assert float((tmp_path / "took").read_text()) < 10
    os.close(read)


def test_close_writes_what_is_queued_and_says_what_was_not_shown(tmp_path) -> None:
    program = CHILD.replace("os._exit(0)", "")
    child = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "took"], stderr=subprocess.PIPE, check=True, timeout=30
    )
    lines = child.stderr.decode().splitlines()
    hidden = sum(int(line.split()[3]) for line in lines if "were not shown" in line)
    assert hidden + len([line for line in lines if "were not shown" not in line]) == 20000


def test_closed_stderr_is_no_error() -> None:
    program = (
        "import os; os.close(2)\nfrom agent.limits import Limits\nfrom agent.report.console import Console\n"
        "c = Console(limits=Limits()); c.say('info', 'x'); c.close()"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0
