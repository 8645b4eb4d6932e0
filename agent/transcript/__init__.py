"""The transcript: what claude's stdout means. Pure: lines in, events and a summary out.

What this room promises:

- Each line becomes exactly one LOG with the whole message, byte for byte as it came, but for bad UTF-8 and half
  surrogate pairs, which strict receivers refuse. A line that tells of progress gets a STATUS beside it. Only an answer
  to a request of ours becomes nothing, and a piece of a message that comes whole.
- Nothing that a line holds can raise. The format is the CLI's own and changes between versions: a field of another type
  than expected counts as absent, and an unknown kind of line passes with its type as its message.
- Time is linear in the bytes of a line, and memory is bounded whatever claude writes: texts for people have a length,
  and of each list only so much is remembered (agent/limits.py).
- The summary is frozen: a reader keeps the one that it got.

Lines must be redacted before they come here (claude/output.py does that).

Files:

    transcript          Transcript: takes the lines in order, keeps the summary
    stream_json         a line, typed as far as it is needed, and repaired where it could not be sent
    kinds               the kinds of messages, with the meaning of each
    describe            the line that a person reads; tool calls
    notices             the table of words for messages that need no memory
    publications        pull requests and pushes
    result              the `result` message: the CLI's account of a turn
    bill                the sum of all results of a run
    background_tasks    which tasks keep claude alive after a result
    todo                claude's to-do list, shown as progress
    control             answers to requests of ours, and what the run must act on
    summary             Summary and its parts: all that others know of a claude run

Callers: claude/ feeds it; outcome/, report/, run/ and the watchdog read the summary.
"""

from __future__ import annotations

from agent.transcript.control import (
    COMMANDED,
    OURS,
    REPLY,
    MessageState,
    Question,
    QuestionWithdrawn,
    Replied,
    ResultGiven,
    Said,
)
from agent.transcript.describe import tool_call, whole_call
from agent.transcript.stream_json import is_utf8
from agent.transcript.summary import Result, Summary
from agent.transcript.todo import Item, TodoList
from agent.transcript.transcript import OpenCalls, Transcript

__all__ = [
    "COMMANDED",
    "OURS",
    "REPLY",
    "Item",
    "MessageState",
    "OpenCalls",
    "Question",
    "QuestionWithdrawn",
    "Replied",
    "Result",
    "ResultGiven",
    "Said",
    "Summary",
    "TodoList",
    "Transcript",
    "is_utf8",
    "tool_call",
    "whole_call",
]
