"""The configuration of a run: everything is checked before anything starts, and every problem is told at once.

`variables.py` is the table; `sources.py` says where values come from and reads the files. No problem repeats a value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config import parsers as values
from agent.config import permission_rules as tools
from agent.config import secret_values as credentials
from agent.config import sources, urls
from agent.config.variables import BY_NAME, VARIABLES, Variable
from agent.errors import ConfigError
from agent.limits import Limits
from agent.protocol import Level

#: What claude can log in by; one of them is enough.
LOGINS = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY",
)  # fmt: skip
#: The shortest secret that is looked for in a problem; a shorter one is found in every other word.
_MASKED = 6


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration; one field a variable, in lower case. Times are seconds, sizes are bytes."""

    # --- the task
    #: Without credentials: safe in an argument list. A user name that is no token stays.
    repo_url: str
    task: str
    repo_ref: str | None
    labels: dict[str, str]
    container_id: str
    log_level: Level
    log_format: str
    # --- the server
    #: None for a run without a server.
    ws_server: str | None
    ws_token: str | None
    ws_ca_file: Path | None
    server_wait: float
    server_required: bool
    allow_remote_cancel: bool
    message_limit: int
    strict_delivery: bool
    # --- claude
    model: str | None
    fallback_model: str | None
    max_turns: int | None
    max_budget_usd: float | None
    allowed_tools: str | None
    disallowed_tools: str | None
    #: The mode in effect, chosen where the variable is not set.
    permission_mode: str
    system_prompt: str | None
    append_system_prompt: str | None
    #: JSON text, or the absolute path of a file that holds some.
    mcp_config: str | None
    claude_env: dict[str, str]
    resume_session: str | None
    trust_repo: bool
    claude_bin: str
    # --- repository and workspace
    #: From GITHUB_TOKEN, or from REPO_URL.
    github_token: str | None
    clone_depth: int | None
    workspace_dir: Path
    replace_workspace: bool
    git_user_name: str
    git_user_email: str
    push_branch: str | None
    push_default_branch: bool
    # --- time
    timeout: float
    idle_timeout: float | None
    kill_grace: float
    result_grace: float
    termination_grace_seconds: int | None
    # --- journal, records and results
    journal_dir: Path
    journal_limit: int
    output_dir: Path | None
    stream_patch: bool
    record_dir: Path | None
    health_file: Path
    termination_log: Path | None
    # --- beside the variables
    in_container: bool
    #: The merged environment: `.env`, TASKS_FILE and NAME_FILE resolved, nothing taken out.
    environ: dict[str, str]
    #: What the redactor must know, by the name of its place.
    secrets: dict[str, str]
    #: Files with secrets in them that nobody but the agent needs to read.
    secret_files: tuple[Path, ...] = ()
    #: What is allowed and probably not meant.
    warnings: tuple[str, ...] = ()
    limits: Limits = Limits()

    def __repr__(self) -> str:
        return f"<Config of {self.container_id}>"  # a traceback or a failed assertion must not show the secrets

    def is_set(self, name: str) -> bool:
        """Whether the variable was given, rather than left to its default."""
        return sources.is_set(self.environ.get(name))

    @property
    def server_hint(self) -> str:
        """What to try when nothing listens at WS_SERVER; empty where nothing looks wrong."""
        if self.in_container and self.ws_server and urls.is_loopback(self.ws_server):
            return (
                "localhost is this container itself; a server on the host is host.docker.internal "
                "(docker run --add-host host.docker.internal:host-gateway)"
            )
        return ""

    @property
    def stop_budget(self) -> float:
        """From a SIGTERM to the agent's end at the latest, seconds."""
        limits = self.limits
        return self.kill_grace + max(limits.drain, limits.harvest_after_signal) + limits.flush_after_signal

    @property
    def stop_time(self) -> float:
        """What a stop may take from its first signal on, seconds: all of the grace, if we were told of it."""
        grace = self.termination_grace_seconds
        # The last second is for the process to end in: the kernel frees claude's memory, and Python shuts down.
        return self.stop_budget if grace is None else max(self.stop_budget, grace - 1.0)


def load(environ: Mapping[str, str], *, dotenv: Path | None = None, in_container: bool) -> Config:
    """The configuration of a run.

    Raises:
        ConfigError: every problem at once.
    """
    config, problems = examine(environ, dotenv=dotenv, in_container=in_container)
    if problems:
        raise ConfigError(problems)
    return config


def examine(
    environ: Mapping[str, str], *, dotenv: Path | None = None, in_container: bool
) -> tuple[Config, tuple[str, ...]]:
    """The configuration and its problems, which leave their variables at the default (REPO_URL and TASK empty).

    This is how COMPLETE(78) goes out: whatever else is wrong, `ws_server` (None if it is wrong itself), `ws_token`,
    `ws_ca_file`, `container_id` and `secrets` are usable.
    """
    limits = Limits()
    gathered = sources.gather(environ, dotenv, limits)
    problems = gathered.problems
    fields: dict[str, Any] = {}
    for variable in VARIABLES:
        value = _value(variable, gathered, limits)
        if variable.field is not None:
            fields[variable.field] = value
    fields["claude_env"] = fields["claude_env"] or {}
    fields["labels"] = fields["labels"] or {}
    mcp = _read_mcp(fields, gathered, limits)
    _check_ca_file(fields, gathered, limits)
    secrets = credentials.collect(gathered.values, fields["claude_env"], mcp)
    repository: urls.Repository = fields["repo_url"] or urls.Repository("")
    fields["repo_url"] = repository.url
    fields["github_token"] = fields["github_token"] or repository.token
    _fill_in(fields, gathered.values, in_container)
    config = Config(
        **fields,
        in_container=in_container,
        environ=gathered.values,
        secrets=secrets,
        secret_files=tuple(dict.fromkeys(gathered.secret_files)),
        limits=limits,
    )
    problems += _conflicts(config)
    warnings = (_mask(text, secrets) for text in (*gathered.warnings, *repository.warnings, *_warnings(config)))
    config = msgspec.structs.replace(config, warnings=tuple(warnings))
    return config, tuple(_mask(problem, secrets) for problem in problems)


def _value(variable: Variable, gathered: sources.Sources, limits: Limits) -> Any:
    """One variable's value, or its default where it is not set or not right."""
    name = variable.name
    given = gathered.values.get(name)
    if given is not None and sources.is_set(given):
        try:
            if variable.text:
                given = values.text(given, limits.task_bytes if name == "TASK" else limits.text_bytes)
            else:
                given = values.line(given, limits.line_value_bytes)
            gathered.values[name] = given
            return variable.parse(given)
        except ValueError as error:
            _complain(variable, error, gathered)
    elif variable.required and name not in gathered.origins:
        _complain(variable, "is blank" if given else "is not set", gathered)
    if variable.default:
        return variable.parse(variable.default)
    return "" if name == "TASK" else None


def _complain(variable: Variable, error: ValueError | str, gathered: sources.Sources) -> None:
    origin = gathered.origins.get(variable.name)
    place = f"{variable.name} ({origin})" if origin else variable.name
    gathered.problems.append(f"{place}: {error}; for example {variable.shown}")


def _read_mcp(fields: dict[str, Any], gathered: sources.Sources, limits: Limits) -> dict[str, Any] | None:
    if fields["mcp_config"] is None:
        return None
    try:
        fields["mcp_config"], servers = sources.mcp_servers(fields["mcp_config"], limits)
    except ValueError as error:
        _complain(BY_NAME["MCP_CONFIG"], error, gathered)
        return None
    return servers


def _check_ca_file(fields: dict[str, Any], gathered: sources.Sources, limits: Limits) -> None:
    if fields["ws_ca_file"] is not None:
        import ssl  # 10 ms that hardly any start needs before it connects

        try:
            sources.read(fields["ws_ca_file"], limits.config_file_bytes)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(fields["ws_ca_file"])
        except ssl.SSLError:
            _complain(BY_NAME["WS_CA_FILE"], "the file holds no certificate that can be read (PEM)", gathered)
            fields["ws_ca_file"] = None
        except ValueError as error:
            _complain(BY_NAME["WS_CA_FILE"], f"the file {error}", gathered)
            fields["ws_ca_file"] = None


def _fill_in(fields: dict[str, Any], environment: Mapping[str, str], in_container: bool) -> None:
    """The defaults that depend on where the agent runs."""
    temporary = Path(environment.get("TMPDIR", ""))
    if not temporary.is_absolute():
        temporary = Path("/tmp")
    host = os.uname().nodename
    log = Path("/dev/termination-log")
    fields["container_id"] = fields["container_id"] or (host if len(host) > 8 else f"agent-{os.urandom(6).hex()}")
    fields["journal_dir"] = fields["journal_dir"] or temporary / "agent-journal"
    fields["health_file"] = fields["health_file"] or temporary / "agent-health"
    fields["termination_log"] = fields["termination_log"] or (log if log.exists() else None)
    if fields["permission_mode"] is None:
        unasked = "bypassPermissions" if in_container else "acceptEdits"
        fields["permission_mode"] = "dontAsk" if fields["allowed_tools"] else unasked


def _conflicts(config: Config) -> Iterator[str]:
    """Values that are right one by one and wrong together."""
    for name in ("JOURNAL_DIR", "OUTPUT_DIR", "RECORD_DIR", "HEALTH_FILE", "TERMINATION_LOG"):
        path: Path | None = getattr(config, name.lower())
        if config.is_set(name) and path is not None and path.is_relative_to(config.workspace_dir):
            yield f"{name}: must not be inside WORKSPACE_DIR, which is claude's; for example {BY_NAME[name].shown}"


def _warnings(config: Config) -> Iterator[str]:
    """What is allowed and probably not meant."""
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
        yield f"TIMEOUT: is {config.timeout * 1000:.0f} milliseconds; a plain number is no seconds: write 90s or 30m"
    grace = config.termination_grace_seconds
    if grace is not None and grace < config.stop_budget:
        yield (
            f"TERMINATION_GRACE_SECONDS: {grace} s is less than the {config.stop_budget:g} s that an orderly stop may "
            "take (KILL_GRACE, drain, changes, delivery): the end of the record may be lost"
        )
    for name, ours in sources.misspelt(config.environ):
        yield f"{name}: is no variable of the agent and is ignored; {ours} is one"


def _mask(text: str, secrets: Mapping[str, str]) -> str:
    """The names of tools and keys are quoted, and a secret may have slipped into one."""
    for secret in secrets.values():
        if len(secret) >= _MASKED:
            text = text.replace(secret, "***")
    return text
