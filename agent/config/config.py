"""Config: the checked configuration of a run, one field a variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agent.config import sources, urls
from agent.limits import Limits
from agent.protocol import Level


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The checked configuration of a run. Each field has its variable's name in lower case; seconds and bytes."""

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
    allow_steering: bool
    ask: bool
    ask_timeout: float
    partial: bool
    message_limit: int
    #: Seconds for delivery after an end by itself.
    delivery_wait: float
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
    #: A JSON Schema of an object.
    output_schema: dict[str, Any] | None
    effort: str | None
    #: The CLI's list; empty for no tool.
    tools: str | None
    #: Definitions of subagents by name.
    agents: dict[str, Any] | None
    agent: str | None
    plugin_dirs: tuple[Path, ...]
    add_dirs: tuple[Path, ...]
    #: As in a settings.json of the CLI, without what the agent adds.
    settings: dict[str, Any] | None
    #: JSON text, or the absolute path of a file that holds some.
    mcp_config: str | None
    claude_env: dict[str, str]
    claude_args: tuple[str, ...]
    #: Names and prefixes (`NAME_*`) of variables that claude gets beside its own.
    pass_env: tuple[str, ...]
    resume_session: str | None
    trust_repo: bool
    trust_home: bool
    claude_bin: str
    # --- repository and workspace
    #: From GITHUB_TOKEN, or from REPO_URL.
    github_token: str | None
    ssh_known_hosts: str | None
    clone_depth: int | None
    #: Must stay for as long as the workspace is used.
    repo_mirror: Path | None
    workspace_dir: Path
    replace_workspace: bool
    git_user_name: str
    git_user_email: str
    push_branch: str | None
    push_default_branch: bool
    # --- before and after claude
    #: For `sh -c` in the workspace, between the clone and claude.
    setup_command: str | None
    setup_timeout: float
    #: The same, for a good result of claude's.
    verify_command: str | None
    verify_timeout: float
    verify_retries: int
    # --- time
    timeout: float
    idle_timeout: float | None
    wait_for_limit: float | None
    timeout_counts_waiting: bool
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
    #: Secret values for the redactor, by the name of their place.
    secrets: dict[str, str]
    #: Files with secrets in them that nobody but the agent needs to read.
    secret_files: tuple[Path, ...] = ()
    #: Files of secrets that are read again while the run lasts, by their variable.
    renewable: dict[str, Path] = {}
    #: Names of variables that MCP servers take from claude's environment: `${NAME}` without a default.
    mcp_references: tuple[str, ...] = ()
    #: Sentences about settings that are allowed but probably not meant.
    warnings: tuple[str, ...] = ()
    limits: Limits = Limits()

    def __repr__(self) -> str:
        return f"<Config of {self.container_id}>"  # a traceback or a failed assertion must not show the secrets

    def is_set(self, name: str) -> bool:
        """Whether the variable was given, rather than left to its default."""
        return sources.is_set(self.environ.get(name))

    @property
    def steps(self) -> dict[str, str]:
        """The operator's own commands, by their variables."""
        commands = {"SETUP_COMMAND": self.setup_command, "VERIFY_COMMAND": self.verify_command}
        return {name: command for name, command in commands.items() if command}

    @property
    def server_hint(self) -> str:
        """A remedy to try when nothing listens at WS_SERVER; empty where nothing looks wrong."""
        if self.in_container and self.ws_server and urls.is_loopback(self.ws_server):
            return (
                "localhost is this container itself; a server on the host is host.docker.internal "
                "(docker run --add-host host.docker.internal:host-gateway)"
            )
        return ""

    @property
    def stop_budget(self) -> float:
        """Seconds that an orderly stop needs, from the first signal to the agent's end."""
        limits = self.limits
        return self.kill_grace + max(limits.drain, limits.harvest_after_signal) + limits.flush_after_signal

    @property
    def stop_time(self) -> float:
        """Seconds that a stop may take from its first signal on: all of the grace, where it is known."""
        grace = self.termination_grace_seconds
        # The last second is for the process to end in: the kernel frees claude's memory, and Python shuts down.
        return self.stop_budget if grace is None else max(self.stop_budget, grace - 1.0)
