"""Child processes: started, stopped, swept and reaped. No part of the agent starts a process in any other way.

What this room promises:

- A child that was started is gone when run_process() returns: by itself, by the signals of its stop plan, or by SIGKILL
  to its process group. Only Unkillable says otherwise.
- Its exit status is its own. The pid of a child cannot be reused before it is reaped, so that no signal goes astray;
  and the reaper of orphans leaves the children of run_process() alone.
- Being cancelled is the request to stop: run_process() then takes the steps of the plan, shielded, and returns the
  status.
- claude dies with the agent, even if that is killed (launch.py), and cannot read its memory or signal it.
- Nothing that claude left behind survives the sweep, whatever session or parent it has, unless it belongs to another
  user or is stuck in the kernel; that is reported by name.

The spawn is synchronous and must be in the main thread, since the parent-death signal of a child fires when the thread
ends that forked it.

Files:

    run             run_process() and Patience: a child from its start to its exit status
    child           Child: the spawn, the wait by pidfd, the reaping; Command, Stdio, Launch
    launch          the program between fork and exec that sets a child's guards; standard library only
    descendants     everything that descends from this process: the sweep, the reaper
    hardening       the settings of the agent's own process
    pipes           pipes to children

Callers: claude/ and repository/ run programs; run/ sweeps and reaps; vitals/ counts descendants; commands/ sets up the
agent's own process.
"""

from __future__ import annotations

from agent.process import descendants, hardening
from agent.process.child import Command, Launch, Stdio
from agent.process.descendants import Survivor
from agent.process.pipes import enlarge, open_output_pipe
from agent.process.run import Patience, run_process

__all__ = [
    "Command",
    "Launch",
    "Patience",
    "Stdio",
    "Survivor",
    "descendants",
    "enlarge",
    "hardening",
    "open_output_pipe",
    "run_process",
]
