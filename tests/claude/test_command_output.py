"""The output of a command while it runs: the last whole lines, without secrets, and nothing where it is not there."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from agent.claude.command_output import CommandOutput
from agent.limits import Limits
from agent.redaction.redactor import Redactor
from agent.transcript import OpenCalls
from tests.support.canaries import canary

SECRET = canary("output")
SESSION = "00000000-0000-4000-8000-000000000000"
LIMITS = Limits()


class Followed:
    """A session whose commands print into files, and what was shown of it."""

    def __init__(self, root: Path) -> None:
        self.running = OpenCalls()
        self.shown: list[dict[str, Any]] = []
        self.tasks = root / f"claude-{os.getuid()}" / "-workspace" / SESSION / "tasks"
        self.tasks.mkdir(parents=True)
        self.output = CommandOutput(
            {"TMPDIR": str(root)}, SESSION, lambda: self.running, Redactor({"T": SECRET}), LIMITS, self.shown.append
        )

    def prints(self, text: str | bytes, name: str = "b1", *, look: bool = True) -> str:
        """Print, and return what is shown now."""
        with (self.tasks / f"{name}.output").open("ab") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        if look:
            self.output.look()
        return self.shown[-1]["text"] if self.shown else ""

    def runs(self, *calls: str, others: tuple[str, ...] = (), background: tuple[str, ...] = (), **tasks: str) -> None:
        """Calls of one agent whose results are open, and those of another one; and what the CLI says of them."""
        self.running = OpenCalls(tuple(filter(None, (calls, others))), tasks, background)
        self.output.look()

    def ends(self, name: str) -> None:
        (self.tasks / f"{name}.output").unlink()


@pytest.fixture
def command(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_the_last_whole_lines_are_shown_when_they_change(command: Followed) -> None:
    command.runs("toolu_1")
    assert command.prints("one\ntw") == "one\n"
    command.output.look()
    assert command.prints("o\nthree") == "one\ntwo\n"
    assert command.shown == [
        {"kind": "output", "id": "toolu_1", "piece": 1, "tool": "Bash", "size": 6, "text": "one\n"},
        {"kind": "output", "id": "toolu_1", "piece": 2, "tool": "Bash", "size": 13, "text": "one\ntwo\n"},
    ]
    command.runs()
    command.prints("\nfour\n")
    assert len(command.shown) == 2, "the command has ended"


def test_each_command_has_its_own_file_and_numbers(command: Followed) -> None:
    command.runs("toolu_1")
    command.prints("one\n")
    command.runs("toolu_2")
    command.prints("late\n", "b1")
    assert len(command.shown) == 1
    assert command.prints("two\n", "b2") == "two\n"
    assert (command.shown[-1]["id"], command.shown[-1]["piece"]) == ("toolu_2", 1)


def test_commands_one_after_another_are_shown_each_in_its_turn(command: Followed) -> None:
    command.runs("toolu_1", "toolu_2")
    assert command.prints("one\n", "b1") == "one\n"
    command.ends("b1")
    command.prints("two\n", "b2")
    assert len(command.shown) == 1, "it is not the first one's, whose result is not there yet"
    command.runs("toolu_2")
    assert command.prints("three\n", "b2") == "two\nthree\n"
    assert [(data["id"], data["piece"]) for data in command.shown] == [("toolu_1", 1), ("toolu_2", 1), ("toolu_2", 2)]


def test_of_commands_at_the_same_time_none_is_shown_for_another(command: Followed) -> None:
    command.runs("toolu_1", "toolu_2")
    command.prints("one\n", "b1", look=False)
    command.prints("two\n", "b2")
    command.runs("toolu_2")
    command.prints("three\n", "b2")
    assert command.shown == []
    command.runs("toolu_3", "toolu_4")
    command.prints("four\n", "b3")
    command.prints("five\n", "b4")
    command.prints("six\n", "b3")
    assert [data["text"] for data in command.shown] == ["four\n"], "until there are two"


def test_of_the_commands_of_two_agents_none_is_shown(command: Followed) -> None:
    command.runs("toolu_1", others=("toolu_2",))
    command.prints("one\n", "b1")
    command.runs("toolu_1")
    command.prints("two\n", "b1")
    assert command.shown == []


def test_commands_at_the_same_time_are_told_apart_once_the_cli_names_them(command: Followed) -> None:
    command.runs("toolu_1", "toolu_2")
    command.prints("one\n", "b1", look=False)
    command.prints("two\n", "b2")
    assert command.shown == []
    command.runs("toolu_1", "toolu_2", toolu_2="b2")
    assert [(data["id"], data["text"]) for data in command.shown] == [("toolu_2", "two\n")]
    command.runs("toolu_1", "toolu_2", toolu_1="b1", toolu_2="b2")
    command.prints("three\n", "b2")
    command.ends("b1")
    command.runs("toolu_2", toolu_2="b2")
    command.prints("four\n", "b2")
    assert [(data["id"], data["piece"], data["text"]) for data in command.shown[1:]] == [
        ("toolu_1", 1, "one\n"), ("toolu_2", 2, "two\nthree\n"), ("toolu_2", 3, "two\nthree\nfour\n"),
    ]  # fmt: skip


def test_commands_of_two_agents_are_told_apart_once_the_cli_names_them(command: Followed) -> None:
    command.prints("one\n", "b1", look=False)
    command.prints("two\n", "b2", look=False)
    command.runs("toolu_1", others=("toolu_2",), toolu_1="b2", toolu_2="b1")
    assert {data["id"]: data["text"] for data in command.shown} == {"toolu_1": "two\n", "toolu_2": "one\n"}


def test_a_name_corrects_what_was_guessed(command: Followed) -> None:
    """A command in the background left its file, and the one behind it has printed nothing yet."""
    command.runs("toolu_2")
    assert command.prints("of the first\n", "b1") == "of the first\n"
    command.prints("of the second\n", "b2")
    command.runs("toolu_2", toolu_2="b2")
    assert command.shown[-1]["text"] == "of the second\n"
    assert [data["piece"] for data in command.shown] == [1, 2]


def test_what_runs_in_the_background_is_no_call_s(command: Followed) -> None:
    command.prints("of the first\n", "b1", look=False)
    command.runs("toolu_2", background=("b1",))
    assert command.prints("more\n", "b1") == ""
    assert command.prints("of the second\n", "b2") == "of the second\n"


def test_a_name_that_is_no_file_shows_nothing(command: Followed) -> None:
    command.prints("one\n", "b1", look=False)
    command.runs("toolu_1", "toolu_2", toolu_1="../b1", toolu_2="")
    assert command.shown == []


def test_progress_bars_colours_and_what_hides_are_plain_text(command: Followed) -> None:
    command.runs("toolu_1")
    assert (
        command.prints("10 %\r20 %\r\x1b[32mok\x1b[0m\tdone\x00\u202e\r\n\x9b1m\x07é\n") == "10 %\n20 %\nok\tdone\né\n"
    )
    assert command.prints(b"\xff\xfe\n").endswith("\n\ufffd\ufffd\n")


def test_as_much_as_fits_on_a_screen(command: Followed) -> None:
    command.runs("toolu_1")
    shown = command.prints("".join(f"line {number}\n" for number in range(5_000)))
    assert shown.splitlines() == [f"line {number}" for number in range(5_000 - LIMITS.printed_lines, 5_000)]
    assert command.prints("x" * 10_000 + "\n" + "y" * 100 + "\n") == "y" * 100 + "\n"
    assert command.prints("z" * 200_000) == "y" * 100 + "\n", "a line without an end"
    assert command.prints("\n" + "last\n") == "last\n"


@pytest.mark.parametrize("width", [20, 64, 76])
def test_a_secret_never_shows_however_it_is_written(command: Followed, width: int) -> None:
    command.runs("toolu_1")
    wrapped = [
        "\n".join(text[at : at + width] for at in range(0, len(text), width))
        for text in (SECRET, base64.b64encode(b"password is " + SECRET.encode()).decode(), SECRET.encode().hex())
    ]
    for text in (f"the token: {SECRET}\n", *(f"{line}\n" for line in wrapped), "\x1b[1m".join(SECRET) + "\n"):
        for at in range(0, len(text), 3):
            command.prints(text[at : at + 3])
    seen = "".join(shown["text"] for shown in command.shown)
    assert "[redacted]" in seen
    pieces = {
        text[at : at + 8] for text in (SECRET, *wrapped) for at in range(len(text) - 8) if "\n" not in text[at : at + 8]
    }
    head = base64.b64encode(b"password is ").decode()
    assert {piece for piece in pieces if piece in seen and piece[:4] not in head} == set()


@pytest.mark.parametrize("place", ["link", "pipe", "directory", "link to the session", "nothing"])
def test_what_is_no_file_of_the_session_is_not_read(tmp_path: Path, place: str) -> None:
    other = tmp_path / "other"
    other.write_text("not yours\n")
    command = Followed(tmp_path)
    path = command.tasks / "b1.output"
    command.runs("toolu_1")
    if place == "link":
        path.symlink_to(other)
    elif place == "pipe":
        os.mkfifo(path)
    elif place == "directory":
        path.mkdir()
    elif place == "link to the session":
        command.tasks.rename(tmp_path / "moved")
        command.tasks.symlink_to(tmp_path / "moved")
        (tmp_path / "moved" / "b1.output").write_text("not yours\n")
    else:
        command.tasks.rmdir()
    command.output.look()
    assert command.shown == []
