"""Delivery: from the journal to the server, over as many connections as it takes.

The server may be slow, silent, restarted or away for half an hour; the run does not notice. The sender reads behind the
journal, and goes on after each lost connection from the first message that is not confirmed.

What this room promises:

- Every journalled message is sent, in order, until it is confirmed. Nothing is sent twice over one connection.
- A message is confirmed by an ack where the server acknowledges (level 1), and otherwise by the PONG to a PING that was
  sent behind it (level 0). A write to the socket proves nothing.
- A message that may have left before is marked `redelivered`, so that a server can tell a copy.
- A frame is sent whole, or the connection is dead. A cancelled send never leaves half a frame in a living stream.
- Every wait has a bound: the handshake, a send, a PONG, a close, the silence of a server that used to acknowledge.
- What the network does becomes a ConnectionLost with one sentence for a person, and never the end of a run. Only a gate
  (`run(gate)`) gives up, and only before the server has confirmed anything.

How the files fit together:

    sender            Sender: one connection after the other, back-off, the gate
    session           Session: one connection's writer, barrier (PING) and receiver
    absence           what is said of a server that is away, and when
    window            what is in flight on a connection
    fit               the length of frames and messages that the server takes
    pace              what the next connection needs to know: window, patience, whether the server acknowledges
    connection        Endpoint and Connection: handshake, flush, ping, close; the hazards of trio-websocket
    connection_lost   ConnectionLost, and the sentence for whatever the network raised
    proxy             the tunnel through a proxy; agent/proxies.py finds the one that the environment names
    tap               the stream on which the library's frames and ours meet
    frames            our text frames, a batch at a time
    eager_stream      a TCP stream that does not yield while the kernel takes more

Whoever appends to the journal sends: `Journal.append` sets the pulse, and Session answers it by sending as much as the
window and the kernel take without waiting. The writer task only flushes what is left (docs/performance.md).

Callers: run/ builds the sender of a run (Link) and delivers dead runs (salvage); commands/ connects for `agent check`.
"""

from __future__ import annotations

from agent.delivery.connection import Endpoint, OpenStream, connect
from agent.delivery.connection_lost import ConnectionLost
from agent.delivery.proxy import open_tunnel
from agent.delivery.sender import Sender
from agent.delivery.session import Listener

__all__ = ["ConnectionLost", "Endpoint", "Listener", "OpenStream", "Sender", "connect", "open_tunnel"]
