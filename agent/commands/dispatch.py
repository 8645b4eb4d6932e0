"""The table of commands. Each is imported only when it is called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from agent.arguments import ArgumentParser


class Program(Protocol):
    """A command as its module offers it."""

    def parser(self) -> ArgumentParser:
        """Return the parser of its command line: `--help` and completion read it."""

    def main(self, argv: Sequence[str], /) -> int:
        """Run the command with the arguments after its name. Return the exit status."""


class Command(NamedTuple):
    """A row of the table: the command in the help, and how to get its module."""

    name: str
    summary: str
    load: Callable[[], Program]


COMMANDS: dict[str, Command] = {}


def _command(name: str, summary: str) -> Callable[[Callable[[], Program]], Callable[[], Program]]:
    def add(load: Callable[[], Program]) -> Callable[[], Program]:
        COMMANDS[name] = Command(name, summary, load)
        return load

    return add


@_command("run", "run one task, as the environment describes it (the default)")
def _run() -> Program:
    # A hundred garbage collections would take a tenth of the start. A single one at the end finds a megabyte, and
    # freeze() excludes the rest from later ones.
    gc.disable()
    from agent.commands import run

    gc.collect()
    gc.freeze()
    gc.enable()
    return run


@_command("check", "test configuration, server, repository, claude and resources")
def _check() -> Program:
    from agent.commands import check

    return check


@_command("serve", "receive runs and show them: in this terminal, in browsers, to programs")
def _serve() -> Program:
    from agent.hub import command

    return command


@_command("fleet", "run many tasks side by side, each in a container of its own")
def _fleet() -> Program:
    from agent.fleet import command

    return command


@_command("watch", "follow the runs of a hub (agent serve) from anywhere")
def _watch() -> Program:
    from agent.hub import watch

    return watch


@_command("tell", "tell the claude of a running agent something, through a hub")
def _tell() -> Program:
    from agent.hub import steer

    return steer.TELL


@_command("interrupt", "interrupt the claude of a running agent, and tell it what to do instead")
def _interrupt() -> Program:
    from agent.hub import steer

    return steer.INTERRUPT


@_command("answer", "answer a question of claude: allow a tool, or deny it")
def _answer() -> Program:
    from agent.hub import steer

    return steer.ANSWER


@_command("cancel", "end a running agent, through a hub")
def _cancel() -> Program:
    from agent.hub import steer

    return steer.CANCEL


@_command("replay", "play a recording, a journal or a transcript again")
def _replay() -> Program:
    from agent.replay import command

    return command


@_command("flush", "deliver what a dead run left in its journal")
def _flush() -> Program:
    from agent.commands import flush

    return flush


@_command("demo", "show three tasks side by side with a recorded claude, on repositories made on the spot")
def _demo() -> Program:
    from agent.commands import demo

    return demo


@_command("variables", "explain the variables of `agent run`, or one of them")
def _variables() -> Program:
    from agent.commands import variables

    return variables


@_command("completion", "print the completion of this command line for bash, zsh or fish")
def _completion() -> Program:
    from agent.commands import completion

    return completion


@_command("version", "print the version")
def _version() -> Program:
    from agent.commands import version

    return version


def usage() -> str:
    """Return the help of `agent` itself."""
    width = max(map(len, COMMANDS)) + 2
    rows = (f"  {command.name:{width}}{command.summary}\n" for command in COMMANDS.values())
    return f"usage: agent [COMMAND] [ARGUMENTS]\n\n{''.join(rows)}\nagent COMMAND --help describes a command.\n"


def dispatch(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status: 64 for a wrong command line, 78 if a package of an extra is missing.

    Raises SystemExit: the command has a question answered (0), or has refused its arguments (64).
    """
    name, *rest = arguments or ("run",)
    if name in ("help", "--help", "-h"):
        if not rest:
            print(usage(), end="")
            return 0
        name, rest = rest[0], ["--help"]
    elif name == "--version":
        name = "version"
    if name not in COMMANDS:
        from agent.arguments import did_you_mean

        print(f"agent: unknown command {name!r}{did_you_mean(name, COMMANDS)}\n\n{usage()}", file=sys.stderr, end="")
        return os.EX_USAGE
    try:
        program = COMMANDS[name].load()
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("agent"):
            raise
        from agent.arguments import HUB_EXTRA

        print(f"agent {name}: the package {missing} is missing; {HUB_EXTRA}", file=sys.stderr)
        return os.EX_CONFIG
    return program.main(rest)
