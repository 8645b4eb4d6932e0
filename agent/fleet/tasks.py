"""The tasks of a fleet: read from a file, each checked as the agent would, before anything starts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from agent.arguments import HUB_EXTRA
from agent.config import VARIABLES, Config, Entry, examine
from agent.errors import AgentError, ConfigError
from agent.exits import Exit
from agent.limits import Limits
from agent.text import count, one_line

#: Variables that the fleet sets for each task itself; those of the environment are not passed on.
OWNED = (
    "WS_SERVER", "WS_TOKEN", "REPO_MIRROR", "WORKSPACE_DIR", "JOURNAL_DIR", "OUTPUT_DIR", "RECORD_DIR", "HEALTH_FILE",
    "TERMINATION_LOG", "TERMINATION_GRACE_SECONDS", "TASKS_FILE", "JOB_COMPLETION_INDEX", "CONTAINER_ID",
)  # fmt: skip
#: Variables that an entry may not set: all of those but its name.
_REFUSED = frozenset(OWNED) - {"CONTAINER_ID"}
_KNOWN = {variable.name: variable for variable in VARIABLES}
#: Characters of the shortest secret that is masked in a title; a shorter one would match parts of words.
_MASKED = 6
_EXAMPLE = 'for example [{"REPO_URL": "https://github.com/octocat/Hello-World.git", "TASK": "Fix the test"}]'


class Task(Struct, frozen=True, kw_only=True):
    """A checked task."""

    #: Its entry in the list, from 1.
    number: int
    #: Unique in the fleet, and good as the name of a directory or a container.
    name: str
    #: The variables that it gets, without those that the fleet owns. NAME_FILE is resolved.
    values: dict[str, str]
    #: Names of those that no argument list may show.
    private: frozenset[str]
    #: Names of those of them that hold a secret.
    secret: frozenset[str] = frozenset()
    title: str
    #: Without credentials.
    repository: str
    #: The repository's directory, if it is one of this machine.
    local: Path | None = None
    #: Seconds until one attempt must be over, the stop not included.
    bound: float


def read(source: str, limits: Limits) -> list[Any]:
    """Read the entries of a JSON array, JSON lines, or YAML; `-` is stdin.

    Raises AgentError (78).
    """
    name = "stdin" if source == "-" else source
    try:
        with open(0 if source == "-" else source, "rb", closefd=source != "-") as file:
            content = file.read(limits.config_file_bytes + 1)
        if len(content) > limits.config_file_bytes:
            raise AgentError(f"{name}: is longer than {limits.config_file_bytes:,} bytes", exit=Exit.CONFIG)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise AgentError(f"{name}: cannot be read: {error.strerror}", exit=Exit.CONFIG) from error
    except UnicodeDecodeError:
        raise AgentError(f"{name}: is not UTF-8 text", exit=Exit.CONFIG) from None
    try:
        entries = _parse(text, name)
    except ValueError as error:
        raise AgentError(f"{name}: {error}", exit=Exit.CONFIG) from None
    if not isinstance(entries, list) or not entries:
        raise AgentError(f"{name}: is no list with tasks; {_EXAMPLE}", exit=Exit.CONFIG)
    place = Path.cwd() if source == "-" else Path(source).absolute().parent
    return [_found(entry, place) for entry in entries]


def _found(entry: Any, place: Path) -> Any:
    """An entry whose files are found from everywhere: their paths are relative to the list."""
    if not isinstance(entry, dict):
        return entry
    return {
        key: str(place / value) if str(key).endswith("_FILE") and isinstance(value, str) and value else value
        for key, value in entry.items()
    }


def _parse(text: str, name: str) -> Any:
    first = text.lstrip()[:1]
    if name.endswith((".yaml", ".yml")) or first not in ("[", "{"):
        return _yaml(text)
    if first == "{":
        return [_line(row, n) for n, row in enumerate(text.splitlines(), 1) if row.strip()]
    try:
        entries = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _located(text)
    _check_keys(text)
    return entries


def _line(row: str, number: int) -> Any:
    try:
        entry = msgspec.json.decode(row)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError(f"line {number} is not a JSON object; a list of objects begins with [") from None
    _check_keys(row)
    return entry


def _check_keys(text: str) -> None:
    """Raise ValueError: an object of this JSON has a key twice."""
    with suppress(RecursionError):
        json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, in which no key may stand twice: two entries have run into one, and one of them would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise ValueError(f"the key {_shown(twice)} stands twice in one object")
    return found


def _shown(key: str) -> str:
    """A key in a message: one that is no variable may be a secret in the wrong place."""
    return key if key.removesuffix("_FILE") in _KNOWN else "of an entry"


def _located(text: str) -> Any:
    """Parse JSON that is probably wrong with a parser that tells the line, and does not repeat a secret."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("is not JSON with tasks: it is nested too deeply") from None


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ValueError(f"is neither a JSON array nor JSON lines; for YAML, {HUB_EXTRA}") from None

    class _Texts(yaml.SafeLoader):
        """Reads every scalar as the text that it is: a ref `1.10` or a label `no` means what it says."""

        # The merge key (<<) is no scalar of ours.
        yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # noqa: RUF012

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = set[str]()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    what = f"the key {_shown(key.value)} stands twice in one object"
                    raise yaml.constructor.ConstructorError(problem=what, problem_mark=key.start_mark)
                keys.add(str(key.value))
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, _Texts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"is not YAML: {error.problem}{place}") from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError("is not YAML") from None


def check(
    entries: Sequence[Any], source: str, environ: Mapping[str, str], dotenv: Path | None, limits: Limits,
    *, in_container: bool,
) -> tuple[list[Task], list[str]]:  # fmt: skip
    """Check every entry, with the environment and `.env` below it; return the tasks and the warnings.

    Raises ConfigError: every problem of every entry at once; it repeats no value.
    """
    below = {name: value for name, value in environ.items() if name.removesuffix("_FILE") not in OWNED}
    below["WS_SERVER"] = "ws://127.0.0.1:8080"  # the hub's is not known yet
    name = "stdin" if source == "-" else Path(source).name
    tasks: list[Task] = []
    # Those of the environment come back with each entry.
    problems, warnings = dict[str, None](), dict[str, None]()
    taken: dict[str, int] = {}
    for number, content in enumerate(entries, 1):
        origin = f"entry {number} of {name}"
        own = content if isinstance(content, dict) else {}
        for key in own:
            if str(key).removesuffix("_FILE") in _REFUSED:
                problems[f"{origin}: {key} is set by the fleet; leave it out"] = None
        content = {
            key: value for key, value in own.items() if str(key).removesuffix("_FILE") not in _REFUSED
        } or content
        config, found = examine(below, dotenv=dotenv, in_container=in_container, entry=Entry(content, origin))
        problems |= dict.fromkeys(found)
        warnings |= dict.fromkeys(config.warnings)
        if found:
            continue
        task = _task(number, config, own, limits)
        if task.local is not None and not task.local.exists():
            problems[f"REPO_URL ({origin}): there is no {task.local} on this machine"] = None
        if task.name in taken:
            problems[f"{origin}: CONTAINER_ID {task.name} is also that of entry {taken[task.name]}"] = None
        taken[task.name] = number
        tasks.append(task)
    if problems:
        raise ConfigError(list(problems))
    return tasks, list(warnings)


def _task(number: int, config: Config, own: Mapping[str, Any], limits: Limits) -> Task:
    values = {
        name: value for name, value in config.environ.items() if name in _KNOWN and name not in OWNED and value.strip()
    }
    if config.mcp_config and not config.mcp_config.lstrip().startswith("{"):
        values["MCP_CONFIG"] = Path(config.mcp_config).read_text(encoding="utf-8")
    secrets = [secret for secret in config.secrets.values() if secret]
    secret = frozenset(
        name for name, value in values.items()
        if _KNOWN[name].secret or name == "CLAUDE_ENV" or any(known in value for known in secrets)
    )  # fmt: skip
    private = secret | {name for name in values if _KNOWN[name].text}
    title = config.task
    for secret_value in (known for known in secrets if len(known) >= _MASKED):
        title = title.replace(secret_value, "[redacted]")
    title = one_line(title, 60)
    repository = config.repo_url
    short = repository.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    given = str(own["CONTAINER_ID"]) if own.get("CONTAINER_ID") else f"{short}-{number}"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", given).strip("-.")[:60] or f"task-{number}"
    waiting = 0.0 if config.timeout_counts_waiting else config.wait_for_limit or 0.0
    bound = config.timeout + waiting + config.server_wait + config.delivery_wait + limits.fleet_margin
    return Task(
        number=number, name=name, values=values, private=private, secret=secret, title=title,
        repository=repository, bound=bound,
        local=_local(repository),
    )  # fmt: skip


def _local(repository: str) -> Path | None:
    if repository.startswith("file://"):
        repository = unquote(urlsplit(repository).path)
    return Path(repository) if repository.startswith("/") else None


def summary(tasks: Sequence[Task]) -> str:
    """Count tasks and repositories."""
    return f"{count(len(tasks), 'task')} on {count(len({task.repository for task in tasks}), 'repository')}".replace(
        "repositorys", "repositories"
    )


def warn(warnings: Sequence[str]) -> None:
    """Show warnings on stderr."""
    for warning in warnings:
        print(f"agent fleet: {warning}", file=sys.stderr)
