"""Secret values of the configuration, which must never be shown, by the name of their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from agent.config import urls
from agent.config.variables import VARIABLES

_SECRET_NAME = re.compile(
    r"(ANTHROPIC|CLAUDE|AWS|GOOGLE|AZURE|CLOUDSDK|OTEL|MCP)_\w*(KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|HEADERS)"
)
#: Names of variables of other programs that hold a secret: MY_TOKEN, npm_config__auth.
_SECRET_END = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|(API|ACCESS|PRIVATE)_?KEY|(^|_)(KEY|AUTH|PAT|PASS|PWD|JWT|CREDENTIALS?))$",
    re.IGNORECASE,
)
_URL_NAMES = ("REPO_URL", "WS_SERVER", "ANTHROPIC_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token)\s+(.+)", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(r"^[\w-]+:[ \t]*(.+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{[^}]*\}")


def collect(
    environment: Mapping[str, str],
    claude_env: Mapping[str, str],
    objects: Mapping[str, dict[str, Any]],
    passed: Sequence[str] = (),
) -> dict[str, str]:
    """Collect every secret of the merged environment, of CLAUDE_ENV, and of decoded `objects` by variable.

    Of the variables that the patterns in `passed` hand on, those are whose names say so, and credentials in URLs.

    Those that are too short or too ordinary to be searched for are the redactor's business.
    """
    found: dict[str, str] = {}
    for place, value in (*_places(environment, claude_env, objects), *_passed(environment, passed)):
        for each in (value, value.strip()):
            if each.strip() and each not in found.values():
                found[place if place not in found else f"{place} #{len(found)}"] = each
    return found


def _places(
    environment: Mapping[str, str], claude_env: Mapping[str, str], objects: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    for variable in VARIABLES:
        if variable.secret:
            yield variable.name, environment.get(variable.name, "")
    for name, value in environment.items():
        if _SECRET_NAME.fullmatch(name):
            yield name, value
        if name.endswith("_HEADERS") and name.startswith("ANTHROPIC_"):
            for header in _HEADER.findall(value):
                yield from _header(name, header)
        if name.endswith("_HEADERS") and name.startswith("OTEL_"):  # key=value,... with the values URL-encoded
            for pair in value.split(","):
                yield from _header(name, unquote(pair.partition("=")[2].strip()))
        if name.upper() in _URL_NAMES:
            for secret in urls.credentials(value.strip()):
                yield f"a credential in {name}", secret
    for name, value in claude_env.items():
        yield f"CLAUDE_ENV {name}", value
    for name, server in objects.get("MCP_CONFIG", {}).get("mcpServers", {}).items():
        if isinstance(server, dict):
            yield from _of_mcp_server(f"MCP_CONFIG {name}", server)
    for agent, definition in objects.get("AGENTS", {}).items():
        for server in _dicts(definition.get("mcpServers")):
            for name, inner in ((agent, server), *server.items()):
                if isinstance(inner, dict):
                    yield from _of_mcp_server(f"AGENTS {name}", inner)
    settings = objects.get("SETTINGS", {}).get("env")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        # Most of them are switches and names of models, which must stay readable.
        if isinstance(value, str) and (_SECRET_NAME.fullmatch(name) or urls.is_telling(name)):
            yield from _header(f"SETTINGS env {name}", value)


def _passed(environment: Mapping[str, str], patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    for name, value in environment.items():
        if name in patterns or name.startswith(prefixes):
            if _SECRET_END.search(name):
                yield from _header(f"PASS_ENV {name}", value)
            for secret in urls.credentials(value.strip()) if "://" in value else ():
                yield f"PASS_ENV {name} URL", secret


def _dicts(found: Any) -> list[dict[str, Any]]:
    """The objects of a list, or of the values of an object."""
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [each for each in inner if isinstance(each, dict)]


def _of_mcp_server(place: str, server: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section in ("env", "headers"):
        entries = server.get(section)
        for name, value in entries.items() if isinstance(entries, dict) else ():
            # `${NAME}` is filled in by the CLI from its environment: a name, not a secret.
            if isinstance(value, str) and not _REFERENCE.fullmatch(value):
                yield from _header(f"{place} {section} {name}", value)
    arguments = server.get("args")
    option = ""
    for value in (server.get("url"), *(arguments if isinstance(arguments, list) else ())):
        if not isinstance(value, str):
            continue
        if "://" in value:
            for secret in urls.credentials(value):
                yield f"{place} URL", secret
        if urls.is_telling(option) and not _REFERENCE.fullmatch(value):  # --api-key VALUE
            yield f"{place} args {option}", value
        option, _, inline = value.partition("=") if value.startswith("-") else ("", "", "")
        if urls.is_telling(option) and inline:  # --api-key=VALUE
            yield f"{place} args {option}", inline
            option = ""


def _header(place: str, value: str) -> Iterator[tuple[str, str]]:
    """The value, and the token without the word before it: programs print either."""
    yield place, value
    if scheme := _SCHEME.fullmatch(value.strip()):
        yield place, scheme[1]
