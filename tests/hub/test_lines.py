"""Positions in files of any shape, held against a plain reading."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from agent.hub.lines import Line, Position, Positions, read


def numbered(path: Path, numbers: list[int], *, long: int = 0) -> list[bytes]:
    texts = [json.dumps({"seq": n, "x": "y" * (n * 37 % 400 + long)}).encode() for n in numbers]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return texts


def all_from(path: Path, position: Position) -> list[Line]:
    found = []
    while lines := read(path, position, 5000):
        found += lines
        position = Position(lines[-1].end, lines[-1].number)
    return found


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1500])
def test_every_look_up_agrees_with_the_whole_file(tmp_path: Path, count: int):
    chance = random.Random(count)
    numbers = sorted(chance.sample(range(1, 2 * count + 2), count))
    path = tmp_path / "run"
    texts = dict(zip(numbers, numbered(path, numbers), strict=True))
    positions = Positions()
    for _ in range(60):
        number, most = chance.randrange(2 * count + 5), chance.randrange(1, 700)
        after = all_from(path, positions.after(path, number))
        assert [line.number for line in after] == [n for n in numbers if n > number]
        assert [line.text for line in after] == [texts[line.number] for line in after]
        before = [line for line in all_from(path, positions.before(path, number, most)) if line.number < number]
        assert [line.number for line in before] == [n for n in numbers if n < number][-most:]


def test_a_line_longer_than_a_read_comes_whole(tmp_path: Path):
    texts = numbered(tmp_path / "run", [1, 2], long=20_000)
    assert [line.text for line in all_from(tmp_path / "run", Position())] == texts


def test_a_line_that_is_being_written_is_not_seen_yet(tmp_path: Path):
    path = tmp_path / "run"
    numbered(path, [1])
    with path.open("ab") as file:
        file.write(b'{"seq":2')
    assert [line.number for line in all_from(path, Position())] == [1]
    positions = Positions()
    assert positions.after(path, 1).number == 1
    with path.open("ab") as file:
        file.write(b"}\n")
    assert [line.number for line in all_from(path, positions.after(path, 1))] == [2]


def test_lines_without_numbers_are_counted(tmp_path: Path):
    path = tmp_path / "run"
    path.write_bytes(b'{"a":1}\nno json\n{"a":3}\n')
    assert [line.number for line in all_from(path, Position())] == [1, 2, 3]
    assert Positions().after(path, 2).number == 2


def test_only_the_files_looked_at_last_are_remembered(tmp_path: Path):
    positions = Positions(capacity=2)
    for name in "abc":
        numbered(tmp_path / name, [1, 2, 3])
        positions.after(tmp_path / name, 2)
    assert [path.name for path in positions._marks] == ["b", "c"]
    positions.forget(tmp_path / "b")
    assert [path.name for path in positions._marks] == ["c"]
