"""The call of the claude CLI: its arguments, its environment, its files, and the check that the program is there.

The arguments have the order of the official action, and each value is one item, unchanged. An option that takes several
values cannot swallow the next argument: every value is followed by another option, and the prompt goes to stdin.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import trio

from agent.config import Config
from agent.errors import CliError
from agent.exits import Exit
from agent.files import PrivateDirectory
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.text import one_line

#: Tools that continue after the result and keep the process alive. No variable of the CLI turns them off.
BACKGROUND_TOOLS: Final = ("Monitor", "ScheduleWakeup", "Workflow")
#: Tools that ask a person for more than allow or deny. The CLI offers them only to a run that asks.
DIALOG_TOOLS: Final = ("AskUserQuestion", "EnterPlanMode", "ExitPlanMode")
#: Set to anything that does not mean true, in the environment or in CLAUDE_ENV, it allows all background work again.
NO_BACKGROUND: Final = "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"

#: The CLI answers `2.1.3 (Claude Code)`; other programs begin with their name.
_VERSION: Final = re.compile(r"^\d+\.\d[\w.+-]*", re.MULTILINE)
#: From this version on, a session keeps the system prompt that it began with, and a run that resumes it with another
#: one is told nothing. `--system-prompt-snapshot off` makes the new one count; older versions refuse the option.
_KEEPS_PROMPT: Final = (2, 1, 257)

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
    CLAUDE_CONFIG_DIR CLOUD_ML_REGION GCLOUD_PROJECT API_TIMEOUT_MS MAX_THINKING_TOKENS MAX_MCP_OUTPUT_TOKENS
    BASH_DEFAULT_TIMEOUT_MS BASH_MAX_TIMEOUT_MS BASH_MAX_OUTPUT_LENGTH MCP_TIMEOUT MCP_TOOL_TIMEOUT
    """.split()  # noqa: SIM905 - forty names in quotes would be harder to read
)
_PASSED_PREFIXES: Final = (
    "LC_", "ANTHROPIC_", "CLAUDE_CODE_", "AWS_", "GOOGLE_", "CLOUDSDK_", "VERTEX_REGION_", "OTEL_", "DISABLE_",
)  # fmt: skip
#: Variables of a claude that may have started this agent. With them the new one would take itself for a part of it.
_OTHERS: Final = frozenset(
    {"CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_SSE_PORT"}
)


class Files(msgspec.Struct, frozen=True):
    """Arguments of claude that are files in the private directory, since argument lists are public and bounded."""

    mcp_config: Path | None = None
    system_prompt: Path | None = None
    append_system_prompt: Path | None = None


def write_files(config: Config, private: PrivateDirectory, instructions: str = "") -> Files:
    """Write an inline MCP configuration, and the prompts that must not appear in an argument list.

    `instructions` are those of an untrusted repository; they come before APPEND_SYSTEM_PROMPT. Raises OSError.
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
    )


def arguments(config: Config, files: Files, session: str, version: str) -> list[str]:
    """Make claude's argument list, without the program.

    Args:
        session: The ID of a new session, unless one is resumed.
        version: The CLI's, as `check_cli` returns it.
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
        ("--resume", config.resume_session) if config.resume_session else ("--session-id", session),
    )
    given = [item for name, value in options if value for item in (name, str(value))]
    trust = [] if config.trust_repo else ["--setting-sources", "", "--strict-mcp-config"]
    # In the settings, since the value of --disallowedTools is the user's.
    deny = {"permissions": {"deny": BACKGROUND_TOOLS + (DIALOG_TOOLS if config.ask else ())}}
    settings = [] if _background(config) else ["--settings", json.dumps(deny, separators=(",", ":"))]
    is_kept = config.resume_session is not None and _numbers(version) >= _KEEPS_PROMPT
    prompts = ["--system-prompt-snapshot", "off"] if is_kept else []
    ask = ["--permission-prompt-tool", "stdio"] if config.ask else []
    streams = ["--output-format", "stream-json", "--input-format", "stream-json"]
    return ["-p", "--verbose", *streams, *ask, *given, *prompts, *trust, *settings]


def environment(config: Config, private: Path, git: Mapping[str, str]) -> dict[str, str]:
    """Make claude's environment: the variables known to be meant for it, those of `git`, and CLAUDE_ENV above all.

    Nothing else of the container's environment reaches claude. The CLI's own files go to `private` if HOME cannot be
    written.
    """
    found = _variables(config, git)
    if not found.get("HOME"):
        # The CLI crashes without one.
        found["HOME"] = str(private)
    if "CLAUDE_CONFIG_DIR" not in found and not os.access(found["HOME"], os.W_OK | os.X_OK):
        found["CLAUDE_CONFIG_DIR"] = str(private / "claude")
    if os.geteuid() == 0 and config.permission_mode == "bypassPermissions":
        # As root the CLI refuses this mode outside a sandbox. It is set in a container, or by the user.
        found.setdefault("IS_SANDBOX", "1")
    return found


#: claude has some 30 threads, and dies where the kernel gives it fewer.
_PROCESSES = "no more processes or threads are allowed here: give the container a higher --pids-limit (or ulimit -u)"
_NO_PROCESS = r"eagain|resource temporarily unavailable|pthread_create|can.t fork|uv_thread_create"


async def check_cli(config: Config) -> str:
    """Ask the claude program for its version.

    Raises CliError: it was not found (127), cannot be executed, or answers without a version number (126), or
    takes too long (75).

    Cancelling: safe.
    """
    program = find_cli(config)
    out, out_write = open_output_pipe(config.limits.pipe_bytes)
    err, err_write = open_output_pipe(config.limits.pipe_bytes)
    said = b""
    async with out, err:
        with trio.move_on_after(config.limits.cli_check) as scope:
            try:
                status = await run_process(
                    Command([program, "--version"], _variables(config), "/"),
                    Stdio(stdout=out_write, stderr=err_write),
                    stop=(),
                    patience=Patience(),
                    limits=config.limits,
                )
            except OSError as e:
                raise cannot_run(program, e) from e
            said = await (out if status.code == 0 else err).receive_some(config.limits.read_bytes)
    await trio.lowlevel.checkpoint_if_cancelled()
    if scope.cancel_called:
        seconds = config.limits.cli_check
        words = (
            f"{program} --version did not answer within {seconds:g} s: this machine is very slow, or the program hangs"
        )
        raise CliError(f"{words}; give the container more CPU, and try again", exit=Exit.RETRYABLE)
    text = said.decode(errors="replace").strip()
    if status.code != 0:
        hint = f"; {_PROCESSES}" if re.search(_NO_PROCESS, text.lower()) else ""
        raise CliError(f"{program} --version failed: {status}{hint}", details=text, exit=Exit.CLI_NOT_EXECUTABLE)
    if version := _VERSION.search(text):
        return version[0]
    words = f"says {one_line(text, 80)!r}, not its version" if text else "says nothing"
    raise CliError(f"{program} --version {words}; set CLAUDE_BIN to the claude program",
                   details=text, exit=Exit.CLI_NOT_EXECUTABLE)  # fmt: skip


def find_cli(config: Config) -> str:
    """Find the absolute path of the program. Raises CliError: it was not found (127), or cannot be executed (126)."""
    path = _variables(config)["PATH"]
    if found := shutil.which(config.claude_bin, path=path):
        return str(Path(found).absolute())
    name = config.claude_bin
    there = [Path(name)] if "/" in name else [Path(folder, name) for folder in path.split(os.pathsep)]
    for candidate in there:
        if candidate.is_dir():
            raise CliError(f"{candidate} is a directory; set CLAUDE_BIN to the claude program",
                           exit=Exit.CLI_NOT_EXECUTABLE)  # fmt: skip
        if candidate.exists():
            raise CliError(f"{candidate} may not be executed; check its permissions", exit=Exit.CLI_NOT_EXECUTABLE)
    where = "" if "/" in name else f" on PATH ({path})"
    raise CliError(f"the claude program {name} was not found{where}; install it or set CLAUDE_BIN")


def cannot_run(program: str, error: OSError) -> CliError:
    """The error of a program that was found and cannot be started."""
    if error.errno == errno.ENOENT:
        # The file itself was found, so something that it needs is missing.
        why = "its interpreter or the C library it was built for is missing"
    elif error.errno == errno.ENOEXEC:
        why = "it is not a program for this machine"
    elif error.errno == errno.EAGAIN:
        why = _PROCESSES
    else:
        why = os.strerror(error.errno or 0)
    return CliError(f"{program} cannot be executed: {why}", exit=Exit.CLI_NOT_EXECUTABLE)


def _variables(config: Config, git: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Each source of claude's variables outranks the one before it: the defaults, the container, git's, CLAUDE_ENV."""
    return {**DEFAULTS, **_passed(config.environ), **git, **config.claude_env}


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that is meant for claude. An empty value counts as none, as in the configuration."""
    return {
        name: value
        for name, value in environ.items()
        if value and name not in _OTHERS and (name in _PASSED or name.startswith(_PASSED_PREFIXES))
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _background(config: Config) -> bool:
    value = _variables(config)[NO_BACKGROUND]
    return value.strip().lower() not in ("1", "true", "yes", "on")


def _is_json(mcp_config: str | None) -> bool:
    return mcp_config is not None and mcp_config.lstrip().startswith("{")


def _is_argument(text: str | None, config: Config) -> bool:
    """Whether a text may appear in an argument list, which everybody on the machine can read."""
    if not text:
        return True
    short = len(text.encode(errors="surrogateescape")) <= config.limits.argument_bytes
    return short and not any(secret in text for secret in config.secrets.values() if secret)
