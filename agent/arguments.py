"""Command lines: a wrong one ends every command with a sentence on stderr and exit status 64 (EX_USAGE)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Final, NoReturn

#: How to get what the hub and a fleet need. No package index has the project, and its name there could be a stranger's.
HUB_EXTRA: Final = "in a clone of the project: pip install '.[hub]'"


class ArgumentParser(argparse.ArgumentParser):
    """A parser that exits with 64 where Python's own exits with 2, and says what a misspelt option may have meant."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and raise SystemExit(64)."""
        self.print_usage(sys.stderr)
        meant = ""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            if all(action.dest == "help" for action in self._actions):
                message = f"takes no arguments, not {unknown!r}"
            elif unknown.startswith("--"):
                meant = did_you_mean(unknown.split()[0].partition("=")[0], self._option_string_actions)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}{meant}; see {self.prog} --help\n")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean ...?` if a known word is close to this one, else an empty text."""
    import difflib  # only after a mistake

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {found[0]}?" if found else ""
