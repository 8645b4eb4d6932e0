"""The receiver: the WebSocket side of `agent serve`. It stores runs, shows them, and checks that nothing is missing.

It is the reference consumer of docs/protocol.md. It trusts no client: a message may be anything, a connection may be
slow, silent or torn, and neither may disturb another run.

Promises
    1. Each numbered message of a run is stored once, in the order of its numbers, exactly as it came.
    2. A message is acknowledged only after it is stored and fdatasync has returned, or without a store at once.
    3. At COMPLETE each run is compared with what its agent says it sent: `Comparison` names every difference.
    4. Kinds and fields of a later agent are stored, shown and counted, though this receiver does not know them.
    5. Memory is bounded: `limits.receiver_runs` runs, `receiver_connections` connections, and one message of each.

A message's way
    server.py takes a text from a connection -> intake.py asks consumer.py: new, copy, unnumbered or malformed?
    (messages.py reads it, run.py keeps the run's figures) -> store.py appends it -> view.py shows it -> server.py
    acknowledges.

Files
    server.py    connections, acknowledgements
    admission.py  who may connect, without I/O
    link.py      the server's end of one WebSocket
    turns.py     the loop shared fairly
    intake.py    from texts to what is stored
    plain.py     names for the runs of senders that give none
    consumer.py  the consumer's rules, without I/O
    messages.py  a message, read leniently
    open_lists.py  a row's questions and to-do list
    run.py       one run as received, and its comparison with COMPLETE
    store.py     files of all runs
    view.py      lines for a person, or JSON
    board.py     a run on the terminal's board
    growing.py   the end of what claude is writing
    row.py       a run in one row, without I/O
    phrases.py   fields of messages in words
"""

from agent.receiver.board import asked, task_of
from agent.receiver.consumer import Accepted, Duplicate, Malformed, Step, Unnumbered
from agent.receiver.link import Link, LinkClosed
from agent.receiver.messages import Message, RunKey, parse
from agent.receiver.row import ENDED, VITALS, Row, State
from agent.receiver.run import Run, RunState
from agent.receiver.server import Receiver, Serve
from agent.receiver.store import Store, file_name
from agent.receiver.turns import Turns
from agent.receiver.view import JsonView, TextView, View

__all__ = [
    "ENDED",
    "VITALS",
    "Accepted",
    "Duplicate",
    "JsonView",
    "Link",
    "LinkClosed",
    "Malformed",
    "Message",
    "Receiver",
    "Row",
    "Run",
    "RunKey",
    "RunState",
    "Serve",
    "State",
    "Step",
    "Store",
    "TextView",
    "Turns",
    "Unnumbered",
    "View",
    "asked",
    "file_name",
    "parse",
    "task_of",
]
