"""The call of the claude CLI: its arguments, and the files that stand in them.

The arguments have the order of the official action, and each value is one item, unchanged. An option that takes several
values cannot swallow the next argument: every value is followed by another option, and the prompt goes to stdin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.claude.home import Home
from agent.claude.settings import merged
from agent.config import Config
from agent.files import PrivateDirectory

#: From this version on, a session keeps the system prompt that it began with, and a run that resumes it with another
#: one is told nothing. `--system-prompt-snapshot off` makes the new one count; older versions refuse the option.
_KEEPS_PROMPT: Final = (2, 1, 257)


class Files(msgspec.Struct, frozen=True):
    """Arguments of claude that are files in the private directory, since argument lists are public and bounded."""

    mcp_config: Path | None = None
    system_prompt: Path | None = None
    append_system_prompt: Path | None = None
    agents: Path | None = None
    settings: Path | None = None


def write_files(
    config: Config, private: PrivateDirectory, instructions: str = "", allowed: Sequence[str] = ()
) -> Files:
    """Write what must not appear in an argument list: JSON that may hold secrets, and long prompts.

    `instructions` are those of an untrusted repository; they come before APPEND_SYSTEM_PROMPT. `allowed` are permission
    rules of a trusted one. Raises OSError.
    """
    appended = "\n\n".join(filter(None, (instructions, config.append_system_prompt)))
    return Files(
        private.write("mcp.json", config.mcp_config or "") if _is_json(config.mcp_config) else None,
        None
        if _is_argument(config.system_prompt, config)
        else private.write("system-prompt", config.system_prompt or ""),
        None
        if not instructions and _is_argument(appended, config)
        else private.write("append-system-prompt", appended),
        private.write("agents.json", _compact(config.agents)) if config.agents else None,
        private.write("settings.json", _compact(merged(config, allowed)))
        if config.settings is not None or allowed
        else None,
    )


def arguments(config: Config, files: Files, session: str, version: str, home: Home | None = None) -> list[str]:
    """Make claude's argument list, without the program.

    Args:
        session: The ID of a new session, unless one is resumed.
        version: The CLI's, as `check_cli` returns it.
        home: The operator's own configuration of claude, if it counts.
    """
    mcp_config = files.mcp_config or config.mcp_config
    system = ("--system-prompt-file", files.system_prompt) if files.system_prompt else \
        ("--system-prompt", config.system_prompt)  # fmt: skip
    append = ("--append-system-prompt-file", files.append_system_prompt) if files.append_system_prompt else \
        ("--append-system-prompt", config.append_system_prompt)  # fmt: skip
    options = (
        ("--allowedTools", config.allowed_tools),
        ("--disallowedTools", config.disallowed_tools),
        ("--max-turns", config.max_turns),
        ("--mcp-config", mcp_config),
        system,
        append,
        ("--fallback-model", config.fallback_model),
        ("--model", config.model),
        ("--permission-mode", config.permission_mode),
        ("--max-budget-usd", config.max_budget_usd),
        ("--json-schema", _compact(config.output_schema) if config.output_schema is not None else None),
        ("--effort", config.effort),
        ("--agents", files.agents),
        ("--agent", config.agent),
        ("--resume", config.resume_session) if config.resume_session else ("--session-id", session),
    )
    given = [item for name, value in options if value for item in (name, str(value))]
    tools = [] if config.tools is None else ["--tools", config.tools]
    plugins = [item for path in config.plugin_dirs for item in ("--plugin-dir", str(path))]
    directories = ["--add-dir", *map(str, config.add_dirs)] if config.add_dirs else []
    # One --settings only: a second would replace the first.
    laid_down = merged(config)
    settings = ["--settings", str(files.settings or _compact(laid_down))] if laid_down else []
    is_kept = config.resume_session is not None and _numbers(version) >= _KEEPS_PROMPT
    prompts = ["--system-prompt-snapshot", "off"] if is_kept else []
    ask = ["--permission-prompt-tool", "stdio"] if config.ask else []
    streams = ["--output-format", "stream-json", "--input-format", "stream-json"]
    partial = ["--include-partial-messages"] if config.partial else []
    more = [*tools, *plugins, *directories, *config.claude_args]
    return ["-p", "--verbose", *streams, *partial, *ask, *given, *prompts, *_sources(config, home), *settings, *more]


def _sources(config: Config, home: Home | None) -> list[str]:
    """The arguments that say whose configuration claude obeys: the operator's, the repository's, both or neither."""
    if config.trust_repo:
        return [] if config.trust_home else ["--setting-sources", "project,local"]
    if home is None or not home.obeyed:
        return ["--setting-sources", "", "--strict-mcp-config"]
    # The operator's servers are none of --mcp-config. Without `project`, those of a .mcp.json stay out all the same.
    return ["--setting-sources", "user", *([] if home.has_servers else ["--strict-mcp-config"])]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _compact(found: dict[str, Any] | None) -> str:
    return msgspec.json.encode(found).decode()


def _is_json(mcp_config: str | None) -> bool:
    return mcp_config is not None and mcp_config.lstrip().startswith("{")


def _is_argument(text: str | None, config: Config) -> bool:
    """Whether a text may appear in an argument list, which everybody on the machine can read."""
    if not text:
        return True
    short = len(text.encode(errors="surrogateescape")) <= config.limits.argument_bytes
    return short and not any(secret in text for secret in config.secrets.values() if secret)
