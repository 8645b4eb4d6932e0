"""Permission rules: how a list of them is taken apart, and which tools the CLI knows.

The CLI silently ignores a rule that it does not know. So a misspelt one shows as a denied tool half an hour later, or
as a forbidden tool that is used all the same.
"""

from __future__ import annotations

import re

#: Those of several versions; a test asks the installed claude for its own.
_TOOLS = frozenset({
    "Agent", "AppifactRepl", "Artifact", "ArtifactCheck", "ArtifactComments", "ArtifactData", "AskUserQuestion", "Bash",
    "BashOutput", "CronCreate", "CronDelete", "CronList", "DesignSync", "Edit", "EndConversation", "EnterPlanMode",
    "EnterWorktree", "ExitPlanMode", "ExitWorktree", "FetchInboxMessage", "GetGoal", "GetTask", "Glob", "Grep",
    "KillShell", "LSP", "ListAgents", "ListConnectors", "ListMcpResourcesTool", "ListPlugins", "ListSkills",
    "McpTaskCheck", "McpTaskResumePolling", "McpTaskShowQuestion", "Monitor", "NotebookEdit", "OfferChromeSetup",
    "PauseGoal", "Poll", "Projects", "PublishPlugin", "PushNotification", "Read", "ReadMcpResourceDirTool",
    "ReadMcpResourceTool", "ReadNotifications", "ReadWidgetContext", "RemoteTrigger", "ReportFindings",
    "ScheduleWakeup", "SearchMcpRegistry", "SearchPlugins", "SearchSkills", "SendFeedback", "SendFile", "SendMessage",
    "SendToProject", "SendToProjectContext", "SendUserFile", "SendUserMessage", "SetGoal", "ShareOnboardingGuide",
    "ShowOnboardingRolePicker", "Skill", "SlashCommand", "StructuredOutput", "SuggestConnectors",
    "SuggestPluginInstall", "SuggestSkills", "Task", "TaskCreate", "TaskGet", "TaskList", "TaskOutput", "TaskStop",
    "TaskUpdate", "TodoWrite", "ToolSearch", "WaitForMcpServers", "WebFetch", "WebSearch", "Workflow", "WrapUp",
    "Write", "Yield", "memory_list", "memory_read", "memory_write", "propose_skills", "request_computer",
})  # fmt: skip
#: Names of older examples, of other agents, and of what people call the thing.
_MEANT = {
    "edit_file": "Edit", "multiedit": "Edit", "multi_edit": "Edit", "str_replace": "Edit", "replace": "Edit",
    "str_replace_editor": "Edit", "str_replace_based_edit_tool": "Edit", "apply_patch": "Edit",
    "write_file": "Write", "create_file": "Write", "create": "Write",
    "read_file": "Read", "view": "Read", "view_file": "Read", "cat": "Read", "notebookread": "Read",
    "run_command": "Bash", "execute_command": "Bash", "run": "Bash", "shell": "Bash", "terminal": "Bash",
    "list_files": "Glob", "list_directory": "Glob", "list_dir": "Glob", "ls": "Glob", "find": "Glob",
    "search": "Grep", "search_files": "Grep", "ripgrep": "Grep",
    "web_search": "WebSearch", "web_fetch": "WebFetch", "fetch": "WebFetch", "todoread": "TodoWrite",
}  # fmt: skip
_RULE = re.compile(r"[^\s,()]+(?:\((?:[^()]|\([^()]*\))*\))?")
_GAP = re.compile(r"[\s,]*")


def rules(value: str) -> str:
    """Check a list as --allowedTools takes it, with commas or spaces between rules: `Edit,Bash(git log:*)`.

    Rules on lines of their own get commas between them, since the CLI would take all lines for one rule.

    Raises:
        ValueError: the list cannot be taken apart into rules, so the CLI would silently read something else.
    """
    value = _one_line(value)
    if value.startswith("-"):
        raise ValueError('must not begin with "-"')
    if not _split(value):
        raise ValueError("names no tool")
    return value


def names(value: str) -> str:
    """Check a list as --tools takes it: names without parentheses; `none` is the empty list.

    Raises:
        ValueError: it is no list of names.
    """
    value = rules(value)
    if "(" in value:
        raise ValueError("must be names of tools; a rule with parentheses belongs into ALLOWED_TOOLS")
    return "" if value.lower() == "none" else value


def is_rule(text: str) -> bool:
    """Whether a text is one rule."""
    return _RULE.fullmatch(text) is not None


def _one_line(value: str) -> str:
    if "\n" not in value:
        return value
    lines = [stripped for line in value.split("\n") if (stripped := line.strip(" \t\r,"))]
    for line in lines:
        _split(line)  # a rule in two lines would become two rules
    return ",".join(lines)


def unknown(value: str) -> list[tuple[str, str | None]]:
    """Find tools that the CLI does not have, each with the name that was probably meant. MCP tools are left out."""
    names = dict.fromkeys(rule.partition("(")[0] for rule in _split(value))
    return [(name, _nearest(name)) for name in names if name not in _TOOLS and not name.startswith("mcp__")]


def _split(value: str) -> list[str]:
    found: list[str] = []
    at = 0
    while (at := _end(_GAP, value, at)) < len(value):
        rule = _RULE.match(value, at)
        if not rule or (rule.end() < len(value) and value[rule.end()] not in ", \t\n"):
            raise ValueError(f"has parentheses that do not match in rule {len(found) + 1}")
        found.append(rule[0])
        at = rule.end()
    return found


def _end(pattern: re.Pattern[str], value: str, at: int) -> int:
    match = pattern.match(value, at)
    return match.end() if match else at


def _nearest(name: str) -> str | None:
    import difflib

    if meant := _MEANT.get(name.lower()):
        return meant
    by_case = {tool.lower(): tool for tool in sorted(_TOOLS)}
    near = difflib.get_close_matches(name.lower().replace("_", ""), by_case, n=1, cutoff=0.7)
    return by_case[near[0]] if near else None
