"""The environment of claude: the variables that are meant for it, and no other of the container's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.config import VARIABLES, Config

#: Set to anything that does not mean true, in the environment or in CLAUDE_ENV, it allows all background work again.
NO_BACKGROUND: Final = "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"

#: Variables of claude, unless the user sets them otherwise.
DEFAULTS: Final[Mapping[str, str]] = {
    # One run, one result: background work outlives it.
    NO_BACKGROUND: "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    # A task is text: `@path` in it does not attach files.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    # The to-do list that the transcript shows as progress.
    "CLAUDE_CODE_ENABLE_TODO_TOOLS": "1",
    "CLAUDE_CODE_ENABLE_TASKS": "0",
    # A container needs no updates and gives no feedback.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    # With it, some failures of the start give a result too.
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

_PASSED: Final = frozenset(
    """
    PATH HOME TMPDIR TERM TZ LANG LANGUAGE USER LOGNAME SHELL XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
    NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO
    CLAUDE_CONFIG_DIR CLOUD_ML_REGION GCLOUD_PROJECT API_TIMEOUT_MS
    BASH_DEFAULT_TIMEOUT_MS BASH_MAX_TIMEOUT_MS BASH_MAX_OUTPUT_LENGTH SLASH_COMMAND_TOOL_CHAR_BUDGET
    TASK_MAX_OUTPUT_LENGTH USE_BUILTIN_RIPGREP GCE_METADATA_HOST
    """.split()  # noqa: SIM905 - forty names in quotes would be harder to read
)
_PASSED_PREFIXES: Final = (
    "LC_", "ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_", "CLOUDSDK_", "VERTEX_REGION_", "OTEL_", "DISABLE_", "ENABLE_",
    "MAX_", "MCP_",
)  # fmt: skip
#: Variables of the shell, the image, and Kubernetes' list of services: nobody expects claude to need them.
_MACHINE: Final = frozenset(
    """
    HOSTNAME PWD OLDPWD SHLVL _ PYTHONPATH SSH_AUTH_SOCK container NO_COLOR DEBIAN_FRONTEND
    """.split()  # noqa: SIM905 - as above
)
#: Names in a sentence.
_NAMED: Final = 10
_SERVICE: Final = re.compile(r"^KUBERNETES_|_SERVICE_(HOST|PORT)(_|$)|_PORT(_\d+_(TCP|UDP).*)?$")
#: Variables of a claude that may have started this agent. With them the new one would take itself for a part of it.
_OTHERS: Final = frozenset(
    {"CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_SSE_PORT",
     "CLAUDE_JOB_DIR", "CLAUDE_SESSION_INGRESS_TOKEN_FILE", "CLAUDE_TRUSTED_DEVICE_TOKEN"}
)  # fmt: skip
_OTHERS_PREFIXES: Final = (
    "CLAUDE_AGENT_SDK_", "CLAUDE_BG_", "CLAUDE_BRIDGE_", "CLAUDE_INTERNAL_", "CLAUDE_PTY_", "CLAUDE_RUNNER_",
    "CLAUDE_SSH_",
)  # fmt: skip
#: The agent's own; some have the prefix of what is claude's.
_OWN: Final = frozenset(variable.name for variable in VARIABLES if variable.field is not None)
_FOUNDRY: Final = "CLAUDE_CODE_USE_FOUNDRY"


def of_claude(config: Config, private: Path, git: Mapping[str, str]) -> dict[str, str]:
    """Make claude's environment: the variables known to be meant for it, those of `git`, and CLAUDE_ENV above all.

    Nothing else of the container's environment reaches claude. The CLI's own files go to `private` if HOME cannot be
    written.
    """
    found = base(config, git)
    if not found.get("HOME"):
        # The CLI crashes without one.
        found["HOME"] = str(private)
    if "CLAUDE_CONFIG_DIR" not in found and not os.access(found["HOME"], os.W_OK | os.X_OK):
        found["CLAUDE_CONFIG_DIR"] = str(private / "claude")
    if os.geteuid() == 0 and config.permission_mode == "bypassPermissions":
        # As root the CLI refuses this mode outside a sandbox. It is set in a container, or by the user.
        found.setdefault("IS_SANDBOX", "1")
    return found


def base(config: Config, git: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Each source of claude's variables outranks the one before it: the defaults, the container, git's, CLAUDE_ENV."""
    return {**DEFAULTS, **_passed(config.environ), **_handed_on(config), **git, **config.claude_env}


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that is meant for claude. An empty value counts as none, as in the configuration."""
    return {
        name: value
        for name, value in environ.items()
        if value and not _is_others(name) and name not in _OWN
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }  # fmt: skip


def _handed_on(config: Config) -> dict[str, str]:
    """The variables of PASS_ENV, and those by which Microsoft's libraries log in to Foundry."""
    is_foundry = _FOUNDRY in config.claude_env or config.is_set(_FOUNDRY)
    patterns = (*config.pass_env, *(("AZURE_*",) if is_foundry else ()))
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return {
        name: value
        for name, value in config.environ.items()
        # A prefix takes none of the agent's own; a name that may be handed on was checked.
        if value and (name in patterns or (name.startswith(prefixes) and name not in _OWN))
    }


def _is_others(name: str) -> bool:
    return name in _OTHERS or name.startswith(_OTHERS_PREFIXES)


def kept(config: Config) -> list[str]:
    """List the variables of the container that claude does not get, but for the agent's own and the machine's."""
    own = {*(variable.name for variable in VARIABLES), *(f"{variable.name}_FILE" for variable in VARIABLES), *_MACHINE}
    return sorted(
        name for name, value in config.environ.items()
        if value and name not in own and name not in base(config) and not _SERVICE.search(name) and not _is_others(name)
    )  # fmt: skip


def describe_kept(config: Config) -> str:
    """Say in one sentence what `kept` lists, by names only and bounded; empty without any."""
    names = kept(config)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"kept from claude: {', '.join(names[:_NAMED])}{more}; CLAUDE_ENV or PASS_ENV hands over what it needs"
        if names
        else ""
    )


def unresolved(config: Config) -> list[str]:
    """List the names that MCP servers take from claude's environment, and that it does not have."""
    found = base(config)
    return [name for name in config.mcp_references if name not in found]


def describe_unresolved(config: Config) -> str:
    """Say in one sentence what `unresolved` lists; empty without any. The CLI hands on the `${NAME}` as it stands."""
    names = unresolved(config)
    if not names:
        return ""
    shown = ", ".join(f"${{{name}}}" for name in names[:_NAMED])
    return (
        f"MCP servers are given {shown}, which claude's environment does not have: set it in CLAUDE_ENV, or hand it on "
        "by PASS_ENV"
    )


def allows_background(config: Config) -> bool:
    """Whether claude may leave work behind that goes on after its result."""
    value = base(config)[NO_BACKGROUND]
    return value.strip().lower() not in ("1", "true", "yes", "on")
