"""`agent check`: tries everything that a run needs, before a run costs anything.

Each check gives a Finding with a remedy: ok, warn (a run would go on) or fail (a run would end without work). A problem
of a variable says itself what would be right.
It spends nothing and leaves no file: the server gets a connection and a PING, the repository a question for its refs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import trio

from agent import signals
from agent.arguments import ArgumentParser
from agent.claude import home, rehearsal, variables
from agent.claude import program as cli
from agent.commands.check_local import LOCAL_CHECKS, NO_PLACE, TEMPORARY, Finding, State
from agent.commands.check_remote import api_proxy, repository, server
from agent.config import Config, examine, in_container, logins
from agent.errors import AgentError, ConfigError
from agent.exits import Exit
from agent.files import private_directory
from agent.marks import BOLD, GREEN, RED, YELLOW
from agent.process import hardening
from agent.redaction import Unprotected, verified_redactor
from agent.steps import trouble_with
from agent.terminal import Screen, Task, open_screen
from agent.text import count

_COLORS: dict[State, str] = {"ok": GREEN, "warn": YELLOW, "fail": RED}


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(
        prog="agent check",
        description="Tests configuration, server, repository, claude, credentials, disk, memory, processes and clock, "
        "as `agent run` would find them here, with its variables.",
        epilog="exit status: 0 when a run can begin, 78 when something fails, 64 when the command line is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command: print a line for each finding, or one JSON object. Returns the exit status."""
    as_json: bool = parser().parse_args(argv).json
    config, problems = examine(os.environ, dotenv=Path.cwd() / ".env", in_container=in_container(os.environ))
    unprotected: Unprotected | None = None
    try:
        redact = verified_redactor(config.secrets).text
    except Unprotected as error:
        unprotected, redact = error, error.substitute.text
    findings: list[Finding] = []
    screen = open_screen(sys.stdout)
    began = time.time()
    if not as_json:
        screen.show("check", Task(name="checking", began=began))

    def found(finding: Finding) -> None:
        clean = msgspec.structs.replace(finding, message=redact(finding.message), remedy=redact(finding.remedy))
        findings.append(clean)
        if not as_json:
            _show(screen, clean)
            screen.show("check", Task(name="checking", began=began, doing=f"{clean.check} is done"))

    if unprotected is not None:  # then nothing is asked of git or of a server, whose answers could hold secrets
        found(Finding("redaction", "fail", str(unprotected)))
    elif interrupted := trio.run(_run, config, problems, found):
        screen.close()
        return interrupted
    screen.close()
    failed = sum(finding.state == "fail" for finding in findings)
    if as_json:
        answer = msgspec.json.encode({"ok": not failed, "checks": findings})
        _write(lambda: print(msgspec.json.format(answer, indent=2).decode(), flush=True))
    elif failed:
        _say(screen, f"\nno run can begin: {count(failed, 'check')} failed", RED)
    else:
        _say(screen, "\na run can begin", GREEN)
    return int(Exit.CONFIG if failed else Exit.SUCCEEDED)


def _show(screen: Screen, finding: Finding) -> None:
    head = ((f"{finding.state:4}  ", _COLORS[finding.state]), (f"{finding.check:11} ", BOLD))
    _say(screen, finding.message, head=head)
    if finding.remedy:
        _say(screen, finding.remedy, _COLORS[finding.state], head=((f"{'':18}-> ", ""),))


def _say(screen: Screen, text: str, color: str = "", head: Sequence[tuple[str, str]] = ()) -> None:
    _write(lambda: screen.say(text, color, head=head))


def _write(write: Callable[[], None]) -> None:
    try:
        write()
    except BrokenPipeError:
        # The reader (`| head`) is gone. Python would write again at its end and complain, so its stdout is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _run(config: Config, problems: tuple[str, ...], found: Callable[[Finding], None]) -> int:
    """Run all checks. Returns 0, or 128 and the number of the signal that ended them.

    Cancelling: safe.
    """
    hardening.clear_inherited_signals()

    async def _check() -> int:
        async for finding in findings(config, problems):
            found(finding)
        return 0

    return await signals.run_until_stopped(_check)


async def findings(config: Config, problems: Sequence[str]) -> AsyncIterator[Finding]:
    """Do every check once, in the order in which a run needs its subject. Never raises.

    Cancelling: safe.
    """
    for finding in configuration(config, problems):
        yield finding
    if not any(problem.startswith("WS_SERVER") for problem in problems):
        yield await server(config)
    if config.repo_url:
        yield await repository(config)
    yield await program(config)
    for name, command in config.steps.items():
        yield await step(config, name, command)
    yield credentials(config)
    yield await api_proxy(config)
    for check in LOCAL_CHECKS:
        yield check(config)


def configuration(config: Config, problems: Sequence[str]) -> list[Finding]:
    found = [Finding("config", "fail", problem) for problem in problems]
    found += [Finding("config", "warn", warning) for warning in config.warnings if not _about_login(warning)]
    return found or [Finding("config", "ok", "every variable is right")]


def _about_login(warning: str) -> bool:
    return warning.startswith("ANTHROPIC_API_KEY: neither")


async def program(config: Config) -> Finding:
    """Look for claude, and ask it whether it takes its options. Cancelling: safe."""
    try:
        version = await cli.check_cli(config)
        # A private directory of claude's has nothing of the operator's.
        operators = home.find_home(config, variables.of_claude(config, Path("/nowhere"), {}))
        if rehearsal.is_due(config, operators):
            with private_directory() as private:
                environment = variables.of_claude(config, private.path, {})
                await rehearsal.rehearse(config, environment, version, operators)
        said = "; ".join(filter(None, (f"claude {version}", operators.words)))
        return Finding("claude", "warn" if operators.refused else "ok", said)
    except ConfigError as error:
        return Finding("claude", "fail", NO_PLACE if str(error).startswith(TEMPORARY) else str(error))
    except AgentError as error:
        return Finding(
            "claude",
            "fail",
            str(error),
            "npm install -g @anthropic-ai/claude-code (`make claude` in a clone of the repository), or name one that"
            " answers --version in CLAUDE_BIN",
        )


async def step(config: Config, name: str, command: str) -> Finding:
    """Let the shell read a command of the operator's, and run nothing. Cancelling: safe."""
    subject = name.removesuffix("_COMMAND").lower()
    if trouble := await trouble_with(command, config.limits):
        return Finding(subject, "fail", f"{name}: {trouble}", 'try it: sh -n -c "$' + name + '"')
    return Finding(subject, "ok", f"{name} can be read by the shell; it is not run")


def credentials(config: Config) -> Finding:
    """Look whether credentials of claude are there; only the API can tell whether they are right."""
    names = logins(config)
    if names:
        return Finding("credentials", "ok", f"claude logs in by {', '.join(names)}")
    home = Path(config.environ.get("CLAUDE_CONFIG_DIR") or Path(config.environ.get("HOME") or "/", ".claude"))
    for place in (home / ".credentials.json", Path("/etc/claude-code/managed-settings.json")):
        if place.is_file():
            return Finding("credentials", "ok", f"claude may log in by {place}")
    return Finding(
        "credentials", "fail", "claude has nothing to log in by",
        "set ANTHROPIC_API_KEY (or _FILE), CLAUDE_CODE_OAUTH_TOKEN, or Bedrock's or Vertex' variables",
    )  # fmt: skip
