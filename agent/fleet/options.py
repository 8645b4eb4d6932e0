"""Options of `agent fleet`. Those that describe the fleet are kept with it, for `--resume`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from agent.arguments import ArgumentParser
from agent.errors import AgentError
from agent.exits import Exit

#: The file with the options of a fleet, in its directory.
FILE = "fleet.json"
_EPILOG = """Secrets come from the environment, .env or files (NAME_FILE), as for `agent run`. Every other variable that
`agent variables` lists goes from the environment to each task, too, and an entry overrides it. A first signal stops all
runs in order, a second one at once. exit status: 0 if every task succeeded, 1 if not, 128 and the number of the signal
that stopped the fleet, 64 if the command line is wrong, 69 if the engine does not answer, 78 if tasks or options cannot
be used; nothing was started then."""


class Options(Struct, frozen=True, kw_only=True):
    """A fleet's options."""

    parallel: int = 4
    retries: int = 2
    #: US dollars.
    budget: float | None = None
    budget_stop: bool = False
    #: `local`, or the program of an engine.
    engine: str = "docker"
    image: str = "claude-code-wrapper"
    memory: str = "2g"
    cpus: str | None = None
    run_options: tuple[str, ...] = ()
    #: Address of a hub; None starts one.
    hub: str | None = None
    #: `engine`, or `kubernetes`.
    on: str = "engine"
    namespace: str | None = None
    apply: bool = False


class Call(Struct, frozen=True, kw_only=True):
    """A command line of `agent fleet`."""

    #: A file or `-`; None for a fleet that goes on.
    tasks: str | None
    #: Where the fleet's files go; None makes a directory with the fleet's name.
    directory: Path | None
    resume: bool
    dry_run: bool
    options: Options


def parser() -> ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog="agent fleet",
        description="Runs many tasks side by side, each in a container of its own, shows them, and collects what they "
        "came to.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        "tasks", nargs="?", metavar="TASKS",
        help="a JSON array (as TASKS_FILE), JSON lines, or YAML: objects with REPO_URL, TASK and other variables; - is "
        "stdin",
    )  # fmt: skip
    add("--parallel", type=_positive, metavar="N", help="containers at the same time (4)")
    add(
        "--retries", type=_count, metavar="N", help="further attempts where the exit code says that one is worth it (2)"
    )
    add("--budget", type=_amount, metavar="USD", help="no task starts once so much is spent")
    add("--budget-stop", action="store_true", default=None, help="with --budget: stop what runs, too, in order")
    add("--dir", type=Path, metavar="DIR", help="keep results, patches, logs and runs here (./fleet-DATE-...)")
    add("--resume", type=Path, metavar="DIR", help="go on with the fleet in DIR; what has succeeded or failed stays")
    add("--dry-run", action="store_true", help="check everything, show what would run, and start nothing")
    add(
        "--hub", metavar="URL", help="report to this hub (WS_TOKEN, HUB_TOKEN) rather than to one that the fleet starts"
    )
    add("--on", choices=("engine", "kubernetes"), help="kubernetes: write the manifests of an Indexed Job into DIR")
    add("--apply", action="store_true", default=None, help="with --on kubernetes: apply them by kubectl, and follow")
    add("--namespace", metavar="NAME", help="with --on kubernetes: the namespace (kubectl's own)")
    add("--image", metavar="IMAGE", help="the image (claude-code-wrapper)")
    add("--memory", metavar="SIZE", help="memory of a container (2g)")
    add("--cpus", metavar="N", help="processors of a container")
    add(
        "--engine", metavar="PROGRAM",
        help="docker, podman or a path (DOCKER, or what is there); local: processes without containers, for a demo",
    )  # fmt: skip
    add(
        "--run-option", action="append", metavar="OPTION", dest="run_options",
        help="an option of `docker run`, as in --run-option=--network=lan; repeatable",
    )  # fmt: skip
    return parser


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Call:
    """Parse a command line.

    Raises:
        SystemExit: it makes no sense (64).
        AgentError: there is nothing to go on with (78).
    """
    made = parser()
    args = made.parse_args(argv)
    if (args.tasks is None) == (args.resume is None):
        made.error("give TASKS, or --resume DIR")
    if args.resume is not None and args.dir is not None:
        made.error("--dir is that of --resume")
    below = _kept(args.resume) if args.resume else {"engine": _engine(environ)}
    given = {name: value for name in Options.__struct_fields__ if (value := getattr(args, name)) is not None}
    options = msgspec.convert(below | given, Options)
    if options.on != "kubernetes" and (options.apply or options.namespace):
        made.error("--apply and --namespace need --on kubernetes")
    if options.on == "kubernetes" and options.budget is not None:
        made.error("--budget is for containers of this machine; in Kubernetes set MAX_BUDGET_USD")
    if options.budget_stop and options.budget is None:
        made.error("--budget-stop needs --budget")
    return Call(
        tasks=args.tasks, directory=args.resume or args.dir, resume=args.resume is not None, dry_run=args.dry_run,
        options=options,
    )  # fmt: skip


def _kept(directory: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = msgspec.json.decode((directory / FILE).read_bytes(), type=dict[str, Any])
        msgspec.convert(kept, Options)
    except OSError as error:
        raise AgentError(
            f"{directory} holds no fleet to go on with: {FILE}: {error.strerror}", exit=Exit.CONFIG
        ) from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise AgentError(f"{directory / FILE} cannot be read: {error}", exit=Exit.CONFIG) from error
    return kept


def _engine(environ: Mapping[str, str]) -> str:
    found = (name for name in ("docker", "podman") if shutil.which(name))
    return environ.get("DOCKER") or next(found, "docker")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 10000")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 100:
        raise argparse.ArgumentTypeError("must be a number from 0 to 100")
    return int(text)


def _amount(text: str) -> float:
    try:
        amount = float(text.removeprefix("$"))
    except ValueError:
        amount = -1.0
    if not 0 < amount < 1e9:
        raise argparse.ArgumentTypeError("must be an amount in US dollars above 0, such as 25 or 2.50")
    return amount
