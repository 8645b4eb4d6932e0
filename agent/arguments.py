"""A wrong command line ends every command alike: what is wrong on stderr, and 64 (EX_USAGE)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """Python's own would exit with 2."""

    def error(self, message: str) -> NoReturn:
        """Raises SystemExit."""
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")
