"""A journal for a server that takes no long messages: what waits becomes shorter, and so does what comes."""

from __future__ import annotations

import sys

from agent.journal.gaps import SENT_AGAIN, TOO_LONG
from agent.journal.parts import join, siblings
from agent.journal.writer import Writer
from agent.limits import MIB
from agent.protocol import LOG
from agent.text import count

#: Bytes that are looked at together.
_AT_ONCE = MIB


def narrow(writer: Writer, message_limit: int, *, refused: bool) -> tuple[int, int]:
    """Fit a server that takes no longer message: all that is unconfirmed, and all that comes, becomes that short.

    A LOG that is too long leaves a gap and is appended again, in parts; any other message is cut. COMPLETE moves
    behind them, if it was never sent, or the server has `refused` one of the long messages before it. If it may
    have arrived, the LOGs are lost, and COMPLETE tells of it. Returns how many messages are sent again, and how
    many are lost.
    """
    encoder, backlog = writer.encoder, writer.backlog
    encoder.narrow(message_limit)
    going: set[int] = set()
    after, fits = backlog.confirmed_seq, True
    while records := backlog.read(after, _AT_ONCE, sys.maxsize):
        for record in records:
            if len(record.message) > message_limit:
                fits = False
                going.update(siblings(record) if record.type == LOG.name else (record.seq,))
        after = records[-1].seq
    if fits:
        return 0, 0
    writer.totals.forget_hash()
    stays = writer.completed and not (refused or backlog.sent_seq < writer.last_seq)
    shed = backlog.shed(going, encoder.shortened, TOO_LONG if stays else SENT_AGAIN)
    if stays:
        backlog.replace_last(encoder.completed_anew(backlog.last, writer.totals.stream(writer.last_seq)))
        if shed:
            words = f"{count(len(shed), 'message')} lost, since the server takes none so long"
            backlog.store.problems.append(words)
        return 0, len(shed)
    again = list(join(shed))
    end = encoder.end_of(backlog.last) if writer.completed else None
    if end is not None:
        writer.take_back_last()
    for data in again:
        writer.append_parts(data)
    if end is not None:
        writer.append_last(end)
    return len(again), 0
