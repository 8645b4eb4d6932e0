"""The operator's own configuration of claude: `~/.claude` and `~/.claude.json`, and whether it counts.

The CLI takes it as the setting source `user`. It is obeyed where it is the operator's: a HOME inside the workspace,
or a link from it into the workspace, would let the repository decide what it must not decide.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.config import Config
from agent.files import regular
from agent.limits import Limits
from agent.protocol import Event, log

_SETTINGS: Final = "settings.json"
#: What a person may have put into `~/.claude`; the rest there is the CLI's own.
_ENTRIES: Final = (
    _SETTINGS, "CLAUDE.md", "rules", "agents", "skills", "commands", "output-styles", "hooks", "plugins",
)  # fmt: skip
#: Below `plugins`, claude keeps a store of its own.
_INSTALLED: Final = "plugins/installed_plugins.json"


class Home(msgspec.Struct, frozen=True):
    """The operator's configuration as it was found."""

    directory: Path
    #: Its entries that claude obeys; empty where it obeys none.
    obeyed: tuple[str, ...] = ()
    #: There are MCP servers in `.claude.json` among them.
    has_servers: bool = False
    #: The reason why entries that exist are not obeyed.
    refused: str = ""

    @property
    def words(self) -> str:
        """Whose configuration counts, for a person; empty if there is none."""
        if self.refused:
            return f"the configuration in {self.directory} is ignored: {self.refused}"
        shown = ", ".join(self.obeyed)
        return f"claude obeys the operator's configuration in {self.directory}: {shown}" if shown else ""

    def event(self) -> Event | None:
        """A LOG that says whose configuration counts; None if there is none."""
        return log("warn" if self.refused else "info", self.words, kind="home") if self.words else None

    @property
    def settings_file(self) -> Path | None:
        """The operator's settings, if claude obeys them."""
        return self.directory / _SETTINGS if _SETTINGS in self.obeyed else None


def find_home(config: Config, environment: Mapping[str, str]) -> Home:
    """Look for the operator's configuration in claude's `environment`, before the clone. Raises nothing."""
    home = Path(environment["HOME"])
    directory = Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude")
    state = directory / ".claude.json" if environment.get("CLAUDE_CONFIG_DIR") else home / ".claude.json"
    moved = home / ".claude" != directory and not config.is_set("CLAUDE_CONFIG_DIR")
    if moved and "CLAUDE_CONFIG_DIR" not in config.claude_env and (names := _entries(home / ".claude")):
        why = f"{home} cannot be written, so claude keeps its files elsewhere: {', '.join(names)}"
        return Home(home / ".claude", refused=why)
    has_servers = _has_servers(state, config.limits)
    names = [*_entries(directory), *([state.name] if has_servers else [])]
    if not names or not config.trust_home:
        return Home(directory)
    workspace = config.workspace_dir.resolve()
    for path in (directory, state, *(directory / name for name in _entries(directory))):
        if path.resolve().is_relative_to(workspace) or workspace.is_relative_to(path.resolve()):
            return Home(directory, refused=f"{path} is in WORKSPACE_DIR, so the repository could have written it")
    return Home(directory, tuple(names), has_servers)


def _entries(directory: Path) -> list[str]:
    found = [name for name in _ENTRIES if os.path.lexists(directory / name)]
    if "plugins" in found and not (directory / _INSTALLED).exists():
        found.remove("plugins")
    return found


def _has_servers(state: Path, limits: Limits) -> bool:
    try:
        with regular(state) as fd:
            found = msgspec.json.decode(os.read(fd, limits.config_file_bytes))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(found.get("mcpServers"))
