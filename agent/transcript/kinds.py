"""The kinds of claude's messages: the complete list of `metadata.kind` of a LOG with source `claude`."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal[
    "init", "text", "thinking", "tool_use", "tool_result", "tool_error", "tool_denied", "tool_interrupted",
    "file_change", "todo", "user", "result", "permission_denied", "code_change", "vcs", "api_error", "api_retry",
    "model_fallback", "rate_limit", "task", "hook", "compact", "progress", "control", "system", "silent", "other",
    "raw", "oversize",
]  # fmt: skip


class Meaning(NamedTuple):
    """The meaning of a kind, and the messages of claude's that have it where no table says so."""

    words: str
    messages: tuple[str, ...] = ()


MEANINGS: Final[dict[Kind, Meaning]] = {
    "init": Meaning("claude has started, or goes on after a background task", ("system/init",)),
    "text": Meaning("words of the model", ("assistant",)),
    "thinking": Meaning("thoughts of the model, with their number of tokens", ("assistant",)),
    "tool_use": Meaning("a tool is called", ("assistant",)),
    "tool_result": Meaning("a tool has ended", ("user",)),
    "tool_error": Meaning("a tool ran and failed", ("user",)),
    "tool_denied": Meaning("a tool did not run: a rule, a hook or a person denied it", ("user",)),
    "tool_interrupted": Meaning("a tool was interrupted, or cancelled before it ran", ("user",)),
    "file_change": Meaning("a tool changed a file", ("user",)),
    "todo": Meaning("claude's to-do list has changed", ("user",)),
    "user": Meaning("words in the user's name: a subagent's task, a note of the CLI to the model", ("user",)),
    "result": Meaning("the end of a turn of the conversation; the last one counts", ("result",)),
    "permission_denied": Meaning("a tool call was denied without a question"),
    "code_change": Meaning(
        "claude opened or changed a pull request, or the like of it", ("system/code_change_published",)
    ),
    "vcs": Meaning("claude pushed, committed, merged or rebased", ("system/vcs_state_changed",)),
    "api_error": Meaning("the API failed, and claude gave up on the request", ("assistant",)),
    "api_retry": Meaning("the API failed, and claude tries again", ("system/api_retry",)),
    "model_fallback": Meaning("another model goes on, or none does"),
    "rate_limit": Meaning("the state of a rate limit"),
    "task": Meaning("a background task or a subagent"),
    "hook": Meaning("a hook ran"),
    "compact": Meaning("the conversation was compacted"),
    "progress": Meaning("claude, or one of its tools, is at work"),
    "control": Meaning("a control message between claude and the agent"),
    "system": Meaning("a note of the CLI", ("system/informational",)),
    "silent": Meaning("bookkeeping of the CLI, which tells a person nothing"),
    "other": Meaning("a message that this agent does not know; its type is the message"),
    "raw": Meaning("no JSON object: `metadata.claude` is the line as a string"),
    "oversize": Meaning("a line over the limit, which was skipped: `metadata.claude` tells its length"),
}
