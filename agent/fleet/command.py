"""`agent fleet TASKS`: the program."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from agent import signals
from agent.arguments import HUB_EXTRA
from agent.errors import AgentError, ConfigError, first_leaf
from agent.exits import Exit
from agent.fleet import attempts, hub, kubernetes, options, results, tasks
from agent.fleet.board import Board
from agent.fleet.docker import DockerEngine
from agent.fleet.enduring import EnduringScreen, let_go
from agent.fleet.engine import Engine
from agent.fleet.kubectl import Kubectl
from agent.fleet.local import LocalEngine
from agent.fleet.options import Call, Options, parser
from agent.fleet.results import Attempt, Results, State, TaskResult, now
from agent.fleet.run import Fleet
from agent.fleet.tasks import Task
from agent.hub import client, secrets
from agent.limits import Limits
from agent.terminal import open_screen

__all__ = ["main", "parser"]

#: The tasks as they were read, in the fleet's directory. They may hold secrets.
_TASKS = "tasks.json"


def main(argv: Sequence[str], *, limits: Limits | None = None) -> int:
    """Run the command. Return the exit status."""
    limits = limits or Limits()
    try:
        call = options.parse(argv, os.environ)
        engine = _engine(call.options, os.environ, limits)
        entries = _entries(call, limits)
        found, warnings = tasks.check(
            entries,
            call.tasks or str(call.directory),
            os.environ,
            Path(".env"),
            limits,
            in_container=engine.in_container,
        )
        tasks.warn(warnings)
        is_cluster = call.options.on == "kubernetes"
        if is_cluster and (wrong := kubernetes.problems(found)):
            raise ConfigError(wrong)
        if call.dry_run and not is_cluster:
            return _show_plan(found, call, engine, limits)
        with _directory(call, entries) as directory:
            run = _run_on_kubernetes if is_cluster else partial(_run, engine=engine)
            return trio.run(partial(run, call, found, directory=directory, limits=limits))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("agent"):
            raise
        print(f"agent fleet: the package {error.name} is missing; {HUB_EXTRA}", file=sys.stderr)
        return int(Exit.CONFIG)
    except ConfigError as error:
        for problem in error.problems:
            print(f"agent fleet: {problem}", file=sys.stderr)
        return int(error.exit)
    except (AgentError, OSError, ExceptionGroup) as error:
        leaf = first_leaf(error)
        if not isinstance(leaf, AgentError | OSError):
            raise
        print(f"agent fleet: {leaf}", file=sys.stderr)
        return int(leaf.exit if isinstance(leaf, AgentError) else Exit.CONFIG)


async def _run_on_kubernetes(call: Call, found: list[Task], *, directory: Path, limits: Limits) -> int:
    """Write the manifests, and with --apply apply them and follow the Job."""
    given, record, place = call.options, _record(call, found, directory), directory / "kubernetes"
    token = secrets.secret("WS_TOKEN", os.environ) if given.hub else None
    server = f"ws{given.hub.removeprefix('http')}" if given.hub else None
    objects = kubernetes.manifests(
        record.fleet, found, kubernetes.BASE, image=given.image, parallel=given.parallel,
        retries=given.retries, memory=given.memory, server=server, token=token,
    )  # fmt: skip
    kubernetes.write(place, objects)
    if call.dry_run or not given.apply:
        print(f"{tasks.summary(found)}: {', '.join(sorted(objects))} in {place}. Nothing was started:")
        print(f"kubectl apply --server-side --filename {place}")
        return 0
    kubectl = Kubectl(os.environ.get("KUBECTL", "kubectl").split(), given.namespace, limits)
    await kubectl.apply(place)
    for name, each in objects.items():
        if each[0]["kind"] == "Secret":
            (place / name).unlink()  # the cluster has them
    board = Board(_screen(found), record)
    board.begin(None, f"{tasks.summary(found)}, {given.parallel} at a time; the Job {record.fleet} in Kubernetes")

    def changed(task: TaskResult, line: str) -> None:
        record.write(directory)
        board.changed(task, line)

    async def _follow() -> int:
        await kubectl.follow(record, changed)
        return 0 if all(task.outcome is State.SUCCEEDED for task in record.tasks) else 1

    status = await signals.run_until_stopped(_follow)
    record.exitCode, record.ended = status, now()
    record.write(directory)
    board.end(directory)
    if status > 128:
        print(f"The Job goes on: kubectl delete job {record.fleet} ends it, --resume {directory} follows it again.")
    return status


async def _run(call: Call, found: list[Task], *, engine: Engine, directory: Path, limits: Limits) -> int:
    await engine.prepare()
    record = _record(call, found, directory)
    async with _hub(call.options, engine, directory, limits) as reported:
        board = Board(_screen(found), record)
        fleet = Fleet(
            found, record, engine, reported, limits, directory=directory, parallel=call.options.parallel,
            retries=call.options.retries, budget=call.options.budget, budget_stop=call.options.budget_stop,
            watcher=board,
        )  # fmt: skip
        board.begin(fleet, f"{tasks.summary(found)}, {call.options.parallel} at a time; {engine.about}", reported)
        status = await fleet.run()
    board.end(directory)
    return status


def _screen(found: Sequence[Task]) -> EnduringScreen:
    return EnduringScreen(open_screen(sys.stdout, ended=max(len(found), 1)), let_go)


def _hub(given: Options, engine: Engine, directory: Path, limits: Limits) -> Any:
    if given.hub is None:
        return hub.own(directory, engine, limits)
    tokens = (secrets.secret("WS_TOKEN", os.environ), secrets.secret("HUB_TOKEN", os.environ))
    return hub.given(given.hub, *tokens, engine, limits)


def _engine(given: Options, environ: Mapping[str, str], limits: Limits) -> Engine:
    if given.engine == "local":
        return LocalEngine(environ, limits)
    return DockerEngine(
        given.engine, given.image, limits, memory=given.memory, cpus=given.cpus, options=given.run_options
    )


def _entries(call: Call, limits: Limits) -> list[Any]:
    if call.tasks is not None:
        # A list that is typed or comes through a pipe is waited for, and nothing runs yet that a stop has to end.
        waits = call.tasks == "-" or not Path(call.tasks).is_file()
        with signals.killing() if waits else nullcontext():
            return tasks.read(call.tasks, limits)
    assert call.directory is not None
    return tasks.read(str(call.directory / _TASKS), limits)


@contextmanager
def _directory(call: Call, entries: list[Any]) -> Iterator[Path]:
    """The fleet's directory, made or found, and held against a second fleet. Secrets are gone from it afterwards."""
    name = f"fleet-{datetime.now():%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"
    directory = (call.directory or Path(name)).absolute()
    is_new = not directory.exists()
    if not call.resume:
        if (directory / results.FILE).exists():
            raise AgentError(
                f"{directory} holds a fleet already: go on with it by --resume, or choose another --dir",
                exit=Exit.CONFIG,
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"--dir {directory}: {error.strerror}", exit=Exit.CONFIG) from error
        directory.chmod(0o700)
    with ExitStack() as stack:
        lock = stack.enter_context(open(directory / "lock", "w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentError(f"the fleet in {directory} is running", exit=Exit.CONFIG) from None
        stack.callback(shutil.rmtree, directory / "secrets", ignore_errors=True)
        if not call.resume:
            _write(directory / _TASKS, entries)
        _write(directory / options.FILE, call.options)
        try:
            yield directory
        except Exception:
            if is_new and not any((directory / name).exists() for name in ("tasks", "kubernetes")):
                shutil.rmtree(directory, ignore_errors=True)  # nothing was started
            raise


def _write(path: Path, content: Any) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _record(call: Call, found: Sequence[Task], directory: Path) -> Results:
    """Make the results, or take up those of the fleet that goes on."""
    fresh = [
        TaskResult(task=task.name, number=task.number, title=task.title, repository=task.repository) for task in found
    ]
    if not call.resume or not (directory / results.FILE).exists():
        name = directory.name if directory.name.startswith("fleet-") else f"fleet-{os.urandom(4).hex()}"
        record = Results(fleet=name, started=now(), tasks=fresh)
    else:
        record = results.load(directory)
        if [task.task for task in record.tasks] != [task.task for task in fresh]:
            raise AgentError(
                f"the tasks in {directory / _TASKS} are not those of {results.FILE}: restore them", exit=Exit.CONFIG
            )
        record.ended = record.exitCode = None
    record.write(directory)
    return record


def _show_plan(found: Sequence[Task], call: Call, engine: Engine, limits: Limits) -> int:
    """Print the tasks, and each command that would start a container; nothing is written or started."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        nowhere = hub.Hub(
            server="ws://HUB", token="-", page="", login="", client=client.Client("http://hub", None, limits)
        )
        record = Results(fleet="fleet", started="", tasks=[])
        for task in found:
            attempt = Attempt(number=1, container=attempts.container(record.fleet, task, 1), started="")
            place = attempts.Place(directory, task, attempt, limits)
            order = attempts.order(record, task, [attempt], place, nowhere, directory)
            print(f"{task.number:4}  {task.name}: {task.title}\n      {task.repository}")
            if isinstance(engine, DockerEngine):
                words = [call.options.engine, *engine.arguments(order)]
                print(f"      {' '.join(map(_quoted, words)).replace(temporary, 'DIR')}")
            else:
                print(f"      agent run, with {', '.join(sorted([*order.variables, *order.files, *order.paths]))}")
    print(f"{tasks.summary(found)}, {call.options.parallel} at a time; {engine.about}. Nothing was started.")
    return 0


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)
