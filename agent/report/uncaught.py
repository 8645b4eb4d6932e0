"""What nobody caught, said without secrets: Python would print it as it is, past the redactor."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType


def redact_uncaught(redact: Callable[[str], str] | None) -> None:
    """From now on exceptions that end a thread, or are lost in a destructor, go to stderr redacted.

    Without `redact`, before the secrets are known, only their types and places in the code are told.
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
    """A traceback for a person. Never raises: a redactor that fails costs the words of the exception."""
    if redact is not None:
        try:
            return redact("".join(traceback.format_exception(kind, error, trace))).rstrip("\n")
        except Exception:
            pass
    return "".join(traceback.format_tb(trace)) + kind.__name__
