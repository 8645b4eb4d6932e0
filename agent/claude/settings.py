"""The settings of claude: those of SETTINGS, and the tools that no run may have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.claude import variables
from agent.config import Config
from agent.files import inside
from agent.limits import Limits

#: Tools that continue after the result and keep the process alive. No variable of the CLI turns them off.
BACKGROUND_TOOLS: Final = ("Monitor", "ScheduleWakeup", "Workflow")
#: Tools that ask a person for more than allow or deny. The CLI offers them only to a run that asks.
DIALOG_TOOLS: Final = ("AskUserQuestion", "EnterPlanMode", "ExitPlanMode")
_FROM_ROOT: Final = re.compile(r"^(Read|Edit|Write|Glob|Grep|NotebookEdit|MultiEdit)\(/(?!/)")


def merged(config: Config, allowed: Sequence[str] = ()) -> dict[str, Any]:
    """SETTINGS with more allowed rules, and with the agent's own deny list; empty if there is none of them.

    The list stands in the settings, since the value of --disallowedTools is the user's.
    """
    settings = config.settings or {}
    permissions = settings.get("permissions", {})
    denied = [
        *permissions.get("deny", ()),
        *(() if variables.allows_background(config) else BACKGROUND_TOOLS),
        *(DIALOG_TOOLS if config.ask else ()),
    ]
    if not denied and not allowed:
        return settings
    lists = {"deny": denied, "allow": [*permissions.get("allow", ()), *allowed] if allowed else []}
    added = {name: list(dict.fromkeys(rules)) for name, rules in lists.items() if rules}
    return {**settings, "permissions": {**permissions, **added}}


def repository_rules(workspace: Path, limits: Limits) -> list[str]:
    """Read the rules that a trusted repository allows. Raises nothing.

    The CLI obeys everything else in its settings, and passes over these until a person has trusted the folder in a
    dialog. No link out of the workspace is followed.
    """
    found: list[str] = []
    with suppress(OSError), inside.directory(workspace) as root:
        for name in (".claude/settings.json", ".claude/settings.local.json"):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                settings = msgspec.json.decode(inside.read(root, inside.follow(root, name), limits.instructions_bytes))
                rules = settings["permissions"]["allow"] if isinstance(settings, dict) else ()
                found += [_anchored(rule, workspace) for rule in rules if isinstance(rule, str)]
    return list(dict.fromkeys(found))


def _anchored(rule: str, workspace: Path) -> str:
    """A rule for a path below the repository, `Edit(/src/**)`, so that it means the same in settings elsewhere."""
    return _FROM_ROOT.sub(lambda match: f"{match[1]}(/{workspace}/", rule)
