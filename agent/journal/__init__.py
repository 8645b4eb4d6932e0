"""The journal: every message of a run, numbered in order, kept until the server has it.

A run costs dollars and half an hour, and its server may be away for most of that time. The journal stands between the
two. Producers append and go on at once; delivery reads behind them at the server's pace, or after the agent's death in
another process.

Promises
    1. `append` never waits for the network and never fails because of the disk. A disk that refuses costs memory, then
       the oldest messages, never the run.
    2. Messages are numbered 1, 2, 3 ... in the order of `append`. A number is never given twice.
    3. A message stays until it is confirmed, or it is dropped and announced: a gap marker stands in its place, and
       COMPLETE.stream counts it. Nothing goes silently.
    4. Everything appended survives the agent's death by any signal, because the page cache does. It does not survive
       the death of the node: nothing is fsynced.
    5. Size is bounded: JOURNAL_LIMIT bytes in all, a few segments of them in memory. A run without a directory is
       bounded by `limits.memory_journal_bytes`. Only what may never be dropped can exceed that.

Terms
    record      One numbered wire message, as bytes without its newline, exactly as first written.
    segment     Neighbouring records, in one file. The newest is the active one; only it is appended to.
    gap marker  A record in place of lost ones. It stands for the numbers from its `first` to its own.
    keeper      A record that is never dropped: its kind is not droppable, its event said `keep`, or it is a
                marker (markers that meet become one).
    spare       A record that may be dropped and is not a LOG.
    split       The parts of one long LOG, under consecutive numbers; a keeper is cut instead.
    settled     Said of a segment from which everything that may be dropped has been dropped.
    sent        `sent_seq`: numbers up to here may be on their way to the server, even partly.
    confirmed   `confirmed_seq`: numbers up to here are the server's; whole segments of them are freed.

Invariants
    1. The records tile the numbers: from the first segment's `first` to `last_seq`, each number belongs to exactly one
       record, which is its own or a marker. `confirmed_seq` <= `sent_seq` <= `last_seq`.
    2. What may have been sent never changes. Only numbers above `sent_seq` are dropped, oldest first, so that a copy is
       byte for byte what went out before. The one exception: a disk that cannot be read back.
    3. A split is dropped as a whole or not at all, and not once its first part may have been sent.
    4. COMPLETE is the last record. Nothing is appended after it, and nothing is dropped: its totals stay true.
    5. A segment's file holds the beginning of the segment. While it holds less than all, every record of the segment is
       in memory. Keepers are in memory until they are confirmed, so that no bad block takes an ERROR or COMPLETE.
    6. What is read back is checked: by CRC-32 where this process wrote it, else line by line. Unreadable numbers
       become a marker with the reason `journal_unreadable`.
    7. One process at a time holds a run: the lock of its directory.

On disk
    JOURNAL_DIR/<runID>/                 mode 0700; every file 0600, opened below the directory's descriptor
        run.json                         whose run it is, and of which version of the agent
        lock                             flock; held for as long as a process writes or delivers the run
        00000000000000000001.ndjson      a segment, named by its first number; one message a line

    run.json is written last and removed first: without it the directory is no run, so nobody adopts half of one.
    Appending is one write(2) at the end of a file; a write that fails in part is truncated away. Dropping rewrites a
    file in place, since a full disk has no room for a second one. A kill in between leaves a torn line, or old lines
    whose numbers do not rise: readers skip both.

A message's way
    append: redact, number, wrap (writer.py; parts.py if it is too long) -> count (totals.py) -> hold (backlog.py) ->
    active segment (segments.py) -> memory and file (segment.py, run_directory.py). Then `pulse` wakes delivery, which
    calls read, sent and confirm. When the journal is too large or its disk refuses, backlog.py settles the oldest
    segments that are unsent, and joins neighbours, so that a long outage leaves few files and few markers (gaps.py).

Files
    journal.py        Journal, the face: append, read, sent, confirm, close or remove
    writer.py         numbers what is appended
    encoder.py        an event's way into records
    parts.py          a message that is too long: split or cut
    narrowing.py      everything shorter, for a server that takes no long messages
    totals.py         the figures of COMPLETE.stream
    backlog.py        what is not confirmed: read, confirm, drop, adopt
    gaps.py           gap markers; pure functions over lists of records
    record.py         Record, and how records are found again in a file
    segments.py       all segments: which are in memory, on the disk, freed
    segment.py        one segment
    run_directory.py  every system call on files
    orphans.py        runs whose agent died: found, locked, completed

Callers
    Everything here is synchronous and for one task at a time; there is no lock within a process, and no Trio below
    `pulse`. The reporter alone appends. A session of delivery reads, tells what it has sent, and confirms. `orphans` is
    for the salvage at the start of a run and for `agent flush`. Whoever opened a journal ends it: `remove` when all is
    confirmed, else `close`, which leaves the run for a later delivery.
"""

from __future__ import annotations

from agent.journal import orphans
from agent.journal.journal import Journal
from agent.journal.record import Record
from agent.journal.run_directory import is_run

__all__ = ["Journal", "Record", "is_run", "orphans"]
