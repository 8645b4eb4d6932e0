"""A fleet, `agent fleet`: many tasks by one command, each in a container of its own.

It runs on the machine of whoever starts it, beside the engine, and never in a run's container: nothing of the container
agent imports it.

What this room promises:

- Every entry is checked as the agent itself would check it, and all problems are told, before anything starts.
- A task is never run by two containers at once, and one that has its outcome is never paid again.
- Whatever ends the fleet early stops its containers in order, within the stop's budget. After a kill -9 they run on,
  and `--resume` waits for them.
- `results.json` is whole at any moment, and says what each attempt came to.
- No secret stands in an argument list, in the output or in the results.

Files:

    command     `agent fleet`: the parts put together
    options     its options
    tasks       the list of tasks, read and checked
    run         Fleet: the lives of the tasks, the stop, the budget
    mirrors     repositories that several tasks share, fetched once
    attempts    the files of an attempt, before and after
    retry       which ends are worth another attempt, and how that one differs; pure
    results     `results.json`
    engine      whatever runs attempts: docker (or podman) for containers, local for the demo and tests
    docker      the engine's command line
    local       processes of this machine
    kubernetes  the same list as manifests
    kubectl     applies them, and follows the Job
    hub         the hub that the runs report to
    board       what a person sees; enduring lets the fleet go on where nobody reads it any more

Callers: commands/.
"""

from __future__ import annotations

__all__ = ["command"]
