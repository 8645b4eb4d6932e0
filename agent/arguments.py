"""Command lines: a wrong one ends every command with a sentence on stderr and exit status 64 (EX_USAGE)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """A parser that exits with 64 where Python's own exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and raise SystemExit(64)."""
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")
