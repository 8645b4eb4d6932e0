"""An attempt on the disk: its files before it starts, and what it left behind."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from agent.files import regular
from agent.fleet import retry
from agent.fleet.engine import Ended, Order
from agent.fleet.hub import Hub
from agent.fleet.results import Attempt, Results, now
from agent.fleet.tasks import Task
from agent.limits import Limits
from agent.text import one_line

#: Variables that are paths of files of this machine, where there is such a file.
_PATHS = ("WS_CA_FILE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "GOOGLE_APPLICATION_CREDENTIALS")
#: Files of a run that the next attempt would replace.
_KEPT = ("result.json", "changes.patch", "transcript.jsonl")


def container(fleet: str, task: Task, number: int) -> str:
    """Name the container of an attempt."""
    return f"{fleet}-{task.name}-{number}".lower()


class Place:
    """The directories of an attempt, below the fleet's.

    tasks/NAME/output       what the run hands over (docs/output.md); all attempts have the same
    tasks/NAME/journal      what the hub has not confirmed; the next attempt delivers it
    tasks/NAME/attempt-N    stderr, and what the next attempt would replace in `output`
    """

    def __init__(self, directory: Path, task: Task, attempt: Attempt, limits: Limits) -> None:
        self._root = directory
        self._limits = limits
        self.task = directory / "tasks" / task.name
        self.own = self.task / f"attempt-{attempt.number}"
        self.log = self.own / "stderr.log"

    def make(self) -> None:
        """Make the directories, and remove what would be taken for this attempt's. Raises OSError."""
        for path in (self.task / "output", self.task / "journal", self.own):
            path.mkdir(parents=True, exist_ok=True)
        for path in (self.task / "termination", self.task / "output" / "result.json"):
            path.unlink(missing_ok=True)

    @property
    def patch(self) -> str | None:
        """The patch that the attempt left, below the fleet's directory."""
        path = self.own / "changes.patch"
        return str(path.relative_to(self._root)) if path.exists() and path.stat().st_size else None

    def read(self, attempt: Attempt, ended: Ended, row: Mapping[str, Any]) -> None:
        """Complete an attempt by what it left, and by the hub's last row where it left nothing."""
        attempt.ended = now()
        attempt.log = str(self.log.relative_to(self._root))
        self._keep()
        result, last = self._json(self.own / "result.json"), self._json(self.task / "termination")
        figures = result.get("result")
        figures = figures if isinstance(figures, dict) else {}
        attempt.exitCode = ended.code
        said = last or result
        if ended.code is None:
            attempt.reason = attempt.reason or "agent_lost"
            attempt.message = attempt.message or "the container is gone"
        elif said.get("exitCode") == ended.code:
            attempt.reason, attempt.message = _text(said.get("reason")), _text(said.get("message"))
        elif ended.out_of_memory:
            attempt.reason, attempt.message = "oom", "the kernel ended the container for its memory"
        else:
            attempt.reason = "killed" if ended.code == 137 else "agent_lost"
            attempt.message = f"the container ended with {ended.code} and said nothing"
        attempt.resetsAt = _text(result.get("resetsAt"))
        attempt.duration = _number(result.get("duration"))
        attempt.cost = _number(figures.get("cost", row.get("cost")))
        attempt.turns = _number(figures.get("num_turns", row.get("turns")))
        attempt.runID = _text(result.get("runID")) or _text(row.get("runID"))
        attempt.sessionID = _text(result.get("sessionID")) or _text(row.get("sessionID"))
        changes = result.get("changes")
        attempt.changes = changes if isinstance(changes, dict) else None

    def _keep(self) -> None:
        """Copy what the next attempt would replace. The run's user wrote it: no link is followed."""
        for name in _KEPT:
            with (
                suppress(OSError),
                regular(self.task / "output" / name) as fd,
                open(fd, "rb", closefd=False) as source,
                (self.own / name).open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy)

    def _json(self, path: Path) -> dict[str, Any]:
        with suppress(OSError, msgspec.DecodeError, UnicodeError), regular(path) as fd:
            with open(fd, "rb", closefd=False) as file:
                found = msgspec.json.decode(file.read(self._limits.fleet_result_bytes))
            if isinstance(found, dict):
                return found
        return {}


def order(
    results: Results, task: Task, made: Sequence[Attempt], place: Place, hub: Hub, directory: Path,
    mirror: Path | None = None,
) -> Order:  # fmt: skip
    """Write the files of the last of a task's attempts, and make the order for the engine. Raises OSError."""
    place.make()
    *earlier, attempt = made
    values = retry.changed(task.values, earlier)
    labels = {"fleet": results.fleet, "task": task.name, "attempt": attempt.container}
    values = values | {
        "WS_SERVER": hub.server,
        "CONTAINER_ID": task.name,
        # Ours come first: a hub shows no more than 20.
        "LABELS": ",".join(
            [*(f"{name}={value}" for name, value in labels.items()), *filter(None, [values.get("LABELS")])]
        ),
        **({"WS_TOKEN": hub.token} if hub.token else {}),
    }
    private = task.private | {"WS_TOKEN"}
    files = {name: _file(directory, name, value) for name, value in values.items() if name in private}
    paths = {name: Path(values[name]).absolute() for name in _PATHS if name in values and Path(values[name]).is_file()}
    if mirror is not None:
        paths["REPO_MIRROR"] = mirror
    return Order(
        name=attempt.container,
        labels={f"agent.{name}": value for name, value in labels.items()},
        variables={name: value for name, value in values.items() if name not in files and name not in paths},
        files=files,
        paths=paths,
        shown=[task.local] if task.local else [],
        directory=place.task,
        log=place.log,
    )


def _file(directory: Path, name: str, value: str) -> Path:
    """A file with a value, one for all tasks that share it. Only the directory keeps others on this machine away."""
    place = directory / "secrets"
    place.mkdir(mode=0o700, exist_ok=True)
    path = place / f"{name}-{hashlib.sha256(value.encode()).hexdigest()[:16]}"
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_text(value, encoding="utf-8", newline="")
        new.chmod(0o444)  # the container's user reads it
        new.replace(path)
    return path


def _text(value: object) -> str | None:
    return one_line(value, 400) if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
