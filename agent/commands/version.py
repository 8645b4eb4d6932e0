"""`agent version`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent import __version__

if TYPE_CHECKING:
    from agent.arguments import ArgumentParser


def parser() -> ArgumentParser:
    """Return the parser of its command line."""
    from agent.arguments import ArgumentParser  # 6 ms that the command itself does without

    return ArgumentParser(prog="agent version", description="Prints the version.")


def main(argv: Sequence[str]) -> int:
    """Print the version. Returns 0."""
    if argv:
        parser().parse_args(argv)
    print(__version__)
    return 0
