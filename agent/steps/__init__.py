"""The operator's own steps: SETUP_COMMAND before claude, VERIFY_COMMAND after it, each by `sh -c` in the workspace.

What this room promises:

- A step is a guest in claude's place: it gets claude's environment, directory and isolation, and nothing more. So it
  may do what claude may do, and the repository's code that it calls can reach no secret that claude could not reach.
- Its output is read line by line while it runs. A line is redacted before anything else looks at it; a very long one
  is counted and not shown. Of all of it, no more than the end stays in memory.
- A step ends by itself, at its time limit, or with the run: its process group gets SIGTERM, and SIGKILL after
  KILL_GRACE. What a setup leaves in the background serves claude, and is ended with what claude leaves, by the sweep;
  the process group of a verification ends with it.
- A stop of the run makes a step unfinished, whatever its exit status: it is never taken for a success or a failure.

Files:

    step            Step: one command from its start to its end, and its output
    finished        Finished: how a step ended, and its words for a person
    syntax          a look at a command by the shell, before anything is spent

Callers: run/ (local_work) makes the steps and runs them; replay/ reads how they ended; `agent check` looks at the
commands.
"""

from __future__ import annotations

from agent.steps.finished import Finished
from agent.steps.step import Step, StepName
from agent.steps.syntax import trouble_with

__all__ = ["Finished", "Step", "StepName", "trouble_with"]
