"""JSON objects among the variables: MCP_CONFIG, OUTPUT_SCHEMA, AGENTS, SETTINGS, each inline or as a file's path.

Only what the agent itself relies on is checked here. The rest is claude's to know, and it is asked before anything is
spent (agent/claude/rehearsal.py).

Every function raises ValueError, which completes "NAME ..." and repeats none of the text: it may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config import sources
from agent.limits import Limits

#: Settings on which the safety of a run hangs; claude ignores a misspelt one without a word.
_SETTINGS = ("env", "permissions", "hooks", "disableAllHooks", "apiKeyHelper", "model", "sandbox", "enabledPlugins")
_PERMISSIONS = ("allow", "deny", "ask", "additionalDirectories", "defaultMode", "disableBypassPermissionsMode")
#: What says how claude gets to an MCP server.
_WAYS = frozenset({"command", "url", "type"})
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def is_inline(text: str) -> bool:
    return text.lstrip().startswith("{")


def mcp_servers(text: str, limits: Limits) -> tuple[str, dict[str, Any]]:
    """Read MCP_CONFIG: its text, and the servers in it. A path is made absolute, since claude runs elsewhere."""
    servers = _object(text, limits)
    if not isinstance(servers.get("mcpServers"), dict):
        raise ValueError('is JSON without an object "mcpServers"')
    for number, server in enumerate(servers["mcpServers"].values(), 1):
        if not isinstance(server, dict) or not server.keys() & _WAYS:
            raise ValueError(f'gives server {number} neither a "command" nor a "url", so claude would skip it')
    return text if is_inline(text) else str(Path(text.strip()).absolute()), servers


def output_schema(text: str, limits: Limits) -> dict[str, Any]:
    """Read OUTPUT_SCHEMA, a JSON Schema of an object, since claude gives its output as the input of a tool.

    A `$schema` at its top is dropped: claude knows one dialect only, and refuses every schema that names another.
    """
    schema = _object(text, limits)
    schema.pop("$schema", None)
    if schema.get("type") != "object":
        raise ValueError('is no JSON Schema of an object: it needs "type": "object" at its top')
    if len(msgspec.json.encode(schema)) > limits.line_value_bytes:
        raise ValueError(f"is longer than {limits.line_value_bytes:,} bytes")
    return schema


def agents(text: str, limits: Limits) -> dict[str, Any]:
    """Read AGENTS: definitions of subagents by name."""
    found = _object(text, limits)
    if not found or not all(isinstance(definition, dict) for definition in found.values()):
        raise ValueError('must be an object of agents by name, each an object with "description" and "prompt"')
    return found


def tools_of(found: Mapping[str, Any], is_rule: Callable[[str], bool]) -> Iterator[str]:
    """List the tools that subagents are given, or denied."""
    for definition in found.values():
        for key in ("tools", "disallowedTools"):
            given = definition.get(key)
            yield from (tool for tool in (given if isinstance(given, list) else ()) if isinstance(tool, str)
                        and is_rule(tool))  # fmt: skip


def settings(text: str, limits: Limits) -> dict[str, Any]:
    """Read SETTINGS, as a settings.json of claude's; the agent adds to `permissions.deny`."""
    found = _object(text, limits)
    permissions = found.get("permissions", {})
    deny = permissions.get("deny", []) if isinstance(permissions, dict) else None
    if not isinstance(deny, list) or not all(isinstance(rule, str) for rule in deny):
        raise ValueError('must have an object as "permissions", and a list of rules as its "deny"')
    return found


def misspelt_settings(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find keys of SETTINGS that were probably meant to be others, with these."""
    import difflib

    permissions = found.get("permissions", {})
    for prefix, given, known in (("", found, _SETTINGS), ("permissions.", permissions, _PERMISSIONS)):
        by_case = {name.lower(): name for name in known}
        for key in given.keys() - set(known):
            if near := difflib.get_close_matches(key.lower(), by_case, n=1, cutoff=0.8):
                yield f"{prefix}{key}", f"{prefix}{by_case[near[0]]}"


def references(objects: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Names of the variables that MCP servers are given as `${NAME}`; those with a default are left out."""
    servers = [objects.get("MCP_CONFIG", {}).get("mcpServers")]
    servers += [agent.get("mcpServers") for agent in objects.get("AGENTS", {}).values()]
    text = msgspec.json.encode(servers).decode()
    return tuple(dict.fromkeys(_REFERENCE.findall(text)))


def _object(text: str, limits: Limits) -> dict[str, Any]:
    content = text
    if text.lstrip().startswith("["):
        raise ValueError("is a list, and must be a JSON object")
    if not is_inline(text):
        try:
            content = sources.read(Path(text.strip()).absolute(), limits.config_file_bytes)
        except ValueError as error:
            raise ValueError(f"is not inline JSON, and as a file it {error}") from None
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("is not valid JSON") from None
    if not isinstance(found, dict):
        raise ValueError("is JSON, but not an object")
    return found
