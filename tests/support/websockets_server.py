"""A small consumer that acknowledges: `websockets` from PyPI, level 1. Stores each event once, also when it is killed.

python -m tests.support.websockets_server FILE PORT        prints "listening on ws://127.0.0.1:PORT"
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve


class Consumer:
    def __init__(self, path: Path) -> None:
        self.next: dict[tuple[str, str], int] = {}
        self._recall(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _recall(self, path: Path) -> None:
        """What a killed predecessor stored; the line that it may have cut was not acknowledged."""
        if not path.exists():
            return
        whole = path.read_bytes().rpartition(b"\n")[0]
        os.truncate(path, len(whole) + bool(whole))
        for line in whole.splitlines():
            message = json.loads(line)
            self.next[message["containerID"], message["runID"]] = message["seq"] + 1

    async def consume(self, connection: ServerConnection) -> None:
        unacknowledged = None
        async for text in connection:
            message = json.loads(text)
            run = message["containerID"], message["runID"]
            expected = self.next.get(run, 1)
            seq = message.get("seq", 0)
            if seq >= expected:
                os.write(self._file, text.encode() + b"\n")
                self.next[run] = expected = seq + 1
            unacknowledged = 100 if unacknowledged is None else unacknowledged + 1
            if unacknowledged >= 100 or message["type"] in ("HEARTBEAT", "COMPLETE"):
                await connection.send(json.dumps({"type": "HEARTBEAT", "runID": run[1], "ack": expected - 1}))
                unacknowledged = 0


async def main(path: str, port: str) -> None:
    async with serve(Consumer(Path(path)).consume, "127.0.0.1", int(port)) as server:
        print(f"listening on ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
