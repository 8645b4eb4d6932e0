"""The termination message: one bounded line, in a file that nobody can turn into a trap."""

import json
import os

from agent.outcome.verdict import Outcome
from agent.report.termination_log import TERMINATION_BYTES, termination_message, write_termination_message


def message(text: str, undelivered: int = 0, journal=None) -> bytes:
    return termination_message(Outcome(1, "api", "api", text), last_seq=9, confirmed_seq=7, undelivered=undelivered,
                               journal=journal)  # fmt: skip


def test_termination_message_is_one_bounded_line() -> None:
    for text in ("short", "ü" * 10_000, '"' * 5000):
        line = message(text)
        assert len(line) <= TERMINATION_BYTES
        assert line.count(b"\n") == 1
        assert json.loads(line)["exitCode"] == 1


def test_termination_message_tells_where_the_rest_is(tmp_path) -> None:
    parsed = json.loads(message("x", 2, tmp_path))
    assert (parsed["undelivered"], parsed["journal"]) == (2, str(tmp_path))


def test_write(tmp_path) -> None:
    assert write_termination_message(None, b"x") is None
    assert write_termination_message(tmp_path / "log", b"x\n") is None
    assert (tmp_path / "log").read_bytes() == b"x\n"
    assert "TERMINATION_LOG" in str(write_termination_message(tmp_path / "no" / "log", b"x"))


def test_a_planted_link_is_not_followed_and_a_planted_pipe_not_waited_for(tmp_path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        assert "TERMINATION_LOG" in str(write_termination_message(tmp_path / name, b"x"))
    assert target.read_text() == "mine"
