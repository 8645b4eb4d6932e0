"""The same afternoon's work in Python with the packages that the agent is built on: what they cost before any of ours.

trio-websocket's `send_message` for each line, and nothing on disk, redacted, numbered or sent again. Its start is the
least that a program with these packages can have.
"""

import os
import subprocess
from functools import partial

import msgspec
import statemachine  # noqa: F401  (an agent of these packages cannot start without it)
import trio
from trio_websocket import open_websocket_url


class Head(msgspec.Struct):
    type: str = ""


async def main() -> None:
    decode = msgspec.json.Decoder(Head).decode
    async with open_websocket_url(os.environ["WS_SERVER"]) as server:
        await server.send_message('{"type":"STATUS","data":{"status":"running"}}')
        async with trio.open_nursery() as nursery:
            argv = [os.environ["CLAUDE_BIN"], "-p", "--output-format", "stream-json", "--verbose"]
            claude = await nursery.start(partial(trio.run_process, argv, stdin=b"task", stdout=subprocess.PIPE))
            rest = b""
            async for chunk in claude.stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    head = b'{"type":"LOG","data":{"level":"info","message":"%s","metadata":{"claude":'
                    await server.send_message((head % decode(line).type.encode() + line + b"}}}").decode())
        await server.send_message('{"type":"COMPLETE","data":{"exitCode":0}}')


trio.run(main)
