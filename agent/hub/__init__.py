"""The hub, `agent serve`: agents in, store, people and programs out. One process, one port.

The receiver takes what agents send and stores it; this room makes rows and an index of it, and serves both over HTTP.
The runs' files are the truth: everything else here can be made again from them. Its dependencies are the extra `hub`,
and nothing of the container agent imports it.

Promises
    1. A watcher sees each stored message once, in the order of its numbers, over lost connections and restarts.
    2. A watcher holds a position in a file, not a queue: one that reads slowly costs nobody else anything.
    3. Memory is bounded by the runs that move, not by what is stored.
    4. Whoever has no right is refused before anything is read, and each refusal says what to do.

Files
    command.py    `agent serve`: view, signals, exit status
    options.py    its options and tokens
    listen.py     everything opened and closed in the right order
    port.py       one port: the head of a request decides who serves the connection
    hub.py        follows the receiver, keeps rows and index up to date
    fleet.py      the rows that move, and who is woken by what
    index.py      SQLite: lists and searches of all runs
    rebuild.py    rows made again from the runs' files
    lines.py      stored messages from any number on
    vitals.py     resources of runs over time
    events.py     server-sent events: a run, the fleet
    api.py        the HTTP API; docs/hub.md describes it
    session.py    logging in and out
    parameters.py what a request asks for, checked
    answers.py    answers and their headers
    openapi.py    the same for programs: openapi.json
    access.py     tokens, rights, cookies, without I/O
    guard.py      decides on an HTTP request
    commands.py   commands of operators on their way to an agent
    subscribe.py  clients of the original server
    assets.py     the files of the page
    retention.py  removal of old runs
    notify.py     POSTs when a run ends or needs somebody
    metrics.py    what Prometheus reads
    watch.py      `agent watch`
    steer.py      `agent tell`, `interrupt`, `answer`, `cancel`
    client.py     a hub's API for programs
    secrets.py    tokens from variables and files
    garbage.py    collection and threads that hold nobody up
"""

from __future__ import annotations

__all__ = ["client", "command", "secrets", "steer", "watch"]
