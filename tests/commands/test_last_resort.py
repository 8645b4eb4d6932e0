"""Answers where a run cannot end in the ordinary way. Whole runs of the kind: tests/system/test_endings.py."""

import json
from pathlib import Path

from agent.commands.last_resort import answer_alone
from agent.config.load import load
from agent.report.console import Console
from tests.support.journals import open_journal, read_all


def test_a_run_that_could_not_be_put_together_leaves_its_complete_in_the_journal(tmp_path: Path) -> None:
    given = {"REPO_URL": "https://example.com/x.git", "TASK": "t", "WS_SERVER": "ws://x"}
    config = load({**given, "TERMINATION_LOG": str(tmp_path / "log")}, in_container=True)
    said: list[bytes] = []
    console = Console(limits=config.limits, write=said.append, redact=lambda text: text.replace("secret", "[redacted]"))
    journal = open_journal(tmp_path)
    assert answer_alone(RuntimeError("secret"), config, console, journal) == 70
    error, complete = (json.loads(record.message) for record in read_all(journal))
    assert (error["type"], complete["type"]) == ("ERROR", "COMPLETE")
    assert complete["data"]["exitCode"] == 70
    assert json.loads((tmp_path / "log").read_text())["undelivered"] == 2
    assert b"secret" not in b"".join(said)
    journal.remove()
