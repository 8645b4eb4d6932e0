"""The settings of claude: those of SETTINGS, and the tools that no run may have."""

from __future__ import annotations

from typing import Any, Final

from agent.claude import variables
from agent.config import Config

#: Tools that continue after the result and keep the process alive. No variable of the CLI turns them off.
BACKGROUND_TOOLS: Final = ("Monitor", "ScheduleWakeup", "Workflow")
#: Tools that ask a person for more than allow or deny. The CLI offers them only to a run that asks.
DIALOG_TOOLS: Final = ("AskUserQuestion", "EnterPlanMode", "ExitPlanMode")


def merged(config: Config) -> dict[str, Any]:
    """SETTINGS with the agent's own deny list added to it; empty if there is neither.

    The list stands in the settings, since the value of --disallowedTools is the user's.
    """
    settings = config.settings or {}
    permissions = settings.get("permissions", {})
    denied = [
        *permissions.get("deny", ()),
        *(() if variables.allows_background(config) else BACKGROUND_TOOLS),
        *(DIALOG_TOOLS if config.ask else ()),
    ]
    if not denied:
        return settings
    return {**settings, "permissions": {**permissions, "deny": list(dict.fromkeys(denied))}}
