"""The bench itself: its lines, its receiver, and one short run in which nothing may be lost."""

import importlib
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import corpus, sink
from benchmarks.chart import bars, curve


def test_lines_have_the_mix_and_are_json() -> None:
    lines = list(corpus.lines(2000))
    assert [json.loads(line)["type"] for line in (lines[0], lines[-1])] == ["system", "result"]
    assert {json.loads(line)["uuid"][-12:] for line in lines} == {f"{number:012}" for number in range(2000)}
    sizes = sorted(len(line) for line in lines)
    assert sizes[1000] < 1000 < 2048 * 0.9 < sizes[1400] < 4500 < sizes[1850] < 25_000 < 150_000 < sizes[-5]
    assert 0.85 < sum(not line.isascii() for line in lines) / len(lines) < 0.99


def tally(tmp_path: Path, count: int = 5) -> tuple[sink.Tally, list[bytes]]:
    path = tmp_path / "corpus"
    corpus.write(path, count)
    return sink.Tally(sink.Corpus(path)), path.read_bytes().splitlines()


def message(line: bytes, seq: int, end: bytes = b"}") -> bytes:
    return b'{"type":"LOG","data":{"metadata":{"claude":%s}},"runID":"r","seq":%d%s' % (line, seq, end)


def test_the_sink_takes_what_is_right(tmp_path: Path) -> None:
    seen, lines = tally(tmp_path)
    for seq, line in enumerate(lines, 1):
        seen.message(message(line.replace(b'"sent":"0000000000000000000"', b'"sent":"0000000000000000007"'), seq))
    seen.message(message(lines[3], 4, b',"redelivered":true}'))
    assert (seen.lines, seen.problems, seen.copies, len(seen.latencies)) == (5, [], 1, 5)


@pytest.mark.parametrize("order", [(0, 2, 3, 4), (0, 1, 1, 2), (0, 2, 1, 3)])
def test_the_sink_notices_loss_doubles_and_disorder(tmp_path: Path, order: tuple[int, ...]) -> None:
    seen, lines = tally(tmp_path)
    for seq, number in enumerate(order, 1):
        seen.message(message(lines[number], seq))
    assert seen.problems


def test_the_sink_notices_a_changed_byte(tmp_path: Path) -> None:
    seen, lines = tally(tmp_path)
    seen.message(message(lines[0].replace(b"workspace", b"workspacE"), 1))
    assert seen.problems == ["line 0 is changed"]


def test_charts_are_svg_with_numbers_that_people_write() -> None:
    most = [("x", {"agent": 1_234_567.0, "node": 0.00123}), ("y", {"agent": 0.0})]
    for picture in (bars(most), curve("x", "y", [(1, 2), (1e6, 3.5e7)])):
        assert picture.startswith("<svg")
        assert picture.endswith("</svg>\n")
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        texts = "".join(re.findall(r">([^<>]+)</text>", picture))
        assert not re.search(r"\de[+-]|…", texts), texts
    assert "agent  1,234,567" in bars(most)
    assert bars(most) == bars(most), "drawn again, it is the same"


@pytest.mark.system
def test_the_agent_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import peers, run

    # The tests' own interpreter: the bench's is installed by the bench.
    monkeypatch.setattr(peers.AGENT, "argv", lambda: [sys.executable, "-m", "agent"])
    path = tmp_path / "corpus"
    corpus.write(path, 2_000)
    for case in (run.Case(path), run.Case(path, outage=0.5)):
        result = run.measure(peers.AGENT, case, tmp_path)
        assert (result.problems, result.lines) == ([], 2_000)


def test_the_library_of_the_charts_leaves_imports_as_they_were() -> None:
    assert [finder for finder in sys.meta_path if not hasattr(finder, "find_spec")] == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("there_is_no_such_module")
