"""Pull requests and pushes: told as what they are, and remembered for the end of the run."""

from __future__ import annotations

from agent.limits import Limits
from tests.support.claude_lines import feed, system


def test_what_claude_published_is_remembered_once_and_bounded() -> None:
    def opened(number: int, action: str = "created") -> bytes:
        return system("code_change_published", provider="github", url=f"u/{number}", action=action, branch="fix")

    pushed = system("vcs_state_changed", kind="push", cwd="/workspace")
    commit = system("vcs_state_changed", kind="commit", branch="fix")
    _, summary = feed(commit, pushed, opened(1), opened(1), opened(1, "merged"), pushed)
    assert [(done.kind, done.action, done.url) for done in summary.published] == [
        ("push", None, None), ("pull_request", "created", "u/1"), ("pull_request", "merged", "u/1"),
    ]  # fmt: skip
    _, summary = feed(*map(opened, range(2000)))
    assert len(summary.published) == Limits().remembered
