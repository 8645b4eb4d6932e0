"""delivery."""

from __future__ import annotations

from agent.delivery.connection import Endpoint, OpenStream, connect
from agent.delivery.connection_lost import ConnectionLost
from agent.delivery.sender import Sender
from agent.delivery.session import Listener

__all__ = ["ConnectionLost", "Endpoint", "Listener", "OpenStream", "Sender", "connect"]
