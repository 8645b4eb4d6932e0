"""The bound of the machine: claude's bytes from its pipe to the socket inside the kernel. No line, frame or message."""

import os
import socket
import subprocess
from urllib.parse import urlsplit

server = urlsplit(os.environ["WS_SERVER"])
stream = socket.create_connection((server.hostname, server.port))
child = subprocess.Popen([os.environ["CLAUDE_BIN"], "-p"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
assert child.stdout is not None
while os.splice(child.stdout.fileno(), stream.fileno(), 1 << 20):
    pass
stream.close()
child.wait()
