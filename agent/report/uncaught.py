"""Uncaught exceptions, printed without secrets: Python itself would print them past the redactor."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType


def redact_uncaught(redact: Callable[[str], str] | None) -> None:
    """Print uncaught exceptions redacted from now on, also those of threads and destructors.

    Without `redact`, before the secrets are known, only their types and their places in the code are printed.
    """

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        os.write(2, (described(kind, error, trace, redact) + "\n").encode(errors="replace"))

    sys.excepthook = show
    threading.excepthook = lambda lost: show(lost.exc_type, lost.exc_value, lost.exc_traceback)
    sys.unraisablehook = lambda lost: show(lost.exc_type, lost.exc_value, lost.exc_traceback)


def described(
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
    redact: Callable[[str], str] | None,
) -> str:
    """A traceback for a person. Never raises: if the redactor fails, the words of the exception are left out."""
    if redact is not None:
        try:
            return redact("".join(traceback.format_exception(kind, error, trace))).rstrip("\n")
        except Exception:
            pass
    return "".join(traceback.format_tb(trace)) + kind.__name__
