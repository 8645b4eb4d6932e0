"""The verdict of VERIFY_COMMAND, and what it makes of a run. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.exits import Exit
from agent.limits import DETAILS_CHARS
from agent.outcome.verdict import Outcome


class Proof(msgspec.Struct, frozen=True):
    """The verdict of the last attempt. `unfinished`: the run was ended while the command ran."""

    state: Literal["passed", "failed", "unfinished"]
    attempts: int
    #: The way it ended, for a person.
    words: str = ""
    #: The end of its output.
    tail: str = ""


def proven(outcome: Outcome, proof: Proof | None, *, wanted: bool) -> Outcome:
    """Judge a run once more by its proof: a success counts only if the command passed.

    A run that failed stays what it is. What was not finished is said. `wanted`: there is a VERIFY_COMMAND.
    """
    if proof is None:
        if outcome.exit != 0 or not wanted:
            return outcome
        # The last of claude's output came when nobody waited for it any more.
        message = f"{outcome.message}, but its result came too late for VERIFY_COMMAND"
        return Outcome(Exit.TASK_FAILED, "verify", "verify", message)
    tries = f" after {proof.attempts} attempts" if proof.attempts > 1 else ""
    if proof.state == "unfinished":
        return msgspec.structs.replace(outcome, message=f"{outcome.message}; VERIFY_COMMAND was not finished")
    if outcome.exit != 0:
        return outcome
    if proof.state == "passed":
        return msgspec.structs.replace(outcome, message=f"{outcome.message}, and VERIFY_COMMAND passed{tries}")
    message = f"{outcome.message}, but VERIFY_COMMAND failed{tries}: {proof.words}"
    return Outcome(Exit.TASK_FAILED, "verify", "verify", message, proof.tail[-DETAILS_CHARS:])
