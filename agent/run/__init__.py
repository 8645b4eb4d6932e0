"""The run: an explicit state machine, one loop that feeds it, and the lifetimes that each phase starts and stops.

    inbox --report--> supervisor --event--> machine --phase--> lifetimes start and stop --tasks--> inbox

What this room promises:

- Every run ends, and ends in one of four states, whatever git, claude, the disk or the network do. Each wait has an
  owner that may cancel it and a bound (docs/state-diagram.md).
- The supervisor waits for its inbox and for nothing else. So no stuck disk or network delays a SIGTERM.
- Lifetimes end in one order: work, sweep, output and harvest, link, vitals, watch. A consumer is never cancelled while
  its producer lives; it is starved.
- The first cause of leaving the straight path explains the run; whether claude had ended by itself by then is kept too.
- The outcome of a task becomes one report, in one place (the barrier). Nothing else catches every exception of a task.
- COMPLETE is appended once, and last.

Files:

    supervisor     the loop: what a report means, what a phase starts and stops
    machine        the table of phases and events, without tasks, clock or I/O
    tasks          the nursery, and the barrier that turns an outcome into a report
    lifetime       tasks that live and die together; the lifetimes of a run
    inbox          the memory channel to the supervisor, and the reports that it takes
    beginning      Beginning: signals, check, vital signs, the server that is waited for, the clone
    link           the sender of the run, and what it hears from the server
    delivering     Delivering: when the sender starts, starts again, and how long it may take at the end
    running        Running: claude's tasks, from its pipes to its exit status
    dialogue       Dialogue: brings what claude and operators say to asking and steering
    asking         Asking: the questions of claude, open until somebody answers or their time is over
    steering       Steering: the commands of operators, from their arrival to their last acknowledgement
    verifying      Verifying: the order of proof, from claude's result or end to the end of VERIFY_COMMAND
    proving        Proving: what VERIFY_COMMAND is asked, and what its answer means
    waiting        Waiting: WAIT_FOR_LIMIT, from when to when and what stands still meanwhile
    ending         Ending: sweep, harvest, outcome and COMPLETE, and how a stop signal hastens them
    countdown      TIMEOUT, which may stand still
    stop_budget    the time of a stop, shared out by what is left of it
    work           what a run does to the world, as an interface
    local_work     the real work: git, claude, /proc, files
    earlier        the work of the attempt before, for a session that goes on
    salvage        the delivery of what dead runs left
    diagram        docs/state-diagram.md, made from the machine

Callers: commands/ puts a run together; replay/ drives the supervisor with recorded work. The tests' simulation does so
with simulated work.
"""

from __future__ import annotations

from agent.run.dialogue import TIMER
from agent.run.inbox import CancelRequested, Commanded, Ended, Failed, Heard, Inbox, MemoryExceeded, Report, Signalled
from agent.run.link import Link, endpoint_of
from agent.run.local_work import LocalWork
from agent.run.salvage import deliver, open_orphan, salvage_all, troubles
from agent.run.supervisor import Supervisor
from agent.run.waiting import Pause
from agent.run.work import Swept, Work

__all__ = [
    "TIMER",
    "CancelRequested",
    "Commanded",
    "Ended",
    "Failed",
    "Heard",
    "Inbox",
    "Link",
    "LocalWork",
    "MemoryExceeded",
    "Pause",
    "Report",
    "Signalled",
    "Supervisor",
    "Swept",
    "Work",
    "deliver",
    "endpoint_of",
    "open_orphan",
    "salvage_all",
    "troubles",
]
