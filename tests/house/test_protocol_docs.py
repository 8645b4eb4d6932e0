"""docs/protocol.md says what the code does, and its consumers run."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
import trio
from trio_websocket import WebSocketConnection, connect_websocket_url

from agent.exits import Exit
from agent.protocol.events import log
from agent.protocol.kinds import KINDS
from agent.protocol.schema import FromServer, render, schema
from tests.support.places import ROOT
from tests.support.runs import Written, copy_of
from tests.support.servers import WS_MODULES, node_env
from tools import kinds_table

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()


def block(comment: str, language: str) -> str:
    found = re.search(rf"<!-- {re.escape(comment)} -->\n```{language}\n(.*?)```\n", DOCUMENT, re.DOTALL)
    assert found is not None, comment
    return found[1]


def test_the_schema_s_file_is_the_code_s():
    file = ROOT / "agent" / "protocol" / "schema.json"
    assert file.read_text() == render() + "\n", "run `python -m agent.protocol.schema >agent/protocol/schema.json`"
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_table_of_kinds_is_the_code_s():
    table = DOCUMENT.partition("<!-- kinds -->\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == list(KINDS)
    for name, numbered, dropped, too_long, counted in rows:
        kind = KINDS[name]
        assert numbered.split(":")[0].split(",")[0] == ("yes" if kind.numbered else "no"), name
        assert ("the last" in numbered) == kind.last, name
        if kind.numbered:
            assert (dropped != "never") == kind.droppable, name
            assert too_long == ("split" if kind.split else "cut"), name
            assert counted == ("yes" if kind.counted else "no"), name


def test_the_table_of_claude_s_kinds_is_the_code_s():
    table = DOCUMENT.partition("<!-- claude kinds -->\n")[2].partition("\n\n")[0]
    assert table == kinds_table.table(), "print it with `python -m tools.kinds_table`"


def test_the_module_prints_the_schema():
    printed = subprocess.run(
        [sys.executable, "-m", "agent.protocol.schema"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert json.loads(printed.stdout) == schema()


def test_the_exit_codes_are_the_code_s():
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", DOCUMENT, re.MULTILINE)
    assert {int(code): name for code, name in rows} == {int(exit): exit.name.lower() for exit in Exit}


def test_the_examples_in_the_text_are_messages():
    examples = [json.loads(text) for text in re.findall(r"^(\{\"type\":.*\})$", DOCUMENT, re.MULTILINE)]
    ours, theirs = examples[:2], examples[2:]
    assert len(theirs) == 5
    for example in ours:
        jsonschema.validate(example, schema())
    for example in theirs:
        jsonschema.validate(example, {**schema(), "$ref": "#/$defs/FromServer"})
        msgspec.convert(example, FromServer)


async def test_the_consumer_in_python(tmp_path: Path):
    pytest.importorskip("websockets")
    await check_consumer([sys.executable], "consumer.py", "python", tmp_path)


@pytest.mark.node
async def test_the_consumer_in_javascript(tmp_path: Path):
    node = shutil.which("node")
    if node is None or not WS_MODULES.is_dir():
        pytest.skip("needs node and the ws package: python tools/install_ws.py")
    await check_consumer([node], "consumer.js", "javascript", tmp_path)


async def check_consumer(interpreter: list[str], name: str, language: str, directory: Path) -> None:
    """Feed it a run with a copy, an announced gap and a hole, over two connections."""
    program, stored, errors = directory / name, directory / "stored", directory / "errors"
    program.write_text(block(f"example: {name}", language))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    written = Written().add(*(log("info", f"line {number}") for number in range(3))).drop(4)
    lines = written.add(log("info", "lost"), log("info", "8 is not here")).complete().lines
    with errors.open("wb") as output:
        process = subprocess.Popen([*interpreter, program, stored, str(port)], stderr=output, env=node_env())
    try:
        acks = await send(port, [*lines[:3], written.heartbeat()])
        assert acks == [1, 2, 3, 3]
        acks = await send(port, [copy_of(lines[1]), copy_of(lines[2]), lines[3], *lines[5:]])
        assert acks == [3, 3, 7, 9, 10]
    finally:
        process.kill()
        process.wait()
    assert stored.read_text().splitlines() == [*lines[:4], *lines[5:]]
    complaint = errors.read_text()
    assert "8 to 8 missing" in complaint
    assert complaint.count("missing") == 1


async def send(port: int, lines: list[str]) -> list[int]:
    """Send them one by one; returns what was acknowledged."""
    acks = []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            connection = await connect(nursery, port)
            for line in lines:
                await connection.send_message(line)
                acks.append(json.loads(await connection.get_message())["ack"])
            await connection.aclose()
    return acks


async def connect(nursery: trio.Nursery, port: int) -> WebSocketConnection:
    while True:
        try:
            return await connect_websocket_url(nursery, f"ws://127.0.0.1:{port}")
        except Exception:
            await trio.sleep(0.05)
