import json

import msgspec
import trio

from agent.limits import Limits
from agent.repository.git_stderr import StderrFollower

LIMITS = msgspec.structs.replace(Limits(), progress_interval=0.1, git_stall=60.0, stderr_tail_lines=2)


class Follower(StderrFollower):
    def __init__(self, scope: trio.CancelScope) -> None:
        self.published = []
        super().__init__(self.published.extend, LIMITS, scope)

    def percents(self) -> list[int]:
        return [json.loads(e.data)["progress"]["percent"] for e in self.published if e.type == "STATUS"]


def line(percent: int, stage: str = "Receiving objects") -> bytes:
    done = b", done.\n" if percent == 100 else b"\r"
    return b"%s: %3d%% (%d/100)%s" % (stage.encode(), percent, percent, done)


async def test_progress_comes_at_most_once_in_an_interval_and_the_last_of_a_stage_always(autojump_clock):
    follower = Follower(trio.CancelScope())
    for percent in range(50):
        follower.feed(line(percent))
        await trio.sleep(0.03)
    assert follower.percents() == list(range(0, 50, 4))
    follower.feed(line(7, "Resolving deltas"))
    assert follower.percents()[-2:] == [48, 49]
    follower.feed(line(100, "Resolving deltas"))
    assert follower.percents()[-2:] == [49, 100]
    follower.feed(line(1, "Updating files"))
    follower.end()
    assert follower.percents()[-2:] == [100, 1]
    follower.end()
    assert follower.percents()[-2:] == [100, 1]


async def test_a_status_of_progress_may_be_dropped_and_carries_its_fields(autojump_clock):
    follower = Follower(trio.CancelScope())
    follower.feed(b"Receiving objects:  43% (430/1000), 1.00 MiB | 3.21 MiB/s\r")
    (event,) = follower.published
    assert (event.keep, event.message) == (False, "Receiving objects: 43%, 1.0 MiB")
    assert json.loads(event.data) == {
        "status": "running",
        "message": "Receiving objects: 43%",
        "phase": "CLONING",
        "progress": {"stage": "Receiving objects", "percent": 43, "done": 430, "total": 1000, "bytes": 1048576},
    }


async def test_stderr_shows_the_last_of_each_stage_and_a_line_each_ten_seconds(autojump_clock):
    follower = Follower(trio.CancelScope())
    for percent in range(101):
        follower.feed(line(percent))
        await trio.sleep(0.25)
    for percent in range(101):
        follower.feed(line(percent, "Resolving deltas"))
        await trio.sleep(0.01)
    shown = [e.message for e in follower.published if e.level == "info"]
    assert shown == [
        "Receiving objects: 40%", "Receiving objects: 80%", "Receiving objects: 100%", "Resolving deltas: 100%",
    ]  # fmt: skip
    assert len(follower.percents()) > 100, "the server gets as many as before"
    assert {e.source for e in follower.published} == {"git"}


async def test_a_silence_ends_a_transfer_until_everything_has_arrived(autojump_clock):
    with trio.CancelScope(deadline=trio.current_time() + 60) as scope:
        follower = Follower(scope)
        for _ in range(10):
            await trio.sleep(59)
            follower.feed(b".\r")
        follower.feed(line(100))
        await trio.sleep(10_000)
        follower.feed(line(1, "Updating files"))
        await trio.sleep(10_000)
    assert not scope.cancelled_caught

    with trio.CancelScope(deadline=trio.current_time() + 60) as scope:
        Follower(scope).feed(line(99))
        started = trio.current_time()
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - started == 60


async def test_lines_are_logged_and_their_tail_is_kept(autojump_clock):
    follower = Follower(trio.CancelScope())
    follower.feed(b"Cloning into '/tmp/x'...\nremote: hello\nwarning: careful\nfatal: no\n")
    logged = [(e.level, e.source, e.message) for e in follower.published]
    assert logged == [
        ("info", "git", "remote: hello"),
        ("warn", "git", "warning: careful"),
        ("warn", "git", "fatal: no"),
    ]
    assert list(follower.tail) == ["warning: careful", "fatal: no"]
