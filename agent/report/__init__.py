"""The reports of a run: to the server through the journal, to a person on stderr, to the orchestrator at the end.

What this room promises:

- Everything said in a run goes through Reporter.publish, and so to the journal and the console alike. It never waits
  and never fails because of a disk.
- Nothing follows COMPLETE on the wire. Later words go to stderr.
- No secret is printed: the journal redacts what it takes, the console redacts each message once more, and exceptions
  that nobody caught are printed through the redactor.
- A log driver that blocks does not block the run: stderr has a thread and a bounded queue.
- The last line on stderr, the termination message, COMPLETE and the exit status agree.

Files:

    reporter            Reporter: words for phases, HEARTBEAT, the health file and the end
    answer              claude's whole answer, for stderr where there is no server (pure)
    complete            the data of COMPLETE (pure)
    console             stderr, as text or JSON
    termination_log     the line that Kubernetes shows as the reason of a pod's end
    uncaught            the hooks that print uncaught exceptions redacted

Callers: run/ tells the Reporter what happens; commands/ and replay/ compose it with a journal and a console.
"""

from __future__ import annotations

from agent.report.complete import complete_fields, result_fields
from agent.report.console import Console
from agent.report.reporter import Reporter
from agent.report.termination_log import termination_message, write_termination_message
from agent.report.uncaught import redact_uncaught

__all__ = [
    "Console",
    "Reporter",
    "complete_fields",
    "redact_uncaught",
    "result_fields",
    "termination_message",
    "write_termination_message",
]
