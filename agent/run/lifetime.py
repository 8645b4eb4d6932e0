"""A lifetime: tasks that live and die together.

Only the supervisor cancels, and it cancels lifetimes, never the nursery: a nursery reaches its children in random
order, and a run must end in a fixed one.
"""

from __future__ import annotations

import trio


class Lifetime:
    """A set of cancel scopes with one deadline. A scope that joins after a cancel is cancelled at once.

    A failure in a `dispensable` lifetime is a WARN; the run goes on without that task.
    """

    def __init__(self, name: str, *, dispensable: bool = False) -> None:
        self.name = name
        self.dispensable = dispensable
        #: In order of joining, so that a seed replays the order of a cancel as well.
        self._scopes: dict[trio.CancelScope, None] = {}
        self._deadline = float("inf")
        self._reason: str | None = None
        self._emptied = trio.Event()

    @property
    def empty(self) -> bool:
        """Whether no task is alive."""
        return not self._scopes

    def join(self) -> trio.CancelScope:
        """Make the scope of one more task. The task counts as alive from now on, before its first step."""
        scope = trio.CancelScope(deadline=self._deadline)
        if self._reason is not None:
            scope.cancel(self._reason)
        self._scopes[scope] = None
        return scope

    def leave(self, scope: trio.CancelScope) -> None:
        """Count the task of this scope as ended."""
        del self._scopes[scope]
        if self.empty:
            self._emptied.set()
            self._emptied = trio.Event()

    async def wait_empty(self) -> None:
        """Return once no task is alive. Cancelling: safe."""
        while not self.empty:
            await self._emptied.wait()

    def cancel(self, reason: str) -> None:
        """Cancel every task, now and later ones."""
        self._reason = reason
        for scope in self._scopes:
            scope.cancel(reason)

    def expire_in(self, seconds: float) -> None:
        """Cancel after so many seconds, or at an earlier deadline that was already set."""
        self._expire_at(min(self._deadline, trio.current_time() + seconds))

    def extend(self, seconds: float) -> None:
        """Cancel after so many seconds, in place of an earlier deadline. A task that was cancelled stays so."""
        self._expire_at(trio.current_time() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds until its deadline."""
        return max(0.0, self._deadline - trio.current_time())

    def _expire_at(self, deadline: float) -> None:
        self._deadline = deadline
        for scope in self._scopes:
            scope.deadline = self._deadline


class Lifetimes:
    """The lifetimes of a run but for the one of its delivery, which `Delivering` has."""

    def __init__(self) -> None:
        self.watch, self.work, self.output = map(Lifetime, ("watch", "work", "output"))
        self.vitals, self.sweep, self.harvest = (
            Lifetime(name, dispensable=True) for name in ("vitals", "sweep", "harvest")
        )
