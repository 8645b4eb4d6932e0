"""What VERIFY_COMMAND is asked, and what its answer means."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.load import load
from agent.exits import ExitStatus
from agent.run.proving import Proving
from agent.steps.finished import Finished


@pytest.mark.parametrize(
    ("finished", "fields"),
    [
        (Finished(ExitStatus(signal=9), 1.0), {"exit": None, "signal": "SIGKILL"}),
        (Finished(ExitStatus(code=143), 9.0, overdue=8), {"exit": 143, "timedOut": True}),
        (Finished(None, 0.0, trouble="No such file or directory"), {"exit": None}),
        (Finished(ExitStatus(code=1), 1.0, "x" * 5000), {"exit": 1, "output": "x" * 4096}),
    ],
)
def test_the_field_of_complete(finished: Finished, fields: dict[str, Any]) -> None:
    given = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "none", "VERIFY_COMMAND": "make"}
    proving = Proving(load(given, in_container=False), lambda batch: None)
    assert (proving.fields, proving.verdict) == ({}, "did not run")
    proving.begin()
    assert proving.fields == {"verify": {"state": "unfinished", "attempts": 1}}
    assert proving.verdict == "was not finished"
    proving.end(finished)
    assert proving.verdict == f"failed ({finished.words})"
    expected = {"state": "failed", "attempts": 1, "duration": round(finished.duration * 1000), "output": ""}
    assert proving.fields["verify"] == expected | fields


def test_the_verdict_of_the_last_attempt_counts() -> None:
    given = {"REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "none"}
    assert Proving(load(given, in_container=False), lambda batch: None).verdict == "", "there is nothing to verify by"
    proving = Proving(load({**given, "VERIFY_COMMAND": "make"}, in_container=False), lambda batch: None)
    for code, verdict in ((0, "passed"), (1, "failed (exit status 1)")):
        proving.begin()
        proving.end(Finished(ExitStatus(code=code), 1.0))
        assert proving.verdict == verdict
