"""Runs on disk: what survives the receiver's own death, and what may not become a path."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.exits import Exit
from agent.protocol.events import Event, encode_json, log
from agent.receiver.consumer import Accepted, Consumer
from agent.receiver.messages import RunKey, parse
from agent.receiver.run import Run, RunState
from agent.receiver.store import Store, file_name
from tests.support.runs import Written, a_run, copy_of

KEY = RunKey("c1", "01JZ0000000000000000000000")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "runs")
    yield opened
    opened.close()


def receive(store: Store, lines: list[str]) -> Consumer:
    target = Consumer(store.recall, 100)
    for line in lines:
        step = target.feed(line)
        if isinstance(step, Accepted):
            store.append(step.run.key, step.text)
    return target


def test_the_file_is_the_text_as_received(store: Store):
    lines = a_run(3).lines
    received = [lines[0], copy_of(lines[1]), lines[1], *lines[2:]]
    receive(store, received)
    assert store.path(KEY).read_text().splitlines() == [lines[0], copy_of(lines[1]), *lines[2:]]
    assert store.path(KEY) == store.directory / "c1" / "01JZ0000000000000000000000.ndjson"
    assert stat.S_IMODE(store.path(KEY).stat().st_mode) == 0o600


@pytest.mark.parametrize("stored", range(6))
def test_a_run_goes_on_after_a_restart(store: Store, stored: int):
    lines = a_run(3).lines
    receive(store, lines[:stored])
    run = receive(store, [copy_of(line) for line in lines]).runs[KEY]
    assert run.comparison is not None
    assert run.comparison.whole
    assert len(store.path(KEY).read_text().splitlines()) == len(lines)


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_cut_line_is_cut_off(store: Store, cut: int):
    lines = a_run(3).lines
    receive(store, lines[:3])
    os.truncate(store.path(KEY), store.path(KEY).stat().st_size - cut)
    assert store.recall(KEY).next == 3
    run = receive(store, lines).runs[KEY]
    assert run.comparison is not None
    assert run.comparison.whole
    assert store.path(KEY).read_text().splitlines() == lines


def test_what_somebody_wrote_into_the_file_shows(store: Store):
    lines = a_run(3).lines
    receive(store, lines[:3])
    store.path(KEY).write_text(store.path(KEY).read_text().replace("line 1", "line X"))
    run = receive(store, lines).runs[KEY]
    assert run.comparison is not None
    assert run.comparison.problems == ("sha256 differs",)


@given(stored=st.integers(0, 7), copies=st.sets(st.integers(0, 7)), lost=st.none() | st.integers(0, 5))
def test_a_run_that_goes_on_from_its_state_ends_as_one_that_was_read(stored: int, copies: set[int], lost: int | None):
    lines = a_run(5).lines
    received = [copy_of(line) if at in copies else line for at, line in enumerate(lines) if at != lost]
    with TemporaryDirectory() as directory, closing(Store(Path(directory))) as store:
        state = receive(store, received[:stored]).runs[KEY].state if received[:stored] else Run(KEY).state
        if state is None:
            return  # it has ended
        assert state.stored == store.size(KEY)
        resumed = Run.resumed(KEY, msgspec.json.decode(msgspec.json.encode(state), type=RunState))
        for text in received[stored:]:
            message = parse(text)
            assert message is not None
            if message.is_last:
                assert resumed.take_hash(store.hashed(KEY))
            assert message.seq is not None
            resumed.accept(message, message.seq, text)
            store.append(KEY, text)
        read = store.recall(KEY)
    assert resumed.comparison == read.comparison
    assert resumed.comparison is not None
    assert resumed.comparison.whole == (lost is None)


def test_a_link_is_not_followed(store: Store, tmp_path: Path):
    target = tmp_path / "target"
    target.write_text("mine\n")
    store.path(KEY).parent.mkdir()
    store.path(KEY).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        store.append(KEY, "x")
    assert target.read_text() == "mine\n"


def test_one_directory_has_one_server(store: Store):
    with pytest.raises(AgentError, match="another `agent serve`") as caught:
        Store(store.directory)
    assert caught.value.exit == Exit.CONFIG


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentError, match="cannot keep runs in"):
        Store(tmp_path / "file" / "runs")
    with pytest.raises(AgentError, match="it is not a directory"):
        Store(tmp_path / "file")


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc/passwd", "a/b", "-rf", ".hidden", "a\0b", "ü", "x" * 300])
def test_no_name_leaves_the_directory(store: Store, name: str):
    path = store.path(RunKey(name, name))
    assert path.parent.parent == store.directory
    assert path.resolve().is_relative_to(store.directory.resolve())
    store.append(RunKey(name, name), "x")


@given(st.text(), st.text())
def test_different_names_give_different_files(one: str, other: str):
    assert (file_name(one) == file_name(other)) == (one == other)


PATCH = 'diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-"old" \\ ü\n+new\n'


def patch_log(**metadata: str) -> Event:
    return log("info", "the changes of this run", kind="patch", **metadata)


def split(event: Event, size: int) -> list[Event]:
    """As the contract says: parts of the JSON of the data."""
    data = event.data.decode()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    metadata = {"source": "agent", "kind": "patch"}
    return [
        Event(
            "LOG",
            (
                encode_json(
                    {
                        "level": "info",
                        "message": f"part {i} of {len(pieces)}",
                        "metadata": {**metadata, "part": {"id": "1", "i": i, "n": len(pieces), "text": piece}},
                    }
                ),
            ),
            "info",
            "part",
        )
        for i, piece in enumerate(pieces, 1)
    ]


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_a_split_patch_is_joined(store: Store, size: int):
    written = Written().add(log("info", '"kind":"patch"'), *split(patch_log(text=PATCH), size)).complete()
    receive(store, written.lines)
    path = store.write_patch(KEY)
    assert path == store.directory / "c1" / "01JZ0000000000000000000000.patch"
    assert path.read_text() == PATCH


def test_a_patch_in_one_message(store: Store):
    receive(store, Written().add(patch_log(text=PATCH)).complete().lines)
    path = store.write_patch(KEY)
    assert path is not None
    assert path.read_text() == PATCH


def test_a_patch_that_is_not_utf8(store: Store):
    content = b"\xff\xfe-old\n+new\n"
    encoded = patch_log(text=base64.b64encode(content).decode(), encoding="base64")
    receive(store, Written().add(encoded).complete().lines)
    path = store.write_patch(KEY)
    assert path is not None
    assert path.read_bytes() == content


def test_what_is_no_whole_patch_writes_nothing(store: Store):
    parts = split(patch_log(text=PATCH), 20)
    written = Written().add(
        log("info", "no text", kind="patch"),
        log("info", "somebody else's", source="git", kind="patch", text="x"),
        log("info", "not base64", kind="patch", text="!", encoding="base64"),
        *parts[:2],
        *parts[3:],
    )
    receive(store, written.complete().lines)
    assert store.write_patch(KEY) is None
    assert not list(store.directory.rglob("*.patch*"))


def test_what_claude_printed_is_no_patch(store: Store):
    inner = json.dumps({"metadata": {"source": "agent", "kind": "patch", "text": "evil"}}, separators=(",", ":"))
    data = b'{"level":"info","message":"x","metadata":{"source":"claude","kind":"text","claude":%s}}' % inner.encode()
    receive(store, Written().add(Event("LOG", (data,), "info", "x", "claude")).complete().lines)
    assert store.write_patch(KEY) is None
