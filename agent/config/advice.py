"""Advice on a configuration: values that contradict each other, and settings that are probably not meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.config import json_objects, sources, urls
from agent.config import permission_rules as tools
from agent.config.config import Config
from agent.config.variables import BY_NAME

#: Variables by which claude can log in; one of them is enough.
LOGINS = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "CLAUDE_CODE_USE_MANTLE", "CLAUDE_CODE_USE_GATEWAY",
    # The identity of a workload: a token of the platform's, which the API takes by a rule.
    "ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_PROFILE",
)  # fmt: skip
#: Variables whose values stand in claude's argument list.
_ARGUMENTS = ("TOOLS", "AGENT", "PLUGIN_DIRS", "ADD_DIRS", "CLAUDE_ARGS")
#: Modes in which no call is left for a person to decide on.
_UNASKED = ("bypassPermissions", "dontAsk")
#: Characters of the shortest credential that is looked for in arguments; shorter ones are parts of words.
_CREDENTIAL_LENGTH = 8


def _credentials(config: Config) -> list[str]:
    """The credentials that have a variable of their own. Values of CLAUDE_ENV may be words such as "production"."""
    return [
        secret for place, secret in config.secrets.items() if " " not in place and len(secret) >= _CREDENTIAL_LENGTH
    ]


def _denies(tool: str, rules: str | None) -> bool:
    return tool in re.split(r"[\s,]+", rules or "")


def logins(config: Config) -> list[str]:
    """List what claude can log in by: variables, also in CLAUDE_ENV and in SETTINGS, and a helper of SETTINGS."""
    settings = config.settings or {}
    given = settings.get("env")
    inner = given if isinstance(given, dict) else {}
    found = [name for name in LOGINS if config.is_set(name) or name in config.claude_env or name in inner]
    return [*found, *(["apiKeyHelper of SETTINGS"] if settings.get("apiKeyHelper") else [])]


def conflicts(config: Config) -> Iterator[str]:
    """Problems of values that are right by themselves and wrong together."""
    for name in ("JOURNAL_DIR", "OUTPUT_DIR", "RECORD_DIR", "HEALTH_FILE", "TERMINATION_LOG"):
        path: Path | None = getattr(config, name.lower())
        if config.is_set(name) and path is not None and path.is_relative_to(config.workspace_dir):
            yield f"{name}: must not be inside WORKSPACE_DIR, which is claude's; for example {BY_NAME[name].shown}"
    for name, paths in (("PLUGIN_DIRS", config.plugin_dirs), ("ADD_DIRS", config.add_dirs)):
        for n, path in enumerate(paths, 1):
            # os.path answers for a name that is too long and for links in a circle; Path raises.
            real, workspace = (Path(os.path.realpath(each)) for each in (path, config.workspace_dir))
            if real.is_relative_to(workspace):
                yield f"{name}: path {n} is inside WORKSPACE_DIR, which is the repository's; claude works there anyway"
            elif not (
                os.path.isdir(path)  # noqa: PTH112
                or (name == "PLUGIN_DIRS" and path.suffix == ".zip" and os.path.isfile(path))  # noqa: PTH113
            ):
                wanted = "neither a directory nor a .zip file" if name == "PLUGIN_DIRS" else "no directory"
                yield f"{name}: path {n} is {wanted} here; for example {BY_NAME[name].shown}"
    if config.output_schema is not None and _denies("StructuredOutput", config.disallowed_tools):
        yield "OUTPUT_SCHEMA: DISALLOWED_TOOLS denies StructuredOutput, the tool by which claude gives its output"
    if config.verify_retries and config.verify_command is None:
        yield "VERIFY_RETRIES: nothing is verified without VERIFY_COMMAND"
    for name in config.pass_env:
        if name in BY_NAME and BY_NAME[name].field is not None and name != "GITHUB_TOKEN":
            yield f"PASS_ENV: {name} is the agent's own variable and not claude's"
    address = config.environ.get("ANTHROPIC_BASE_URL", "")
    if address and not re.match(r"https?://[^/\s]", address, re.IGNORECASE):
        example = BY_NAME["ANTHROPIC_BASE_URL"].shown
        yield f"ANTHROPIC_BASE_URL: must be an address, https://HOST or http://HOST; for example {example}"
    arguments = {name: config.environ.get(name, "") for name in _ARGUMENTS}
    arguments["OUTPUT_SCHEMA"] = msgspec.json.encode(config.output_schema).decode()
    arguments.update(config.steps)
    for name, text in arguments.items():
        if any(secret in text for secret in _credentials(config)):
            yield f"{name}: holds a credential, and every user of the machine can read the arguments of a program"


def warnings(config: Config) -> Iterator[str]:
    """Sentences about settings that are allowed but probably not meant."""
    if config.github_token and urls.is_clear_text(config.repo_url):
        yield "REPO_URL: http:// sends the token unencrypted; use https://"
    settings = config.settings or {}
    permissions = settings.get("permissions", {})
    # Of TOOLS claude itself is asked; names that only another version has are no error in the others.
    tool_lists = {
        "ALLOWED_TOOLS": config.allowed_tools,
        "DISALLOWED_TOOLS": config.disallowed_tools,
        "SETTINGS": ",".join(rule for rule in permissions.get("deny", ()) if tools.is_rule(rule)),
        "AGENTS": ",".join(json_objects.tools_of(config.agents or {}, tools.is_rule)),
    }
    for name, listed in tool_lists.items():
        for tool, near in tools.unknown(listed or ""):
            meant = f"; {near} is the nearest that it has" if near else ""
            yield f"{name}: claude has no tool {tool[:80]} and ignores it silently{meant}"
    for given in config.pass_env:
        prefix = given.removesuffix("*")
        if not any(name == given or (prefix != given and name.startswith(prefix)) for name in config.environ):
            yield f"PASS_ENV: there is no variable {given[:80]} here to hand on"
    certificates = config.environ.get("NODE_EXTRA_CA_CERTS")
    if certificates and not os.path.isfile(certificates):  # noqa: PTH113
        yield "NODE_EXTRA_CA_CERTS: there is no such file here, so claude trusts no CA beside its own"
    if not logins(config):
        yield (
            "ANTHROPIC_API_KEY: neither this nor another credential of claude is set (ANTHROPIC_AUTH_TOKEN, "
            "CLAUDE_CODE_OAUTH_TOKEN, Bedrock, Vertex); without a login in its home or in the machine's managed "
            "settings claude refuses to work"
        )
    for key, near in json_objects.misspelt_settings(settings):
        yield f"SETTINGS: claude knows no {key[:80]} and ignores it silently; {near} is the nearest that it has"
    if "defaultMode" in permissions and not config.is_set("PERMISSION_MODE"):
        yield (
            "SETTINGS: permissions.defaultMode does not count, since the agent chooses a mode "
            f"({config.permission_mode}): set PERMISSION_MODE"
        )
    for name, seconds in (("SETUP", config.setup_timeout), ("VERIFY", config.verify_timeout)):
        if config.is_set(f"{name}_TIMEOUT") and f"{name}_COMMAND" not in config.steps:
            yield f"{name}_TIMEOUT: does not count without {name}_COMMAND"
        elif config.is_set(f"{name}_TIMEOUT") and seconds >= config.timeout:
            yield f"{name}_TIMEOUT: is not less than TIMEOUT ({config.timeout:g} s), which ends the whole run"
    if config.partial and config.ws_server is None:
        yield "PARTIAL: nobody sees text grow without a server (WS_SERVER=none): stderr has whole lines only"
    if config.ask and config.ws_server is None:
        yield "ASK: without a server nobody can be asked, so every question is denied at once: set WS_SERVER"
    if config.ask and config.permission_mode in _UNASKED:
        yield f"ASK: with PERMISSION_MODE={config.permission_mode} claude asks nothing: leave PERMISSION_MODE out"
    if config.timeout < 1:
        yield f"TIMEOUT: is {config.timeout * 1000:.0f} milliseconds; a plain number is milliseconds: write 90s or 30m"
    if config.timeout_counts_waiting and (config.wait_for_limit or 0) >= config.timeout:
        yield "WAIT_FOR_LIMIT: is as long as TIMEOUT, which counts the waiting (TIMEOUT_COUNTS_WAITING=1) and ends it"
    grace = config.termination_grace_seconds
    if grace is not None and grace < config.stop_budget:
        yield (
            f"TERMINATION_GRACE_SECONDS: {grace} s is less than the {config.stop_budget:g} s that an orderly stop may "
            "take (KILL_GRACE, drain, changes, delivery): the end of the record may be lost"
        )
    for name, ours in sources.misspelt(config.environ):
        yield f"{name}: is no variable of the agent and is ignored; {ours} is one"
