"""Loading the configuration: every variable is parsed before anything starts, and every problem is told at once.

No problem repeats a value, since a secret may have been put into the wrong variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.config import advice, json_objects, sources, urls
from agent.config import parsers as values
from agent.config import secret_values as credentials
from agent.config.config import Config
from agent.config.renewal import RENEWABLE
from agent.config.variables import BY_NAME, VARIABLES, Variable
from agent.errors import ConfigError
from agent.limits import Limits

#: Characters of the shortest secret that is masked in a problem; a shorter one would match parts of words.
_MASKED = 6


def load(environ: Mapping[str, str], *, dotenv: Path | None = None, in_container: bool) -> Config:
    """Load the configuration of a run.

    Raises:
        ConfigError: every problem at once.
    """
    config, problems = examine(environ, dotenv=dotenv, in_container=in_container)
    if problems:
        raise ConfigError(problems)
    return config


def examine(
    environ: Mapping[str, str],
    *,
    dotenv: Path | None = None,
    in_container: bool,
    entry: sources.Entry | None = None,
) -> tuple[Config, tuple[str, ...]]:
    """Load the configuration and its problems. A wrong variable has its default, REPO_URL and TASK are empty then.

    `entry` lies over everything else, as an entry of TASKS_FILE does.

    A run with problems still sends its COMPLETE (exit 78): `ws_server` (None if it is wrong itself), `ws_token`,
    `ws_ca_file`, `container_id` and `secrets` are usable whatever else is wrong.
    """
    limits = Limits()
    gathered = sources.gather(environ, dotenv, limits, entry)
    problems = gathered.problems
    fields: dict[str, Any] = {}
    for variable in VARIABLES:
        value = _value(variable, gathered, limits)
        if variable.field is not None:
            fields[variable.field] = value
    fields["claude_env"] = fields["claude_env"] or {}
    fields["labels"] = fields["labels"] or {}
    fields.update({name: fields[name] or () for name in ("claude_args", "plugin_dirs", "add_dirs", "pass_env")})
    objects = _read_objects(fields, gathered, limits)
    _check_ca_file(fields, gathered, limits)
    secrets = credentials.collect(gathered.values, fields["claude_env"], objects, fields["pass_env"])
    repository: urls.Repository = fields["repo_url"] or urls.Repository("")
    fields["repo_url"] = repository.url
    fields["github_token"] = fields["github_token"] or repository.token
    _fill_in(fields, gathered.values, in_container)
    config = Config(
        **fields,
        in_container=in_container,
        environ=gathered.values,
        secrets=secrets,
        mcp_references=json_objects.references(objects),
        secret_files=tuple(dict.fromkeys(gathered.secret_files)),
        renewable={name: path for name, path in gathered.files.items() if name in RENEWABLE},
        limits=limits,
    )
    problems += advice.conflicts(config)
    warnings = (_mask(text, secrets) for text in (*gathered.warnings, *repository.warnings, *advice.warnings(config)))
    config = msgspec.structs.replace(config, warnings=tuple(warnings))
    return config, tuple(_mask(problem, secrets) for problem in problems)


def _value(variable: Variable, gathered: sources.Sources, limits: Limits) -> Any:
    """Parse one variable; its default where it is not set or wrong."""
    name = variable.name
    given = gathered.values.get(name)
    if given is not None and sources.is_set(given):
        try:
            if variable.text:
                given = values.text(given, limits.task_bytes if name == "TASK" else limits.text_bytes)
            elif variable.lines:
                given = values.lines(given, limits.line_value_bytes)
            else:
                given = values.line(given, limits.line_value_bytes)
            gathered.values[name] = given
            return variable.parse(given)
        except ValueError as error:
            _complain(variable, error, gathered)
    elif variable.required and name not in gathered.origins:
        _complain(variable, "is blank" if given else "is not set", gathered)
    if variable.default:
        return variable.parse(variable.default)
    return "" if name == "TASK" else None


def _complain(variable: Variable, error: ValueError | str, gathered: sources.Sources) -> None:
    origin = gathered.origins.get(variable.name)
    place = f"{variable.name} ({origin})" if origin else variable.name
    gathered.problems.append(f"{place}: {error}; for example {variable.shown}")


def _read_objects(fields: dict[str, Any], gathered: sources.Sources, limits: Limits) -> dict[str, dict[str, Any]]:
    """Read the variables that are JSON, inline or in a file, and return those that are right, by name."""
    found: dict[str, dict[str, Any]] = {}
    readers = (("OUTPUT_SCHEMA", json_objects.output_schema), ("AGENTS", json_objects.agents),
               ("SETTINGS", json_objects.settings), ("MCP_CONFIG", json_objects.mcp_servers))  # fmt: skip
    for name, read in readers:
        given, fields[name.lower()] = fields[name.lower()], None
        if given is None:
            continue
        try:
            value = read(given, limits)
        except ValueError as error:
            _complain(BY_NAME[name], error, gathered)
            continue
        # MCP_CONFIG stays a text or a path, since claude reads it itself.
        fields[name.lower()], found[name] = value if isinstance(value, tuple) else (value, value)
    return found


def _check_ca_file(fields: dict[str, Any], gathered: sources.Sources, limits: Limits) -> None:
    if fields["ws_ca_file"] is not None:
        import ssl  # takes 10 ms, and few starts need it before they connect

        try:
            sources.read(fields["ws_ca_file"], limits.config_file_bytes)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(fields["ws_ca_file"])
        except ssl.SSLError:
            _complain(BY_NAME["WS_CA_FILE"], "the file holds no certificate that can be read (PEM)", gathered)
            fields["ws_ca_file"] = None
        except ValueError as error:
            _complain(BY_NAME["WS_CA_FILE"], f"the file {error}", gathered)
            fields["ws_ca_file"] = None


def _fill_in(fields: dict[str, Any], environment: Mapping[str, str], in_container: bool) -> None:
    """Fill in the defaults that depend on where the agent runs."""
    temporary = Path(environment.get("TMPDIR", ""))
    if not temporary.is_absolute():
        temporary = Path("/tmp")
    host = os.uname().nodename
    log = Path("/dev/termination-log")
    fields["container_id"] = fields["container_id"] or (host if len(host) > 8 else f"agent-{os.urandom(6).hex()}")
    fields["journal_dir"] = fields["journal_dir"] or temporary / "agent-journal"
    fields["health_file"] = fields["health_file"] or temporary / "agent-health"
    fields["termination_log"] = fields["termination_log"] or (log if log.exists() else None)
    if fields["permission_mode"] is None:
        unasked = "bypassPermissions" if in_container else "acceptEdits"
        fields["permission_mode"] = "default" if fields["ask"] else "dontAsk" if fields["allowed_tools"] else unasked


def _mask(text: str, secrets: Mapping[str, str]) -> str:
    """Mask secrets in a message: it quotes names of tools and keys, and a secret may have slipped into one."""
    for secret in secrets.values():
        if len(secret) >= _MASKED:
            text = text.replace(secret, "***")
    return text
