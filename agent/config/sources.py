"""Sources of values: the environment over `.env`, an entry of TASKS_FILE over both, and NAME_FILE for any NAME.

This module, json_objects.py and load.py are the only ones of the room that read files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.config import dotenv
from agent.config.variables import BY_NAME
from agent.limits import Limits

#: Variables that an entry of TASKS_FILE must set itself: the environment's would run the wrong task.
_ENTRY_HAS = ("REPO_URL", "TASK")


class Entry(NamedTuple):
    """An entry of a list of tasks that somebody else has read, and its name in problems ("entry 3 of tasks.yaml")."""

    content: Any
    origin: str


class Sources(msgspec.Struct):
    """The gathered values of all variables. Empty ones count as unset, but stay as they are."""

    values: dict[str, str]
    problems: list[str]
    #: The source of a variable's value, if it is not the environment. Present without a value: already reported.
    origins: dict[str, str]
    warnings: list[str] = []
    #: Files with secrets in them that nobody but the agent needs to read.
    secret_files: list[Path] = []
    #: The file of each variable that has one.
    files: dict[str, Path] = {}


def gather(environ: Mapping[str, str], dotenv_path: Path | None, limits: Limits, entry: Entry | None = None) -> Sources:
    """Lay the layers over each other and replace each NAME_FILE by NAME. Never raises; problems are collected.

    An `entry` takes the place of the one that TASKS_FILE and JOB_COMPLETION_INDEX name.
    """
    sources = Sources(dict(environ), [], {})
    if dotenv_path is not None:
        _add_dotenv(sources, dotenv_path, limits)
    if entry is not None:
        for name in ("TASKS_FILE", "JOB_COMPLETION_INDEX", "JOB_COMPLETION_INDEX_FILE"):
            sources.values.pop(name, None)
        _lay_over(sources, entry, entry.origin)
    else:
        for name in ("TASKS_FILE", "JOB_COMPLETION_INDEX"):
            _resolve(sources, name, limits)
        _add_entry(sources, limits)
    for name in BY_NAME:
        _resolve(sources, name, limits)
    return sources


def read(path: Path, max_bytes: int) -> str:
    """Read the text of a regular file.

    Raises:
        ValueError: completes "the file ..."; it does not repeat the path, in whose place a secret may stand.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would block, a device would never end
            raise ValueError("is not a regular file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ValueError(f"is longer than {max_bytes:,} bytes")
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def is_set(value: str | None) -> bool:
    """Whether a variable has a value: an empty one counts as unset."""
    return bool(value and value.strip())


def _overlay(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    """Merge two layers. NAME in the upper hides NAME_FILE in the lower, and the other way round."""
    merged = dict(lower)
    for name, value in upper.items():
        if not is_set(value):
            merged.setdefault(name, value)
            continue
        if name in BY_NAME:
            merged.pop(f"{name}_FILE", None)
        elif name.removesuffix("_FILE") in BY_NAME:
            merged.pop(name.removesuffix("_FILE"), None)
        merged[name] = value
    return merged


def _resolve(sources: Sources, name: str, limits: Limits) -> None:
    path = sources.values.get(f"{name}_FILE")
    if path is None:
        return
    del sources.values[f"{name}_FILE"]
    if not is_set(path):
        return
    if name in ("TASKS_FILE", "CLAUDE_ENV") or (name in BY_NAME and BY_NAME[name].secret):
        sources.secret_files.append(Path(path).absolute())
    if is_set(sources.values.get(name)):
        sources.problems.append(f"{name}: both {name} and {name}_FILE are set; keep one of them")
        return
    try:
        content = read(Path(path), limits.config_file_bytes)
        if not content.strip():
            raise ValueError("is empty")
    except ValueError as error:
        sources.values.pop(name, None)
        sources.problems.append(f"{name}_FILE: the file {error}; for example {name}_FILE=/run/secrets/{name.lower()}")
        sources.origins[name] = f"{name}_FILE"
        return
    sources.files[name] = Path(path).absolute()
    sources.values[name] = content.removesuffix("\n")
    sources.origins[name] = f"{name}_FILE"


def _add_dotenv(sources: Sources, path: Path, limits: Limits) -> None:
    try:
        if not path.exists():
            return
        workspace = sources.values.get("WORKSPACE_DIR", "").strip() or BY_NAME["WORKSPACE_DIR"].default
        if path.resolve().is_relative_to(Path(workspace).resolve()):
            # The repository or claude may have written it, and it could name the program that we start.
            sources.warnings.append(".env: is ignored, since it lies in WORKSPACE_DIR; keep it elsewhere")
            return
        below, wrong = dotenv.parse(read(path, limits.config_file_bytes))
    except (ValueError, OSError) as error:
        sources.problems.append(f".env: {error if isinstance(error, ValueError) else error.strerror}")
        return
    sources.problems += wrong
    above = sources.values
    sources.values = _overlay(below, above)
    sources.origins.update({name: ".env" for name in below if not is_set(above.get(name))})


def _add_entry(sources: Sources, limits: Limits) -> None:
    """Lay this run's entry of TASKS_FILE over the rest, if that is set."""
    path, index = (sources.values.get(name, "").strip() for name in ("TASKS_FILE", "JOB_COMPLETION_INDEX"))
    if not path:
        return
    sources.secret_files.append(Path(path).absolute())  # other entries may hold tokens of other runs
    try:
        if not index:
            raise ValueError("JOB_COMPLETION_INDEX: is not set, but TASKS_FILE is; an Indexed Job sets it to 0, 1, ...")
        tasks = _tasks(Path(path), limits)
        if not index.isascii() or not index.isdigit() or len(index) > 9 or int(index) >= len(tasks):
            raise ValueError(f"JOB_COMPLETION_INDEX: must be 0 to {len(tasks) - 1}, since TASKS_FILE has {len(tasks)} "
                             f"entries; the Job's completions must be {len(tasks)}")  # fmt: skip
    except ValueError as error:
        sources.problems.append(str(error))
        sources.origins.update(dict.fromkeys(_ENTRY_HAS, "TASKS_FILE"))
        return
    origin = f"entry {int(index)} of TASKS_FILE"
    _lay_over(sources, Entry(tasks[int(index)], origin), f"TASKS_FILE: {origin}")


def _lay_over(sources: Sources, entry: Entry, place: str) -> None:
    values = _texts(entry.content, place, sources.problems)
    sources.values = _overlay(sources.values, values)
    sources.origins.update(dict.fromkeys([*values, *_ENTRY_HAS], entry.origin))


def _tasks(path: Path, limits: Limits) -> list[Any]:
    example = 'for example [{"REPO_URL": "https://github.com/octocat/Hello-World.git", "TASK": "Fix the test"}]'
    found: list[Any] = []
    # A directory holds the array in parts: an object of Kubernetes takes 1 MiB. Of too long a name Path raises.
    for part in sorted(path.glob("*.json")) if os.path.isdir(path) else [path]:  # noqa: PTH112
        try:
            text = read(part, limits.config_file_bytes)
        except ValueError as error:
            raise ValueError(f"TASKS_FILE: the file {error}; {example}") from None
        try:
            tasks = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError(f"TASKS_FILE: the file is not JSON; {example}") from None
        if not isinstance(tasks, list) or not tasks:
            raise ValueError(f"TASKS_FILE: the file is not a JSON array with entries; {example}")
        found += tasks
    if not found:
        raise ValueError(f"TASKS_FILE: the directory holds no *.json; {example}")
    return found


def _texts(entry: Any, place: str, problems: list[str]) -> dict[str, str]:
    """Take an entry's variables as the environment would hold them; it may use numbers and booleans too."""
    if not isinstance(entry, dict):
        problems.append(f"{place} is not an object with REPO_URL and TASK")
        return {}
    found: dict[str, str] = {}
    for n, (name, value) in enumerate(entry.items(), 1):
        known = name if name in BY_NAME else name.removesuffix("_FILE")
        if known not in BY_NAME or known in ("TASKS_FILE", "JOB_COMPLETION_INDEX"):
            problems.append(f"{place}: key {n} is not a variable that an entry may set{_meant(name)}")
        elif isinstance(value, bool):
            found[name] = "1" if value else "0"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
        else:
            problems.append(f"{place}: {name} must be a string, a number or a boolean")
    problems += [
        f"{place} has no {name}"
        for name in _ENTRY_HAS
        if not is_set(found.get(name)) and not is_set(found.get(f"{name}_FILE"))
    ]
    return found


def _meant(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.upper(), BY_NAME, n=1, cutoff=0.7)
    return f" (near to {near[0]})" if near else ""


def misspelt(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find variables that are one letter away from one of ours, each with that one.

    Two names are that near when they are equal after each has lost at most one letter. That is a set look-up, so the
    hundreds of service variables of a pod cost nothing. Names shorter than TIMEOUT would match too much.
    """
    near = {
        short: name for name, known in BY_NAME.items() if known.field and len(name) >= 7 for short in _shortened(name)
    }
    return [
        (name, near[hit])
        for name in environ
        if len(name) >= 6 and name not in BY_NAME and name.removesuffix("_FILE") not in BY_NAME
        if (hit := next((short for short in _shortened(name) if short in near), None))
    ]


def _shortened(name: str) -> list[str]:
    return [name, *(name[:i] + name[i + 1 :] for i in range(len(name)))]
