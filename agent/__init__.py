"""A container agent that runs one Claude Code task and streams it, live and without loss, over a WebSocket."""

__version__ = "0.1.0"
