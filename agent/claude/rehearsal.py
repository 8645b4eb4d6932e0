"""The rehearsal: claude started once without a task, to ask it whether it takes what it is given.

claude alone knows its options, its dialect of JSON Schema, its settings and its agents, and half of what is wrong with
them it ignores without a word, also of the operator's own settings, whose rules would then deny nothing. A start costs
half a second and no request to the API. Hooks and MCP servers stay out; hooks of the machine's managed settings do not,
since nothing below them can switch them off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import trio

from agent.claude.command import arguments, write_files
from agent.claude.conversation import control_request
from agent.claude.home import Home
from agent.claude.program import cannot_run, find_cli
from agent.config import Config, permission_rules
from agent.errors import CliError, ConfigError
from agent.exits import Exit, ExitStatus
from agent.files import private_directory, regular
from agent.process import Command, Patience, Stdio, open_output_pipe, run_process
from agent.text import one_line

_INITIALIZE, _SETTINGS, _RULES = "agent-initialize", "agent-settings", "agent-rules"
#: Words in a refusal of the CLI's, and the variable that they are about.
_ABOUT = {
    "--json-schema": "OUTPUT_SCHEMA", "--agents": "AGENTS", "--plugin-dir": "PLUGIN_DIRS", "--add-dir": "ADD_DIRS",
    "--tools": "TOOLS", "--effort": "EFFORT",
}  # fmt: skip


def is_due(config: Config, home: Home | None = None) -> bool:
    """Whether something is set that claude alone can check; the operator's settings in `home` are such a thing."""
    given = (config.output_schema, config.effort, config.agents, config.agent, config.settings)
    return any(each is not None for each in given) or bool(
        config.plugin_dirs
        or config.claude_args
        or _unknown_tools(config)
        or (home is not None and home.settings_file is not None)
    )


async def rehearse(config: Config, environment: Mapping[str, str], version: str, home: Home | None = None) -> None:
    """Start claude without a task and ask it what it made of its options.

    Raises:
        ConfigError: it refuses some, or ignores them (78).
        CliError: it does not answer in time (75), or cannot be executed (126).

    Cancelling: safe; claude is ended.
    """
    settings = {**(config.settings or {}), "disableAllHooks": True}
    rehearsed = msgspec.structs.replace(config, settings=settings, mcp_config=None, resume_session=None)
    if _unknown_tools(config):
        rehearsed = msgspec.structs.replace(rehearsed, tools="")  # then claude names all that it leaves out
    quiet = msgspec.structs.replace(home, has_servers=False) if home is not None else None
    with private_directory() as private:
        given = arguments(rehearsed, write_files(rehearsed, private), str(uuid4()), version, quiet)
        asked = {_INITIALIZE: "initialize", _SETTINGS: "get_settings", _RULES: "list_permission_rules"}
        questions = b"".join(control_request(id, subtype) for id, subtype in asked.items())
        # In front, since it would be taken for the value of a last option that has none.
        command = Command([find_cli(config), "--no-session-persistence", *given], environment, private.path)
        stdin = os.open(private.write("questions", questions), os.O_RDONLY | os.O_CLOEXEC)
        status, said, complaint = await _ask(command, stdin, config)
    ended_well = status.code == 0
    problems = [*_ignored(config, _answers(said), home)] if ended_well else [_refused(config, status, complaint)]
    if problems:
        raise ConfigError(problems)


async def _ask(command: Command, stdin: int, config: Config) -> tuple[ExitStatus, bytes, bytes]:
    """Run claude to its end; returns how it ended, and what it wrote to stdout and stderr.

    Cancelling: safe.
    """
    limits = config.limits
    written = bytearray(), bytearray()
    status, failure = ExitStatus(), None

    async def collect(pipe: trio.abc.ReceiveStream, into: bytearray) -> None:
        """Cancelling: safe."""
        while chunk := await pipe.receive_some(limits.read_bytes):
            if len(into) < limits.rehearsal_bytes:
                into += chunk

    out, out_end = open_output_pipe(limits.pipe_bytes)
    err, err_end = open_output_pipe(limits.pipe_bytes)
    async with out, err:
        with trio.move_on_after(limits.cli_check) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(collect, out, written[0])
                nursery.start_soon(collect, err, written[1])
                try:
                    status = await run_process(
                        command, Stdio(stdin, out_end, err_end), stop=(), patience=Patience(), limits=limits
                    )
                except OSError as error:
                    failure = error
                # A child of claude's may hold the pipes.
                nursery.cancel_scope.deadline = trio.current_time() + limits.drain
    await trio.lowlevel.checkpoint_if_cancelled()
    if failure is not None:
        raise cannot_run(command.argv[0], failure) from failure
    if scope.cancel_called:
        raise CliError(f"{command.argv[0]} did not say within {limits.cli_check:g} s whether it takes its options; "
                       "give the container more CPU, and try again", exit=Exit.RETRYABLE)  # fmt: skip
    return status, bytes(written[0]), bytes(written[1])


def _answers(said: bytes) -> dict[str, dict[str, Any]]:
    """The answers to the questions, by their ID. Lines of other kinds are left out."""
    found = {}
    for line in said.splitlines():
        try:
            response = msgspec.json.decode(line)["response"]
            found[str(response["request_id"])] = dict(response["response"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def _refused(config: Config, status: ExitStatus, complaint: bytes) -> str:
    lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    # Warnings may come before the error, and its details after it.
    first = next((n for n, line in enumerate(lines) if line.lower().startswith("error")), 0)
    # The file is a private one of ours, and gone by then.
    said = re.sub(r" \(read from /[^)]*\)", "", " ".join(lines[first:]))
    words = one_line(said, 400) or f"it ends with {status} and gives no reason"
    about = [name for option, name in _ABOUT.items() if option in words]
    name = about[0] if about else "CLAUDE_ARGS" if config.claude_args else "CLAUDE_BIN"
    return f"{name}: claude refuses it: {words}"


def _ignored(config: Config, answers: Mapping[str, dict[str, Any]], home: Home | None) -> Iterator[str]:
    """Problems that claude passes over without a word. An older claude that answers nothing is believed."""
    file = home.settings_file if home is not None else None
    if config.settings is not None and _SETTINGS in answers:
        lost = _ignored_settings(
            config.settings, answers[_SETTINGS], "flagSettings", lambda name: not file or name != str(file)
        )
        yield from (f"SETTINGS: claude ignores {words}" for words in lost)
    if file is not None and _SETTINGS in answers:
        given = _read_object(file, config)
        lost = _ignored_settings(given, answers[_SETTINGS], "userSettings", lambda name: name == str(file))
        yield from (f"TRUST_HOME: of {file}, claude ignores {words}; mend it, or set TRUST_HOME=0" for words in lost)
    agents = [_member(agent, "name") for agent in _list(answers.get(_INITIALIZE, {}), "agents")]
    # A trusted repository brings agents of its own.
    if agents and config.agent is not None and config.agent not in agents and not config.trust_repo:
        yield f"AGENT: claude has no agent of this name; it has {one_line(', '.join(map(str, agents)), 400)}"
    rules = _list(_member(answers.get(_RULES), "state") or {}, "rules")
    narrowed = {_member(rule, "rule") for rule in rules if _member(rule, "source") == "toolsNarrowing"}
    for tool, near in _unknown_tools(config):
        if tool not in narrowed:
            yield f"TOOLS: claude has no tool {tool[:80]}" + (f"; {near} is the nearest that it has" if near else "")


def _unknown_tools(config: Config) -> list[tuple[str, str | None]]:
    """The tools of TOOLS that only a newer claude can have, each with the nearest name."""
    return [] if config.tools in (None, "default") else permission_rules.unknown(config.tools)


def _ignored_settings(
    given: Mapping[str, Any], answer: Mapping[str, Any], source: str, is_its_file: Callable[[str], bool]
) -> Iterator[str]:
    taken = [_member(each, "settings") for each in _list(answer, "sources") if _member(each, "source") == source]
    errors = [f"{_member(error, 'path')}: {_member(error, 'message')}".removeprefix(": ")
              for error in _list(answer, "errors") if is_its_file(str(_member(error, "file")))]  # fmt: skip
    if (given or errors) and (not taken or not isinstance(taken[0], dict)):
        yield f"all of it: {one_line('; '.join(errors), 400) or 'it gives no reason'}"
    elif lost := list(_lost(given, taken[0] if taken else {})):
        yield f"{one_line(', '.join(lost), 400)}: it has no such name, or takes another form"


def _read_object(file: Path, config: Config) -> dict[str, Any]:
    """Read the operator's settings; empty where that cannot be done, which claude then says itself."""
    try:
        with regular(file.resolve()) as fd:
            found = msgspec.json.decode(os.read(fd, config.limits.config_file_bytes))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lost(given: Any, taken: Any, path: str = "", *, is_item: bool = False) -> Iterator[str]:
    """Name what is in the settings that are given and not in those that claude took: keys, and items of lists.

    Of an item of a list that is an object, such as a hook, keys with a plain value may go: they are for people.
    """
    if isinstance(given, dict):
        for key, value in given.items():
            at = f"{path}.{key}" if path else str(key)
            if key in taken:
                yield from _lost(value, taken[key], at)
            elif value not in ({}, []) and (not is_item or isinstance(value, dict | list)):
                yield at
    elif isinstance(given, list):
        kept = taken if isinstance(taken, list) else []
        if all(isinstance(item, str) for item in given):
            yield from (f"item {n} of {path}" for n, item in enumerate(given, 1) if item not in kept)
        elif len(given) != len(kept):
            yield f"{len(given) - len(kept)} of {len(given)} items of {path}"
        else:
            for n, (item, same) in enumerate(zip(given, kept, strict=True), 1):
                yield from _lost(item, same, f"{path}[{n}]", is_item=True)


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    return value if isinstance(value, list) else []


def _member(found: Any, key: str) -> Any:
    return found.get(key) if isinstance(found, dict) else None
