"""Whole runs of the agent in virtual time, on a network, a disk, a git and a claude that are made up from a seed.

Everything of the agent is real but the processes: supervisor, machine, reporter, journal, sender, readers, transcript,
watchdog, heartbeat, and trio-websocket at both ends of a connection. `python -m tests.simulation --help`.
"""
