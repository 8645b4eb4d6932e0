"""The receiving end: a WebSocket server that shows runs, keeps them, and checks that nothing is missing."""

from agent.receiver.command import main as main
from agent.receiver.listen import open_receiver as open_receiver
from agent.receiver.server import Receiver as Receiver

__all__ = ["main"]
