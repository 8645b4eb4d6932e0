import json

import pytest

from agent.limits import Limits
from agent.replay.printing import JsonPrinter, PersonPrinter
from tests.support.runs import a_run


def test_a_program_gets_the_messages_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    lines = a_run(2).lines
    JsonPrinter().print([line.encode() for line in lines])
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == [json.loads(line) for line in lines]


def test_a_person_gets_lines(capfd: pytest.CaptureFixture[str]) -> None:
    printer = PersonPrinter(Limits())
    printer.print([line.encode() for line in a_run(2).lines])
    printer.close()
    shown = capfd.readouterr().out.splitlines()
    assert "00:00:00 git      line 0" in shown
    assert any("exit 0" in line for line in shown)
