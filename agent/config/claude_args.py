"""CLAUDE_ARGS: more arguments for claude, quoted as for a shell, without those that the agent decides itself."""

from __future__ import annotations

import re
import shlex

_STREAM = "the agent reads and writes claude's streams itself"
_ALONE = "a run is one headless claude in its own clone"
#: Options that claude must not get from here: the variable that takes their place, or the reason.
_OWN = {
    "--agents": "AGENTS",
    "--allow-dangerously-skip-permissions": "PERMISSION_MODE",
    "--allowed-tools": "ALLOWED_TOOLS",
    "--allowedTools": "ALLOWED_TOOLS",
    "--append-system-prompt": "APPEND_SYSTEM_PROMPT",
    "--append-system-prompt-file": "APPEND_SYSTEM_PROMPT",
    "--continue": "RESUME_SESSION",
    "--dangerously-skip-permissions": "PERMISSION_MODE",
    "--disallowed-tools": "DISALLOWED_TOOLS",
    "--disallowedTools": "DISALLOWED_TOOLS",
    "--fork-session": "RESUME_SESSION",
    "--include-partial-messages": "PARTIAL",
    "--json-schema": "OUTPUT_SCHEMA",
    "--mcp-config": "MCP_CONFIG",
    "--permission-mode": "PERMISSION_MODE",
    "--permission-prompt-tool": "ASK",
    "--permission-prompts": "ASK",
    "--resume": "RESUME_SESSION",
    "--session-id": "RESUME_SESSION",
    "--setting-sources": "TRUST_REPO",
    "--settings": "SETTINGS",
    "--strict-mcp-config": "TRUST_REPO",
    "--system-prompt": "SYSTEM_PROMPT",
    "--system-prompt-file": "SYSTEM_PROMPT",
    "--system-prompt-snapshot": "RESUME_SESSION",
    **dict.fromkeys(
        ("--input-format", "--output-format", "--print", "--sdk-url", "--verbose"),
        _STREAM,
    ),
    **dict.fromkeys(
        ("--background", "--bg", "--chrome", "--cloud", "--desktop", "--environment", "--from-pr", "--help", "--ide",
         "--remote", "--remote-control", "--teleport", "--tmux", "--version", "--worktree"),
        _ALONE,
    ),
}  # fmt: skip
#: Options that take several values.
_SEVERAL = frozenset({"--add-dir", "--betas", "--file", "--tools"})
_SHORT = re.compile(r"-[A-Za-z]")


def claude_args(value: str) -> tuple[str, ...]:
    """Take arguments apart: `--betas name --name "nightly run"`.

    Raises:
        ValueError: a quotation is not closed, an argument belongs to no option, or an option is the agent's own.
    """
    try:
        found = tuple(shlex.split(value))
    except ValueError:
        raise ValueError("has a quotation that is not closed") from None
    values = 0
    for n, argument in enumerate(found, 1):
        name, equals, _ = argument.partition("=")
        if name in _OWN:
            instead = _OWN[name]
            why = f"set {instead} instead" if instead.isupper() else instead
            raise ValueError(f"must not hold the option {name.lstrip('-')}: {why}")
        if argument == "--" or _SHORT.match(argument):
            raise ValueError(f'must hold long options and their values only, such as "--name x"; argument {n} is none')
        if argument.startswith("--"):
            values = 0 if equals else len(found) if name in _SEVERAL else 1
        elif values == 0:
            # claude would drop it without a word.
            raise ValueError(f"has an argument that belongs to no option: argument {n}")
        else:
            values -= 1
    return found
