"""The fuzz targets hold for some thousand inputs, and find what is planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.transcript import transcript
from tests import fuzz


@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_nothing_breaks(target: str) -> None:
    tried, found = fuzz.fuzz(target, seed=1, seconds=60, count=1500)
    assert found is None
    assert tried == 1500


def test_a_seed_gives_the_same_inputs() -> None:
    first, second = (fuzz.random.Random(7) for _ in range(2))
    for target in fuzz.TARGETS:
        assert fuzz.mutated(target, first) == fuzz.mutated(target, second)


def test_a_find_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = transcript.Transcript.feed

    def broken(self: transcript.Transcript, line: bytes) -> Any:
        if b"\xff" in line:
            raise ZeroDivisionError
        return feed(self, line)

    monkeypatch.setattr(transcript.Transcript, "feed", broken)
    tried, found = fuzz.fuzz("transcript", seed=1, seconds=60)
    assert found == b"\xff"
    assert tried > 1


def test_a_find_is_told_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(data: bytes) -> None:
        json.loads(data)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(fuzz.TARGETS, "inbound", broken)
    monkeypatch.setattr("sys.argv", ["fuzz", "inbound", "--seed", "3"])
    assert fuzz.main() == 1
    assert "python -m tests.fuzz inbound --input fuzz-inbound-3" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["fuzz", "inbound", "--input", "fuzz-inbound-3"])
    with pytest.raises(ValueError, match=r"Expecting|Extra|Invalid|decode"):
        fuzz.main()
