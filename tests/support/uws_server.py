"""A plain server: uWebSockets, level 0. By its default it takes messages of 16 KiB, and at a longer one just breaks.

.tools/uws/bin/python uws_server.py FILE PORT       a PORT of 0 lets it choose
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from socketify import App  # type: ignore[import-not-found]  # in an environment of its own


def main(path: str, port: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def store(ws: Any, message: str, opcode: Any) -> None:
        os.write(file, message.encode() + b"\n")

    if port == 0:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    app = App()
    app.ws("/*", {"message": store, "close": lambda ws, code, reason: print(f"closed: {code} {reason}", flush=True)})
    app.listen(port, lambda _: print(f"listening on ws://127.0.0.1:{port}", flush=True))
    app.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
