"""`agent run` on a terminal: a person sees lines, and a row below them that moves and is gone at the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.run_agent import run_agent

pytestmark = pytest.mark.system

#: Runs the agent on a terminal of 80 columns, and copies what it writes there to stderr.
ON_A_TERMINAL = """
import fcntl, os, pty, struct, termios
pid, terminal = pty.fork()
if pid:
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        os.write(2, chunk)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
"""
SCRIPT = [["read"], ["init"], ["text", "I look. " * 20], ["sleep", 0.5], ["result"]]


async def seen(directory: Path, **environ: str) -> str:
    ran = await run_agent(directory, "none", SCRIPT, inject=ON_A_TERMINAL, **{"TERM": "xterm", **environ})
    assert ran.code == 0
    return (ran.directory / "stderr").read_bytes().decode().replace("\r\n", "\n")


async def test_a_row_moves_below_the_lines(tmp_path: Path) -> None:
    text = await seen(tmp_path)
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", part.rpartition("\n")[2]) for part in text.split("\r\x1b[2K")]
    assert len(rows) > 4
    assert {row[0] for row in rows if row} > {"⠙"}, "a spinner turns"
    assert any(re.match(r". Fix the bug +0:0\d +I look\. I look\.", row) for row in rows)
    assert max(map(len, rows)) <= 79
    left = re.sub(r"[^\n]*\r\x1b\[2K", "", text)
    assert left.endswith("exit 0 (success): claude finished the task\n")


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"LOG_FORMAT": "json"}])
async def test_a_terminal_that_cannot_move_and_json_have_none(tmp_path: Path, environ: dict[str, str]) -> None:
    assert "\x1b" not in await seen(tmp_path, **environ)


async def test_no_color_and_ascii(tmp_path: Path) -> None:
    text = await seen(tmp_path, NO_COLOR="1", LC_ALL="C")
    assert text.isascii()
    assert {*re.findall(r"\x1b\[[0-9;]*.", text)} == {"\x1b[2K"}
