"""CLAUDE_ARGS: quoting, and the options that are the agent's own."""

import pytest

from agent.config.claude_args import claude_args


def test_arguments_are_quoted_as_for_a_shell():
    text = "--name 'nightly run'\n--betas=a,b --add-dir /a /b --debug-file \"/tmp/my log\" --brief"
    assert claude_args(text) == (
        "--name", "nightly run", "--betas=a,b", "--add-dir", "/a", "/b", "--debug-file", "/tmp/my log", "--brief",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("--name 'x", "a quotation that is not closed"),
        ("--output-format json", "must not hold the option output-format: the agent reads and writes"),
        ("--output-format=json", "must not hold the option output-format"),
        ("--settings {}", "must not hold the option settings: set SETTINGS instead"),
        ("--model x --dangerously-skip-permissions", "dangerously-skip-permissions: set PERMISSION_MODE instead"),
        ("--resume x", "set RESUME_SESSION instead"),
        ("--worktree", "a run is one headless claude in its own clone"),
        ("-p", "long options and their values only, such as .*; argument 1 is none"),
        ("--remote session_1", "must not hold the option remote: a run is one headless claude in its own clone"),
        ("--brief -c", "argument 2 is none"),
        ("--brief -- x", "argument 2 is none"),
        ("hello", "belongs to no option: argument 1"),
        ("--betas=x hello", "belongs to no option: argument 2"),
        ("--name x hello", "belongs to no option: argument 3"),
    ],
)
def test_what_the_agent_decides_is_refused_by_name(value, problem):
    with pytest.raises(ValueError, match=problem):
        claude_args(value)
