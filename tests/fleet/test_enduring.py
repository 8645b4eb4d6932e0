"""A fleet whose output goes away: nothing is raised, and it is told once."""

from __future__ import annotations

from typing import Any

from agent.fleet.enduring import EnduringScreen


class Broken:
    """A screen that takes so many calls."""

    live = True

    def __init__(self, takes: int) -> None:
        self.takes, self.calls = takes, 0

    def _call(self) -> None:
        self.calls += 1
        if self.calls > self.takes:
            raise BrokenPipeError(32, "Broken pipe")

    def say(self, *_: Any, **__: Any) -> None:
        self._call()

    def show(self, *_: Any) -> None:
        self._call()

    def close(self) -> None:
        self._call()


def test_an_output_that_is_lost_is_told_once() -> None:
    broken, lost = Broken(1), list[OSError]()
    screen = EnduringScreen(broken, lost.append)  # type: ignore[arg-type]
    assert screen.live
    screen.say("a")
    assert lost == []
    for call in (lambda: screen.say("b"), lambda: screen.show("c", None), screen.close):
        call()
    assert [error.strerror for error in lost] == ["Broken pipe"]
    assert broken.calls == 2, "nothing is tried again"
