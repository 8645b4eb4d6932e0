"""`python -m agent` and the console script `agent`.

Signals are recorded before anything heavy is imported: a SIGTERM in the first 100 ms must end in a COMPLETE, not in a
dead process. They are ignored once the run is over, since Python resets handlers while it shuts down.
"""

from __future__ import annotations

import sys

from agent import signals


def main() -> int:
    """The exit status of the command."""
    from agent.commands import dispatch

    signals.record()
    try:
        return dispatch.dispatch(sys.argv[1:])
    finally:
        signals.ignore()


if __name__ == "__main__":
    sys.exit(main())
