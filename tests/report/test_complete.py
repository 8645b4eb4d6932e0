import json
import os

from agent.outcome.verdict import Outcome
from agent.report.complete import TERMINATION_BYTES, complete_fields, termination_message, write_termination_message
from agent.transcript.summary import Denial, Result, Summary

OUTCOME = Outcome(1, "max_turns", "max_turns", "claude stopped")
RESULT = Result(
    "error_max_turns", True, 4, 0.41, 1000, "session", "max_turns", usage={"output_tokens": 5},
    permission_denials=(Denial("Bash", "toolu_1", "Bash: rm"),),
)  # fmt: skip


def fields(summary: Summary | None = None, **more):
    base = {"duration": 1.2345, "signal": None, "summary": summary, "changes": None, "survivors": ()}
    return complete_fields(OUTCOME, **{**base, **more})


def test_the_bill_is_in_it() -> None:
    made = fields(Summary(last_result=RESULT))
    assert made["exitCode"] == 1
    assert made["duration"] == 1234
    assert made["result"]["cost"] == 0.41
    assert made["result"]["usage"] == {"output_tokens": 5}
    assert made["result"]["session_id"] == "session"
    assert made["result"]["permission_denials"] == [{"tool_name": "Bash", "tool_use_id": "toolu_1", "call": "Bash: rm"}]


def test_what_is_not_known_is_not_there() -> None:
    assert set(fields()) == {"exitCode", "message", "duration", "reason"}


def test_the_rest() -> None:
    made = fields(signal="SIGTERM", changes={"files": 1}, survivors=[{"pid": 1, "name": "x"}])
    assert (made["signal"], made["changes"], made["survivors"]) == ("SIGTERM", {"files": 1}, [{"pid": 1, "name": "x"}])


def message(text: str, undelivered: int = 0, journal=None) -> bytes:
    return termination_message(1, "api", text, last_seq=9, confirmed_seq=7, undelivered=undelivered, journal=journal)


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
