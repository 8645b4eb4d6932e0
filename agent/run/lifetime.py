"""A lifetime: tasks that live and die together, seen from the one that may end them.

Only the supervisor cancels, through a lifetime and never through the nursery: a nursery reaches its children in
random order, and the order in which a run ends is its whole point.
"""

from __future__ import annotations

import trio


class Lifetime:
    """A set of cancel scopes with one deadline. What joins after a cancel is cancelled at once.

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
        return not self._scopes

    def join(self) -> trio.CancelScope:
        """The scope of one more task, which counts as alive from now on, before its first step."""
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
        self._reason = reason
        for scope in self._scopes:
            scope.cancel(reason)

    def expire_in(self, seconds: float) -> None:
        """Cancel after so many seconds, or earlier where that was already said."""
        self._expire_at(min(self._deadline, trio.current_time() + seconds))

    def extend(self, seconds: float) -> None:
        """Cancel after so many seconds, whatever was said before; what has expired stays so."""
        self._expire_at(trio.current_time() + seconds)

    def _expire_at(self, deadline: float) -> None:
        self._deadline = deadline
        for scope in self._scopes:
            scope.deadline = self._deadline
