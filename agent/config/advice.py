"""Advice on a configuration: values that contradict each other, and settings that are probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.config import permission_rules as tools
from agent.config import sources, urls
from agent.config.config import Config
from agent.config.variables import BY_NAME

#: Variables by which claude can log in; one of them is enough.
LOGINS = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY",
)  # fmt: skip


def conflicts(config: Config) -> Iterator[str]:
    """Problems of values that are right by themselves and wrong together."""
    for name in ("JOURNAL_DIR", "OUTPUT_DIR", "RECORD_DIR", "HEALTH_FILE", "TERMINATION_LOG"):
        path: Path | None = getattr(config, name.lower())
        if config.is_set(name) and path is not None and path.is_relative_to(config.workspace_dir):
            yield f"{name}: must not be inside WORKSPACE_DIR, which is claude's; for example {BY_NAME[name].shown}"


def warnings(config: Config) -> Iterator[str]:
    """Sentences about settings that are allowed but probably not meant."""
    if config.github_token and urls.is_clear_text(config.repo_url):
        yield "REPO_URL: http:// sends the token unencrypted; use https://"
    for name, rules in (("ALLOWED_TOOLS", config.allowed_tools), ("DISALLOWED_TOOLS", config.disallowed_tools)):
        for tool, near in tools.unknown(rules or ""):
            meant = f"; {near} is the nearest that it has" if near else ""
            yield f"{name}: claude has no tool {tool[:80]} and ignores it silently{meant}"
    if not any(config.is_set(name) or name in config.claude_env for name in LOGINS):
        yield (
            "ANTHROPIC_API_KEY: neither this nor another credential of claude is set (ANTHROPIC_AUTH_TOKEN, "
            "CLAUDE_CODE_OAUTH_TOKEN, Bedrock, Vertex); without a login in its home claude refuses to work"
        )
    if config.timeout < 1:
        yield f"TIMEOUT: is {config.timeout * 1000:.0f} milliseconds; a plain number is milliseconds: write 90s or 30m"
    grace = config.termination_grace_seconds
    if grace is not None and grace < config.stop_budget:
        yield (
            f"TERMINATION_GRACE_SECONDS: {grace} s is less than the {config.stop_budget:g} s that an orderly stop may "
            "take (KILL_GRACE, drain, changes, delivery): the end of the record may be lost"
        )
    for name, ours in sources.misspelt(config.environ):
        yield f"{name}: is no variable of the agent and is ignored; {ours} is one"
