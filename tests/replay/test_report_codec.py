"""What a recorded report carries."""

from __future__ import annotations

from typing import Any

import pytest

from agent.claude.watchdog import Bark
from agent.errors import AgentError
from agent.exits import Exit, ExitStatus
from agent.replay import report_codec as recorded_reports
from agent.replay.format import Fault, Inbox
from agent.repository.cloned import Cloned
from agent.run.work import Swept
from agent.steps.finished import Finished


def inbox(task: str, value: Any = None, **more: Any) -> Inbox:
    return Inbox("Ended", "RUNNING", task, value, **more)


@pytest.mark.parametrize(
    ("task", "plain", "value"),
    [
        ("check", "2.1.330", "2.1.330"),
        ("clone", {"head": None}, Cloned(None)),
        ("setup", {"status": {"code": 1}, "duration": 2.5}, Finished(ExitStatus(code=1), 2.5)),
        ("verify", {"status": None, "duration": 0, "trouble": "x"}, Finished(None, 0, trouble="x")),
        ("claude", {"signal": 9}, ExitStatus(signal=9)),
        ("sweep", {}, Swept()),
        ("watchdog", "idle", Bark.IDLE),
        ("harvest", {"files": 1}, {"files": 1}),
    ],
)
def test_values(task: str, plain: Any, value: Any) -> None:
    assert recorded_reports.value(inbox(task, plain)) == value
    assert recorded_reports.value(inbox(task, None, cancelled=True)) is None


@pytest.mark.parametrize(("task", "plain"), [("check", 3), ("clone", "x"), ("claude", None), ("watchdog", "meow")])
def test_a_value_of_something_else(task: str, plain: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        recorded_reports.value(inbox(task, plain))


def test_errors() -> None:
    found = recorded_reports.error(inbox("clone", fault=Fault("CloneError", "no", 66, "clone", "tail")))
    assert isinstance(found, AgentError)
    assert (found.exit, found.code, found.details, str(found)) == (Exit.CLONE_FAILED, "clone", "tail", "no")
    bug = recorded_reports.error(inbox("stdout", fault=Fault("KeyError", "x")))
    assert isinstance(bug, RuntimeError)
    assert recorded_reports.error(inbox("stdout")) is None


@pytest.mark.parametrize("fault", [Fault("E", "m", 5, "clone"), Fault("E", "m", 66, "weather")])
def test_an_error_of_something_else(fault: Fault) -> None:
    with pytest.raises(ValueError, match=r"5|weather"):
        recorded_reports.error(inbox("clone", fault=fault))
