"""From texts to what is stored and owed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from agent.limits import Limits
from agent.receiver import Link, Run, RunKey, Step, Store
from agent.receiver.consumer import Acks
from agent.receiver.intake import Intake
from tests.support.runs import a_run

KEY = RunKey("c1", "01JZ0000000000000000000000")
LINK = cast("Link", object())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "runs")) as store:
        yield store


class Following:
    """A follower whose reading of one run waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.go = threading.Event()
        self.reads: list[str] = []
        self.steps: list[Step] = []

    def recall(self, key: RunKey, whole: bool) -> Run:
        self.reads.append(key.run_id)
        if key == KEY:
            assert self.go.wait(20)
        return self._store.recall(key)

    def taken(self, step: Step, link: Link) -> None:
        self.steps.append(step)

    def left(self, link: Link) -> None:
        pass


async def test_a_batch_is_stored_and_then_owed(store: Store):
    shown: list[Step] = []
    intake, lines = Intake(Limits(), store, None, shown.append), a_run(3).lines
    owed = await intake.take([*lines, "no message", lines[0]], LINK, Acks(100))
    assert store.path(KEY).read_text().splitlines() == lines
    assert [due.last for due in owed] == [False, True]
    assert f'"ack":{len(lines)}' in owed[-1].text
    assert intake.malformed == 1
    assert len(shown) == len(lines) + 2
    assert intake.links == {KEY: LINK}
    intake.left(LINK)
    assert intake.links == {}


async def test_what_cannot_be_stored_is_forgotten_and_taken_when_it_comes_again(store: Store, monkeypatch):
    intake, lines = Intake(Limits(), store, None, lambda step: None), a_run(3).lines
    await intake.take(lines[:1], LINK, Acks(100))

    def full(key: RunKey, *texts: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store, "append", full)
        with pytest.raises(OSError, match="No space"):
            await intake.take(lines[1:], LINK, Acks(100))
    assert KEY not in intake.runs
    owed = await intake.take(lines, LINK, Acks(100))
    assert owed[-1].last
    assert store.path(KEY).read_text().splitlines() == lines


async def test_new_and_small_runs_do_not_wait_for_large_ones(store: Store):
    large, small, new = a_run(3), a_run(1, run_id="SMALL"), a_run(1, run_id="NEW")
    store.append(KEY, *large.lines[:3])
    store.append(RunKey("c1", "SMALL"), small.lines[0])
    following = Following(store)
    limits = Limits(receiver_small=store.size(RunKey("c1", "SMALL")))
    intake = Intake(limits, store, following, lambda step: None)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(intake.take, large.lines, LINK, Acks(100))
            await trio.testing.wait_all_tasks_blocked()
            for run in (small, new):
                assert await intake.take(run.lines[:1], LINK, Acks(100))
            following.go.set()
    assert sorted(following.reads) == sorted([KEY.run_id, "SMALL", "NEW"])
    assert store.path(KEY).read_text().splitlines() == large.lines


@pytest.mark.parametrize("foreign", [False, True])
async def test_the_hash_of_a_run_that_goes_on_is_computed_for_its_end(store: Store, foreign: bool):
    """And where its file holds what is not its own, all of it is read again."""
    written = a_run(3)
    earlier = Intake(Limits(), store, None, lambda step: None)
    await earlier.take(written.lines[:3], LINK, Acks(100))
    state = earlier.runs[KEY].state
    assert state is not None
    if foreign:
        store.append(KEY, "no message")
    asked: list[bool] = []

    class Resuming(Following):
        def recall(self, key: RunKey, whole: bool) -> Run:
            asked.append(whole)
            return store.recall(key) if whole else Run.resumed(key, state)

    intake = Intake(Limits(), store, Resuming(store), lambda step: None)
    with trio.fail_after(20):
        await intake.take(written.lines[3:4], LINK, Acks(100))
        assert not intake.runs[KEY].hashed
        owed = await intake.take(written.lines[4:], LINK, Acks(100))
    assert owed[-1].last
    comparison = intake.runs[KEY].comparison
    assert comparison is not None
    assert (comparison.whole, comparison.unchecked) == (True, None)
    assert asked == ([False, True] if foreign else [False])
