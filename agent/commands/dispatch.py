"""The commands, each imported only when it is called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence

USAGE = """\
usage: agent [COMMAND] [ARGUMENTS]

  run            run one task, as the environment describes it (the default)
  check          test configuration, server, repository, claude and resources; --json
  serve          receive runs and show them; --help
  watch [RUN]    follow the runs of a hub (agent serve) from anywhere; --help
  replay PATH    play a recording, a journal or a transcript again; --help
  flush DIR      deliver what a dead run left in its journal
  demo           the whole job with a scripted claude, on a repository made on the spot
  version        print the version

The variables of `run` are listed in the README.
"""


def _run(arguments: Sequence[str]) -> int:
    # A hundred garbage collections would take a tenth of the start. A single one at the end finds a megabyte, and
    # freeze() excludes the rest from later ones.
    gc.disable()
    from agent.commands.run import main

    gc.collect()
    gc.freeze()
    gc.enable()
    return main()


def _check(arguments: Sequence[str]) -> int:
    from agent.commands.check import main

    return main(arguments)


def _serve(arguments: Sequence[str]) -> int:
    from agent.hub import main

    return main(arguments)


def _watch(arguments: Sequence[str]) -> int:
    from agent.hub import watch

    return watch(arguments)


def _replay(arguments: Sequence[str]) -> int:
    from agent.replay import main

    return main(arguments)


def _flush(arguments: Sequence[str]) -> int:
    from agent.commands.flush import main

    return main(arguments)


def _demo(arguments: Sequence[str]) -> int:
    from agent.commands.demo import main

    return main(arguments)


def _version(arguments: Sequence[str]) -> int:
    from agent import __version__

    print(__version__)
    return 0


def _help(arguments: Sequence[str]) -> int:
    print(USAGE, end="")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": _run,
    "check": _check,
    "serve": _serve,
    "watch": _watch,
    "replay": _replay,
    "flush": _flush,
    "demo": _demo,
    "version": _version,
    "--version": _version,
    "help": _help,
    "--help": _help,
    "-h": _help,
}


#: Commands without arguments: neither a question (`run --help`) nor an unread argument may start a run.
_BARE = ("run", "demo", "version", "--version")


def dispatch(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status. An unknown command or an unexpected argument is a usage error, 64."""
    name, *rest = arguments or ("run",)
    command = COMMANDS.get(name)
    if command is None:
        print(f"agent: unknown command {name!r}\n\n{USAGE}", file=sys.stderr, end="")
        return os.EX_USAGE
    if name in _BARE and rest:
        if rest[0] in ("-h", "--help"):
            return _help(())
        print(f"agent {name}: takes no arguments, not {rest[0]!r}\n\n{USAGE}", file=sys.stderr, end="")
        return os.EX_USAGE
    return command(rest)
