"""`python -m agent.run.diagram`: docs/state-diagram.md, made from the machine itself."""

from __future__ import annotations

from agent.limits import Limits
from agent.protocol import Phase
from agent.run.machine import LIVES, RunMachine

_HEAD = """\
# The states of a run

Made by `python -m agent.run.diagram` from `agent/run/machine.py`; a test compares the two.

A straight run goes PENDING, CONNECTING, CLONING, RUNNING, STOPPING, DRAINING, REPORTING, SUCCEEDED; with a
SETUP_COMMAND, SETTING_UP lies between CLONING and RUNNING; with a VERIFY_COMMAND, VERIFYING lies behind RUNNING, and
leads back to it as often as VERIFY_RETRIES allows. `interrupt` is the one event for every reason to leave that path (a
signal, the deadline, silence, the server's request, the memory guard, a fault); it carries its cause, and the first
cause wins.

"""


def document() -> str:
    """The whole document, with the bounds that Limits have by default."""
    limits = Limits()
    rows = [
        f"| {phase.value} | {', '.join(lives.alive) or '-'} | {lives.left_by} | {lives.bound.format(limits=limits)} |"
        for phase, lives in LIVES.items()
    ]
    table = "\n".join(["| state | lifetimes alive | left by | bound |", "|---|---|---|---|", *rows])
    finals = ", ".join(phase.value for phase in Phase if phase not in LIVES)
    return (
        f"{_HEAD}```mermaid\n{RunMachine:mermaid}```\n\n"
        f"## What lives in which state\n\n{table}\n\n"
        f"In the final states ({finals}) nothing is alive. The final state and the exit code come from one Outcome: "
        f"`judge(exit status, last result, cause)`.\n\n"
        f"## Every transition\n\n{RunMachine:md}"
    )


if __name__ == "__main__":
    print(document(), end="")
