"""`python -m agent` and the console script `agent`.

Signals are recorded before anything heavy is imported: a SIGTERM in the first 100 ms must end in a COMPLETE, not in a
dead process. They are ignored once the run is over, since Python resets handlers while it shuts down.
"""

from __future__ import annotations

import os
import sys

from agent import signals

#: The exit status where the reader of the output went away (`| head`): that of a program that SIGPIPE kills.
_NO_READER = 141


def main() -> int:
    """The exit status of the command."""
    from agent.commands import dispatch

    signals.record()
    try:
        try:
            return dispatch.dispatch(sys.argv[1:])
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Python would write again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _NO_READER
    finally:
        signals.ignore()


if __name__ == "__main__":
    sys.exit(main())
