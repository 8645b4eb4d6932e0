"""The page that `make drift` prints, for two small programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import drift


def program(path: Path, code: str, help: str) -> Path:
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{help}\nEND\nexit\n{code}\n")
    path.chmod(0o755)
    return path


def test_what_differs_is_named_and_what_does_not_is_one_line(tmp_path: Path) -> None:
    old = program(tmp_path / "old", 'new Option("-p, --print") subtype:a.literal("init") process.env.HOME', "usage")
    new = program(tmp_path / "new", 'x.option("--fanfare <n>") subtype:b("init"),subtype:b("fanfare") process.env.HOME',
                  "usage\n  --fanfare")  # fmt: skip
    assert list(drift.compare(old, new)) == [
        "types of messages: 0, the same",
        "options: 1, 1 new, 1 gone", "  + --fanfare", "  - --print",
        "messages and control requests: 2, 1 new, 0 gone", "  + fanfare",
        "variables: 1, the same",
        "help:", "  +  --fanfare",
    ]  # fmt: skip
    assert list(drift.compare(old, old))[-1] == "help: the same"


def test_a_pin_that_is_the_newest_is_compared_with_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drift.install_claude, "npm", lambda *arguments: f"{drift.install_claude.VERSION}\n")
    monkeypatch.setattr(drift.install_claude, "install", lambda *arguments: pytest.fail("a hundred megabytes"))
    monkeypatch.setattr("sys.argv", ["drift.py"])
    assert drift.main() == 0
    assert capsys.readouterr().out.endswith("is the newest: nothing differs\n")


def test_the_types_are_those_that_a_session_writes() -> None:
    program = (
        b'a=p(()=>u({type:P("assistant"),uuid:g(),session_id:r()})),b=p(()=>u({type:P("keep_alive")})),'
        b'c=p(()=>u({type:P("stream_event"),event:E()})),d=p(()=>z("op",[u({type:P("counter"),uuid:g(),session_id:r()})])),'
        b'e=p(()=>o([a(),c()])),f=p(()=>o([e(),b(),h()])),i=p(()=>u({type:P("goes_in")})),j=p(()=>o([b(),i()])),'
        b'b=p(()=>u({type:P("array")}))'
    )
    assert drift.message_types(program) == {"assistant", "stream_event", "keep_alive", "counter"}
