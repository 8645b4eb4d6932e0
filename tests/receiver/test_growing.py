"""The end of what claude is writing, in the line that a board has for it."""

from __future__ import annotations

import pytest

from agent.receiver.growing import Growing
from agent.receiver.messages import RunKey

RUN = RunKey("c", "r")


def text(words: str, id: str = "m/0", piece: int = 1) -> dict[str, object]:
    return {"kind": "text", "id": id, "piece": piece, "text": words}


def test_the_end_of_a_text_is_shown() -> None:
    growing = Growing(2)
    assert growing.take(RUN, text("One ")) == "One"
    assert growing.take(RUN, text("two\nthree")) == "One two three"
    long = growing.take(RUN, text(" word" * 1000))
    assert (len(long), long[0], long.endswith("word word")) == (48, "…", True)
    assert growing.take(RUN, text("Other", "m/1")) == "Other"


def test_calls_and_commands() -> None:
    growing = Growing(2)
    call = {"kind": "tool_use", "id": "m/1", "piece": 1, "tool": "Write", "size": 12345}
    assert growing.take(RUN, call) == "Write: 12,345 characters so far"
    thoughts = {"kind": "thinking", "id": "m/1", "piece": 1, "tokens": 1234}
    assert growing.take(RUN, thoughts) == "thinking, 1,234 tokens so far"
    printed = {"kind": "output", "id": "toolu_1", "piece": 1, "tool": "Bash", "text": "one\ntwo\n", "size": 8}
    assert growing.take(RUN, printed) == "Bash: two"


@pytest.mark.parametrize("value", [None, 5, [], {}, "\x1b[31m\x00"])
def test_nonsense_is_no_trouble(value: object) -> None:
    growing = Growing(2)
    for kind in ("text", "output", "tool_use", value):
        names = ("id", "piece", "text", "tool", "size")
        assert growing.take(RUN, {"kind": kind, **dict.fromkeys(names, value)}).isprintable()


def test_memory_is_bounded() -> None:
    growing = Growing(10)
    for number in range(100):
        growing.take(RunKey("c", str(number)), text("x" * 10_000))
    assert len(growing._ends) == 10
    assert all(len(end) <= 300 for _, end in growing._ends.values())
