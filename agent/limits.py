"""Every capacity and every deadline of the agent that is not a variable of its own, each with its reason.

The configuration holds the Limits of a run, and hands them to everything that waits or stores: tests shorten them with
`msgspec.structs.replace(Limits(), ...)`, and no module makes its own. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

KIB: Final = 1024
MIB: Final = 1024 * KIB

# The form of the line that a person reads is the same in every run. These are constants and no fields of Limits, so
# that the dozens of functions which make such a line need no argument for them.
#: Length of the line for a person, in characters: about two lines of a terminal.
MESSAGE_CHARS: Final = 200
#: Characters of a text that the hub takes for claude: a request, and no file. Of four bytes each they are still fewer
#: than `command_bytes`.
COMMAND_CHARS: Final = 50_000
#: Bytes of a question that every view shows whole, since a person has to see what they allow. Of a longer one they show
#: the beginning and the end, with the length of what lies between, and it is not allowed for the whole run.
QUESTION_BYTES: Final = 16 * KIB
#: Characters of a line of such a question on a terminal, which is cut between its ends before.
SHOWN_CHARS: Final = QUESTION_BYTES + 200
#: Of such a question, characters of its arguments in its row, and of the name of each.
QUESTION_CUT_CHARS: Final = 2800
ARGUMENT_CHARS: Final = 40
#: Characters of the ID of a command or a question, and of the name of who sent it.
NAME_CHARS: Final = 200
#: Bytes of a string in a message of claude's that are read for that line: 200 characters of three bytes, some spaces.
EXCERPT_BYTES: Final = 640
#: The details of an ERROR: the end of claude's stderr, or the beginning of git's, in characters.
DETAILS_CHARS: Final = 4 * KIB
#: Lists and objects in a message of claude's (tools, to-do items, usage) are read up to this size.
VALUE_BYTES: Final = 64 * KIB
#: Lists and objects within each other in a line of claude's. Many parsers take 1,000, which twice this stays below.
NESTING: Final = 400


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a run, in groups by what they bound."""

    # --- configuration
    #: claude refuses more on its standard input.
    task_bytes: int = 10 * MIB
    #: A prompt, MCP_CONFIG, CLAUDE_ENV. They are passed as files or one by one, and no real one is this long.
    text_bytes: int = MIB
    #: A value of a single line may become an argument, and the kernel takes at most 128 KiB for one.
    line_value_bytes: int = 64 * KIB
    #: A variable's file, `.env`, TASKS_FILE: more than the longest task, and little enough if the path is wrong.
    config_file_bytes: int = 16 * MIB

    # --- start
    #: `claude --version` takes 10 ms; a cold image, a throttled processor or emulation takes many seconds.
    cli_check: float = 60.0
    #: What claude says when it is started to ask it about its options: 60 KB with many commands and agents.
    rehearsal_bytes: int = 4 * MIB
    #: Removing the private directories of killed runs, which are usually small. A large one is removed beside the run.
    stale_removal: float = 1.0
    #: How long a run that fails immediately waits for the server's first answer.
    first_answer: float = 5.0

    # --- claude's input
    #: A longer prompt is passed as a file: argument lists are public, and the kernel takes at most 128 KiB.
    argument_bytes: int = 4 * KIB
    #: A longer CLAUDE.md is hardly an instruction, and would fill the context.
    instructions_bytes: int = 256 * KIB
    #: Imports (`@path`) of CLAUDE.md and AGENTS.md, found or not: some have an `@` in each line, none this many.
    instructions_imports: int = 1000
    #: Imports within imports: as many levels as the CLI takes.
    instructions_depth: int = 4
    #: Lines that wait for a claude that does not read its input; what is more is refused.
    input_lines: int = 64
    #: A message of an operator: text, and no file. The connection takes no longer message than 1 MiB.
    command_bytes: int = 256 * KIB
    #: Characters of it that its acknowledgement repeats, which is in memory until the server has it; a longer one is in
    #: a LOG of its own.
    command_shown: int = 2000
    #: Accepted and not yet taken by claude: somebody who types never has so many.
    commands_under_way: int = 16
    #: In one run; all of them are remembered, so that none takes effect twice.
    commands: int = 1000
    #: As many more are refused in words: a server that sends without end must not fill journal and stderr.
    commands_refused: int = 1000
    #: Questions that are open at the same time: one for each tool call of a reply and its subagents.
    questions: int = 32
    #: A question that comes while the server is away waits this long for its return: a lost connection stands again
    #: within a few seconds, and a hub that is restarted too.
    ask_absence: float = 10.0
    #: Between the end of the API's limit, as it told it, and the next request: clocks differ by so much.
    limit_margin: float = 2.0
    #: Runs that were stopped by the same limit go on within this time, and not all in one second.
    limit_spread: float = 20.0
    #: Before the first new request to an API that told no time; then twice as long each time, up to the second. claude
    #: itself has tried for three minutes by then, and a request is cheap as long as it is refused.
    limit_pause: float = 60.0
    limit_pause_max: float = 900.0
    #: Not worth a wait of its own at the end of WAIT_FOR_LIMIT.
    limit_pause_min: float = 1.0
    #: claude is asked this often for cost and context: every third HEARTBEAT has new figures, and a reply has 15 KB.
    usage_interval: float = 30.0

    # --- what claude is writing (PARTIAL=1)
    #: Between two pieces of the same block: a few a second look alive, and one a delta would be thousands.
    partial_interval: float = 0.25
    #: Blocks that grow at the same time: one of the conversation and one of each subagent.
    partial_blocks: int = 64
    #: Characters of a block that may have to be held back, since no secret may be cut. With more the block is not shown
    #: while it grows; to search this for secrets takes a few milliseconds.
    partial_held: int = 16 * KIB
    #: Characters of one piece. A longer one is left out.
    partial_chars: int = 64 * KIB
    #: A running command's output is looked at this often.
    printed_interval: float = 0.5
    #: Its end that is read and redacted: more than the longest private key has, and little enough for each look.
    printed_bytes: int = 16 * KIB
    #: ... and what is shown of it: as much as fits on a screen.
    printed_lines: int = 20
    printed_chars: int = 4000
    #: Files and projects that are looked at: a session has a few.
    printed_files: int = 1000
    #: Bytes of pieces that wait for the connection. What is more is left out: it has come whole by then.
    passing_bytes: int = 256 * KIB

    # --- connection
    #: Without this, a server that accepts TCP and then says nothing would go unnoticed.
    connect: float = 10.0
    #: Load balancers cut idle connections after 30 to 60 s; a dead peer shows within two of these.
    ping_interval: float = 10.0
    #: How long a PONG may take before the peer counts as dead.
    ping_deadline: float = 10.0
    #: Messages after which a PING barrier is due: small enough to keep few copies, large enough to cost nothing.
    barrier_messages: int = 256
    #: ... or time with something unconfirmed.
    barrier_delay: float = 0.25
    #: Sent and not confirmed, at most. It is a quarter of this at first, and all of it if PONGs come promptly
    #: (agent/delivery/pace.py). With less, every burst waits for PONGs; with more, a dead connection costs more copies.
    window_messages: int = 2048
    window_bytes: int = 4 * MIB
    #: A single send, at most: a whole segment, which has up to twice `segment_bytes`. With less, the sender falls
    #: behind in every burst and reads from the disk.
    batch_bytes: int = 512 * KIB
    #: How long a send may take. Then the connection, with its torn frame, is given up.
    send: float = 30.0
    #: TCP_NOTSENT_LOWAT: two batches, so that sending rarely blocks.
    unsent_bytes: int = MIB
    #: Full-jitter back-off between attempts.
    backoff_min: float = 0.5
    backoff_max: float = 30.0
    #: Retry-After of a server may exceed the back-off, up to this.
    retry_after_max: float = 60.0
    #: How long after a PONG the first ack may come: a server that queues or stores first acknowledges later.
    ack_grace: float = 1.0
    #: Without an ack for this long while PONGs come, the server has stopped acknowledging: back to level 0.
    ack_silence: float = 30.0
    #: Inbound messages are small commands and acks.
    inbound_bytes: int = MIB
    #: Close handshake at the end.
    close: float = 1.0
    #: A cancelled connection has no reader left for the peer's close frame: it only sends its own.
    farewell: float = 0.2
    #: Refusals (401, 403, close 1008) in a row before the start gate gives up.
    refusals: int = 3
    #: Seconds until the same reason for being away is said again: while nothing changes, and where reasons take turns.
    say_again: float = 300.0
    say_changed: float = 10.0
    #: Different reasons that are remembered as said: a server may make up a new one each time.
    reasons_said: int = 20
    #: A connection that ends this often without progress, and with a message of this many bytes in flight, may have met
    #: a server that takes no message so long: uWebSockets takes 16 KiB by default, npm's `websocket` 64 KiB.
    stuck_connections: int = 3
    long_message: int = 16 * KIB
    #: Then a longer message goes out in frames of this size: npm's `websocket` takes 64 KiB, AWS API Gateway 32 KiB ...
    longest_frame: int = 32_000
    #: ... and then all messages become so short, one step after the other. Each leaves room for the mark of a copy.
    message_steps: tuple[int, ...] = (1_000_000, 64_000, 16_000, 4_096)
    #: Connections of a server that never acknowledges which end early although PONGs came: after so many of them its
    #: PONGs confirm. Otherwise one that closes after every few messages would be sent the same ones for ever.
    brief_connections: int = 3

    # --- claude's output
    #: Linux gives 64 KiB by default; a claude whose pipe stays full for 3 s loses its result.
    pipe_bytes: int = MIB
    #: A single read. Larger reads save wake-ups, and beyond this they only cost memory.
    read_bytes: int = 256 * KIB
    #: A longer line is reported and skipped. The longest seen are 20 MB.
    line_bytes: int = 64 * MIB
    #: Lines of claude's stderr kept for ERROR.
    stderr_tail_lines: int = 20
    #: A longer line of stderr is counted and not shown: no message for a person is so long.
    stderr_line_bytes: int = MIB
    #: Refusals of the credentials in a row before claude is ended. A single one may be a gateway's hiccup; the CLI
    #: itself gives up after ten, which takes 190 s.
    refused_credentials: int = 2
    #: The beginning of a skipped line that is kept: enough to tell its type.
    skipped_head_bytes: int = KIB
    #: The text of a result in COMPLETE, and each JSON value beside it. COMPLETE is a single message and never split.
    result_bytes: int = 16 * KIB
    #: The output that fits OUTPUT_SCHEMA, in output.json; COMPLETE has it up to `result_bytes`.
    output_bytes: int = 4 * MIB
    #: Changed files, open tasks, to-do items, calls without an answer, denials: at most this many of each are kept.
    remembered: int = 1000

    # --- the operator's steps
    #: The end of a step's output: what a person, or claude, needs to see why it failed. A test runner prints its
    #: summary there, and a failing test takes some dozens of lines.
    step_tail_lines: int = 200
    step_tail_chars: int = 16 * KIB

    # --- journal
    #: Unit of freeing, of dropping and of reading back.
    segment_bytes: int = 256 * KIB
    #: The newest segments that stay in memory beside the active one, while reader and sender take turns. With less, a
    #: whole burst is read back from the disk.
    resident_bytes: int = MIB
    #: Without a writable directory: enough for a normal run's tail.
    memory_journal_bytes: int = 8 * MIB

    #: The part of the container's memory that a journal on tmpfs may fill.
    tmpfs_share: float = 0.05

    # --- recording
    #: The output of claude and git in a recording, and as much again of the journal: ten times a long run.
    record_bytes: int = 512 * MIB
    #: Lines of claude whose times the bare transcript has; later lines get the last of these. They are kept in memory.
    record_times: int = 100_000

    # --- replay
    #: How long a replay waits for a step that should be immediate before it gives up.
    replay_patience: float = 30.0
    #: Messages of a replay that may wait for a server. Beyond this the recording pauses.
    replay_ahead_bytes: int = 16 * MIB
    #: How often the bar is drawn.
    replay_progress: float = 0.2

    # --- memory
    #: Freed memory that malloc keeps for the next read, its lines and messages, and the frames of a send. Larger blocks
    #: belong to very long lines, and return to the kernel.
    heap_spare_bytes: int = 2 * MIB
    heap_block_bytes: int = MIB

    # --- stop
    #: An interrupt on its input gives claude's result with cost and usage within 0.2 s, 1.4 s with a deaf child. It may
    #: take this part of KILL_GRACE: the signals need theirs.
    ask_grace: float = 2.0
    ask_share: float = 0.4
    #: SIGINT gives the same, but not while claude waits for the API.
    interrupt_grace: float = 2.0
    #: SIGKILL takes effect at once, but for a process that is stuck in the kernel.
    kill_wait: float = 2.0
    #: How long a debugger may hold a dead child, and how often we look: strace lets go within a millisecond.
    tracer: float = 2.0
    tracer_poll: float = 0.01
    #: Dead processes that a sweep leaves unreaped while freezing: looking through them takes under a millisecond.
    corpses: int = 200
    #: The sweep of survivors: freeze, then kill.
    sweep: float = 2.0
    #: The same after a third signal or a bug of the supervisor: the agent ends at once, and nobody waits for it.
    emergency_sweep: float = 1.0
    #: Readers meet end of file at once, unless something holds the pipe.
    drain: float = 1.0
    #: Counting and saving what changed: at least so long after a signal, and at most so long otherwise. It takes some
    #: six commands of git, 0.3 s together, and 0.8 s with eight times as many processes as processors.
    harvest_after_signal: float = 2.0
    harvest: float = 5.0
    #: The same with PUSH_BRANCH and without a signal: a push takes what the server's hooks and the network take.
    push: float = 60.0
    #: A changed file that is larger is no source any more, and GitHub refuses it.
    changed_file_bytes: int = 100 * MIB
    #: Repositories inside a working tree that are taken as files, and other branches, stashes and worktrees that are
    #: saved: each takes a command of git or four. Those beyond are named.
    nested_repositories: int = 100
    others: int = 100
    #: Commits that a shallow clone of a pushed branch is deepened by, to reach the one that its session began with.
    earlier_commits: int = 100
    #: Pushes from a workspace on a volume that its next run knows of: more than a Job has attempts.
    pushes_noted: int = 100
    #: Of HEAD, packed-refs and the like in claude's .git: some hundred thousand refs.
    git_file_bytes: int = 32 * MIB
    #: A patch in the stream: 64 messages of MESSAGE_LIMIT's default; the journal must hold it beside the output.
    stream_patch_bytes: int = 16 * MIB
    #: Flush limits by cause.
    flush_after_signal: float = 2.0
    #: After a stop that took longer than it should: a server that is there confirms COMPLETE in a tenth of it.
    flush_at_least: float = 1.0
    flush_after_fault: float = 30.0
    #: Until the wait for a server at the end is told, and again: one that is there confirms in a moment.
    waiting_first: float = 3.0
    waiting_interval: float = 60.0
    #: `agent flush` gives up a server that confirms nothing for so long: twice what a change of level takes.
    flush_stall: float = 60.0

    # --- vitals
    #: How often the watchdog looks at claude, whose limits are seconds at least. It wakes together with the tasks
    #: below.
    watch_interval: float = 1.0
    heartbeat_interval: float = 10.0
    #: The sample of a HEARTBEAT is no older than half its interval. If memory is limited, the guard needs more samples.
    sample_interval: float = 5.0
    guard_interval: float = 1.0
    #: ... and more often once so much of the limit is in use: on cgroup v2 the kernel kills the agent as well. A sample
    #: takes 0.1 ms.
    guard_close: float = 0.8
    guard_close_interval: float = 0.2
    #: Orphans that have ended count against the limit of processes until they are reaped.
    reap_interval: float = 1.0
    #: The health check calls the agent hung when its file is older than three of these.
    health_interval: float = 1.0
    #: The part of the memory limit at which the guard ends claude, if two samples in a row are above it.
    memory_guard: float = 0.95
    #: Free space of the workspace below which a WARN goes out.
    disk_warn_bytes: int = 256 * MIB
    #: `agent check` writes so much into the place for temporary files: what a run's private files take.
    probe_bytes: int = 64 * KIB
    #: A lower memory limit gives a WARN: the CLI takes 200 to 540 MiB, the agent 50, and claude's commands add to it.
    memory_warn_bytes: int = 768 * MIB
    #: A lower limit of processes gives a WARN: the CLI has some 30 threads, a compiler or a test run needs the rest.
    pids_warn: int = 128

    #: How often the files of secrets are looked at: a stat each. GitHub gives an hour, and Kubernetes takes a minute to
    #: bring a new value here.
    renewal_interval: float = 2.0

    #: Lines that wait for a slow reader of stderr: some MiB at most.
    console_lines: int = 10_000
    #: Pause between two writes to stderr: too short to be noticed, long enough for a burst to cost nothing.
    console_pause: float = 0.05

    # --- git
    #: Time between two STATUS of progress.
    progress_interval: float = 0.1
    #: ... and between two lines of it on stderr, beside the last of each stage: a log keeps them all.
    progress_shown: float = 10.0
    #: git's own limit for a stalled HTTP transfer (http.lowSpeedTime), and ours for one that says nothing at all.
    git_stall: float = 60.0
    #: Slower than this for `git_stall` is a stall too (http.lowSpeedLimit). A server that still counts objects sends
    #: some 40 bytes a second of progress, one that is only kept alive sends one.
    git_bytes_per_second: int = 10
    #: From SIGTERM to SIGKILL: git removes its locks and ends its helpers.
    git_grace: float = 2.0
    #: Removing the remains of a failed clone. What is left then stays, since a stop must not wait for a slow disk.
    git_cleanup: float = 2.0
    #: A line of git's stderr: a hostile server could send one that never ends.
    git_line_bytes: int = 64 * KIB
    #: Attempts of a clone, on network failures only.
    clone_attempts: int = 3
    clone_retry_delay: float = 2.0

    # --- agent serve
    #: From the connection to an accepted token; whoever is slower holds one of the connections for nothing.
    receiver_handshake: float = 10.0
    #: Sixteen times the agent's MESSAGE_LIMIT; what is in memory is about one of these a connection.
    receiver_message_bytes: int = 4 * MIB
    #: Agents at the same time; --connections sets it. The next one gets a 503 and comes again. A thousand that send two
    #: messages a second take half a core and 100 MiB.
    receiver_connections: int = 1000
    #: ... after this.
    receiver_retry: float = 15.0
    #: Pieces of what a run is writing that wait for a watcher who is slow; the whole comes anyway.
    hub_pieces: int = 32
    #: A live agent sends a HEARTBEAT three times as often; a client silent for longer is asked by a PING ...
    receiver_silence: float = 30.0
    #: ... and must answer, as it must take an acknowledgement, within this.
    receiver_patience: float = 10.0
    #: Messages after which an acknowledgement is due.
    receiver_ack_messages: int = 100
    #: Runs remembered; beyond it the oldest is looked up on disk again, or forgotten where nothing is stored.
    receiver_runs: int = 4096
    #: Threads that read whole runs of agents that come back: more are not faster together, and the loop waits for
    #: Python's lock behind each of them at every system call.
    receiver_readers: int = 1
    #: Runs up to this size are read at once, in 2 ms.
    receiver_small: int = 256 * KIB
    #: Bytes that one pass of the loop takes in, some 5 ms; the rest waits for the next one.
    receiver_turn: int = 256 * KIB
    #: HEARTBEATs become a line of the log this often, so that they do not bury the run.
    receiver_vitals: float = 60.0
    #: What stopping may take: the close handshakes of all connections.
    receiver_close: float = 1.0

    # --- the hub
    #: Between two messages to those who watch the fleet: too short to be seen, and a busy run costs one of them.
    hub_beat: float = 0.1
    #: Rows that one pass of the loop gathers, or a thread writes to the index, in 2 ms; the rest waits for the next.
    hub_rows: int = 100
    #: After gathering, as a multiple of the time that it took: it has a fifth of the loop at most.
    hub_beat_rest: float = 4.0
    #: Changes of at most `hub_rows` rows that a watcher may miss and be told afterwards; then it reads the list again.
    #: 24 s where 1,000 runs move twice a second.
    hub_beats: int = 480
    #: How far the index may lag behind; what it lacks after a crash is read from the files.
    hub_index: float = 1.0
    #: How long the making of the index waits for runs that come back, before each file at most.
    hub_way: float = 1.0
    #: A run without a connection leaves memory after this.
    hub_rest: float = 30.0
    #: Proxies cut connections that are silent for 60 s.
    hub_keepalive: float = 15.0
    #: Connections that have not shown a token yet; beyond it the oldest is closed, so that silence locks nobody out.
    hub_strangers: int = 512
    #: The body of a request: the longest is a message to claude, of 50,000 characters with 12 bytes each at most.
    hub_body_bytes: int = MIB
    #: Samples of a run's resources: more than a chart has pixels, and 200 KiB.
    hub_vitals: int = 1000
    #: Threads that look up lines in runs' files for watchers; as `receiver_readers`.
    hub_readers: int = 1
    #: Of a run's file, what one read for a watcher takes.
    hub_read_bytes: int = 256 * KIB
    #: A watcher that takes nothing for so long is gone.
    hub_patience: float = 30.0
    #: Wrong tokens of one address within `hub_guess_window` seconds that are answered at once ...
    hub_guesses: int = 10
    hub_guess_window: float = 60.0
    #: ... and after how long the others are: with `hub_strangers` connections that is a hundred guesses a second.
    hub_guess_pause: float = 5.0
    #: Between two looks for runs that are too old or too many.
    hub_keep: float = 60.0
    #: A run that did not end and says nothing for so long will not end: its agent's journal is given up by then.
    hub_silent: float = 86400.0
    #: Notifications that wait; a service that is away for long must not fill memory.
    hub_notifications: int = 1000
    #: One attempt to notify, and the pauses before the next ones.
    hub_notify: float = 10.0
    hub_notify_pauses: tuple[float, ...] = (1.0, 10.0, 60.0)
    #: A search for garbage takes 0.1 s with 1,000 agents, and finds next to nothing: so often without agents ...
    hub_search: float = 3600.0
    #: ... so often with them ...
    hub_search_busy: float = 86400.0
    #: ... and with so many more objects, of which a connected agent has some 120, so that no leak fills the memory.
    hub_objects: int = 2_000_000
    #: A thread keeps Python's lock for so long while the loop waits for it, at each system call of the loop.
    hub_switch: float = 0.0005
    #: How long a login lasts.
    hub_session: float = 30 * 86400.0

    # --- a fleet
    #: A command of the container engine. `run` may unpack an image, and an engine under load answers late.
    fleet_command: float = 120.0
    #: Beyond TIMEOUT, SERVER_WAIT and DELIVERY_WAIT, for the start and the save: then the attempt is stopped.
    fleet_margin: float = 300.0
    #: What a container is granted between SIGTERM and SIGKILL, as in Kubernetes: the work is saved in it.
    fleet_grace: int = 30
    #: Beyond it, until a container that the engine should have killed is killed again.
    fleet_kill: float = 15.0
    #: Before the second attempt, doubled for each further one, as Kubernetes does with a Job's pods ...
    fleet_pause: float = 10.0
    #: ... up to this.
    fleet_pause_max: float = 360.0
    #: The same before an attempt after one that the API's limit stopped: a window of five hours, and some more.
    fleet_limit_wait: float = 21_600.0
    #: The first fetch of a repository that several tasks share; the largest ones take some minutes.
    fleet_mirror: float = 1800.0
    #: Between two looks at the hub, which costs one request for all tasks.
    fleet_look: float = 1.0
    #: Between two looks at the pods of a Job: two requests to the API server.
    fleet_cluster_look: float = 2.0
    #: A hub of our own that starts.
    fleet_hub_start: float = 30.0
    #: The rows of the hub's list that one look takes.
    fleet_rows: int = 1000
    #: `result.json` of a run: no figures, changes and denials are this long.
    fleet_result_bytes: int = 4 * MIB
