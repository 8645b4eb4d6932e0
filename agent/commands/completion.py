"""`agent completion SHELL`: completion of this command line, made by shtab from the parsers of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import shtab

from agent.arguments import ArgumentParser
from agent.commands import dispatch
from agent.config import VARIABLES

_SHELLS = ("bash", "zsh", "fish")
_EPILOG = """\
bash:  agent completion bash > ~/.local/share/bash-completion/completions/agent
zsh:   agent completion zsh > "${fpath[1]}/_agent"
fish:  agent completion fish > ~/.config/fish/completions/agent.fish
"""


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    parser = ArgumentParser(
        prog="agent completion",
        description="Prints what a shell needs to complete commands, options and files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Print the completion. Returns the exit status."""
    shell = parser().parse_args(argv).shell
    print(shtab.complete(_all(), shell=shell))
    return 0


def _all() -> argparse.ArgumentParser:
    root = ArgumentParser(prog="agent")
    commands = root.add_subparsers()
    for command in dispatch.COMMANDS.values():
        own = command.load().parser()
        for action in own._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif (command.name, action.dest) == ("variables", "name"):
                action.choices = [variable.name for variable in VARIABLES]
        commands.add_parser(command.name, parents=[own], add_help=False, help=command.summary)
    return root
